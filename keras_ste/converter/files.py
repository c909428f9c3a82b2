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
    path = checked_target(path)
    folder = path.parent
    with tempfile.TemporaryDirectory(dir=folder, prefix=f".{path.name}.") as temporary:
        partial = pathlib.Path(temporary, path.name)
        partial.write_bytes(content)
        os.replace(partial, path)


def checked_target(path: str | os.PathLike) -> pathlib.Path:
    """The path, where a file can be written there.

    Raises:
      FileNotFoundError, IsADirectoryError: as `write_file`.
    """
    path = pathlib.Path(path)
    folder = path.parent
    if not folder.is_dir():
        raise FileNotFoundError(f"cannot save {path.name}: the folder '{folder}' does not exist")
    if path.is_dir():
        raise IsADirectoryError(f"cannot save to '{path}': it is a folder; add a file name")
    return path
