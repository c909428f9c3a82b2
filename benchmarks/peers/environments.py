"""Makes the virtual environment of a peer that cannot be installed beside keras_ste.

    python benchmarks/peers/environments.py larq|larq_compute_engine [--dir DIR]

The benchmarks look for it in the same place, or where KERAS_STE_PEERS says.
"""

import argparse
import importlib.util
import os
import pathlib
import subprocess
import sys
import venv

# Larq is written for Keras 2, which tf_keras is. Its compute engine was last built beside TensorFlow 2.16, for Python 3.10 to 3.12.
REQUIREMENTS = {
    "larq": ["larq==0.13.3", "tensorflow==2.21.*", "tf_keras==2.21.*"],
    "larq_compute_engine": [
        "larq-compute-engine==0.16.0", "tensorflow==2.16.2", "tf_keras==2.16.*", "numpy==1.26.*"
    ],
}
# What needs no environment of its own, but a process: the packages that have to be installed here.
BESIDE = {"tfmot": ("tensorflow_model_optimization", "tf_keras")}


def default_folder():
    return pathlib.Path(os.environ.get("KERAS_STE_PEERS", pathlib.Path.home() / ".cache" / "keras_ste_peers"))


def python_of(peer, folder=None):
    """The interpreter of a peer's environment, or None where there is none."""
    if peer in BESIDE:
        return sys.executable if all(importlib.util.find_spec(package) for package in BESIDE[peer]) else None
    path = pathlib.Path(folder or default_folder(), peer, "bin", "python")
    return path if path.exists() else None


def make(peer, folder):
    """Makes the environment and installs the peer from PyPI."""
    target = pathlib.Path(folder, peer)
    venv.create(target, with_pip=True)
    subprocess.run([target / "bin" / "pip", "install", "-q", *REQUIREMENTS[peer]], check=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("peer", choices=sorted(REQUIREMENTS))
    parser.add_argument("--dir", default=default_folder(), help="folder of the environments (default: %(default)s)")
    options = parser.parse_args()
    try:
        make(options.peer, options.dir)
    except (OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"{options.peer} could not be installed: {error}")
    print(python_of(options.peer, options.dir))


if __name__ == "__main__":
    main()
