"""Reads Fashion-MNIST from the four files that the Debian package dataset-fashion-mnist installs."""

import gzip
import pathlib
import sys

import numpy as np

DEBIAN_DATA = "/usr/share/datasets/fashion-mnist"


def load_split(directory, prefix):
    """Returns the images, uint8 [n, 28, 28, 1], and labels, uint8 [n], of `train` or `t10k`."""
    arrays = []
    for kind, header in (("images-idx3", 16), ("labels-idx1", 8)):
        path = pathlib.Path(directory, f"{prefix}-{kind}-ubyte.gz")
        if not path.exists():
            sys.exit(
                f"{path} is missing. Install the Debian package dataset-fashion-mnist "
                "(apt-get install dataset-fashion-mnist), or name a folder with the four .gz files: --data DIR"
            )
        with gzip.open(path) as f:
            arrays.append(np.frombuffer(f.read(), np.uint8, offset=header))
    return arrays[0].reshape(-1, 28, 28, 1), arrays[1]
