"""Arrays in `.npz` and `.npy` files."""

from __future__ import annotations

import pathlib
import zipfile
from typing import Any

import click
import numpy as np


def read_arrays(path: str) -> dict[str, np.ndarray]:
    """The arrays of an `.npz` file by their names; of an `.npy` file the one, without a name.

    Raises:
      click.UsageError: no such file.
    """
    try:
        loaded = np.load(path, allow_pickle=False)
        return {"": loaded} if isinstance(loaded, np.ndarray) else dict(loaded)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise click.UsageError(f"{path} is no readable .npz or .npy file: {error}") from error


def as_data(arrays: dict[str, np.ndarray]) -> Any:
    """The arrays as `convert(verify=...)` takes them: the only one by itself, several by their names."""
    return next(iter(arrays.values())) if len(arrays) == 1 else arrays


def write_arrays(path: str, arrays: dict[str, np.ndarray]) -> None:
    """Writes an `.npz` file, whole or not at all."""
    import io

    from keras_ste.converter.files import write_file

    content = io.BytesIO()
    np.savez(content, **arrays)
    write_file(pathlib.Path(path), content.getvalue())
