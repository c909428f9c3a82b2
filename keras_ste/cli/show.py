"""What the commands print."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, track

Item = TypeVar("Item")


def _console() -> Console:
    return Console(stderr=True)


@contextmanager
def working(what: str) -> Iterator[None]:
    """Shows on a terminal that something takes its time, and how long; nothing elsewhere."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    console = _console()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        progress.add_task(what, total=None)
        yield


def progress(items: Sequence[Item], what: str) -> Iterable[Item]:
    """Goes through the items, on a terminal behind a bar."""
    console = _console()
    return track(items, what, console=console, transient=True, disable=not console.is_terminal)
