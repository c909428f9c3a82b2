"""Writes files whole or not at all."""

from __future__ import annotations

import os
import pathlib
import tempfile


def write_file(path: str | os.PathLike, content: bytes) -> None:
    """Writes a file; one of that name is replaced when the new one is complete.

    Raises:
      FileNotFoundError: the folder of `path` does not exist.
      IsADirectoryError: `path` is a folder.
    """
    path = pathlib.Path(path)
    folder = path.parent
    if not folder.is_dir():
        raise FileNotFoundError(f"cannot save {path.name}: the folder '{folder}' does not exist")
    if path.is_dir():
        raise IsADirectoryError(f"cannot save to '{path}': it is a folder; add a file name")
    with tempfile.TemporaryDirectory(dir=folder, prefix=f".{path.name}.") as temporary:
        partial = pathlib.Path(temporary, path.name)
        partial.write_bytes(content)
        os.replace(partial, path)
