"""Writes the golden files of this version, with which later ones show that they still open and run what it wrote.

    python tests/make_golden.py [--replace | --release]

For each case of golden_cases.py `tests/golden/<version>/<name>.tflite` and, with inputs and outputs, `<name>.npz`. A file
that is there stays as it is; `--replace` writes it anew. With the release of the version `--release` seals its folder: the
file SHA256SUMS says what is in it, and nothing there is ever written again.
"""

import argparse
import hashlib
import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, os.path.dirname(__file__))

import golden_cases
import numpy as np

import keras_ste

GOLDEN = pathlib.Path(__file__).parent / "golden"
SEAL = "SHA256SUMS"


def sums(folder):
    """The contents of a folder's SHA256SUMS."""
    files = sorted(path for path in folder.iterdir() if path.name != SEAL)
    return "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files)


def write(folder, cases, replace=False):
    """Writes the cases that are not there, or all of them.

    Args:
        folder: of the version.
        cases: name, file and inputs of each.
        replace: whether files that are there are written anew.

    Returns:
        The names of what was written.

    Raises:
        ValueError: the folder is sealed.
    """
    if (folder / SEAL).exists():
        raise ValueError(f"{folder} belongs to a released version: its files are never written again")
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, content, inputs in cases:
        if replace or not (folder / f"{name}.tflite").exists():
            (folder / f"{name}.tflite").write_bytes(content)
            arrays = {f"input_{i}": array for i, array in enumerate(inputs)}
            arrays |= {f"output_{i}": array for i, array in enumerate(golden_cases.expected(content, inputs))}
            np.savez_compressed(folder / f"{name}.npz", **arrays)
            written.append(name)
    return written


def seal(folder):
    """Seals the folder of a version that is released."""
    if (folder / SEAL).exists():
        raise ValueError(f"{folder} is sealed")
    (folder / SEAL).write_text(sums(folder))


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--replace", action="store_true", help="write what is there anew")
    parser.add_argument("--release", action="store_true", help="seal the folder of this version")
    options = parser.parse_args()
    folder = GOLDEN / keras_ste.__version__
    try:
        for name in write(folder, golden_cases.cases(), options.replace):
            print(f"{folder / name}.tflite")
        if options.release:
            seal(folder)
    except ValueError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
