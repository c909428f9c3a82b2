"""Times functions beside each other, so that all of them see the same changes of the machine's speed."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence

SHORTEST = 1e-7


def median_seconds(
    functions: Sequence[Callable[[], object]], rounds: int, seconds_per_round: float = 0.02
) -> list[float]:
    """Median seconds of one call of each function, in alternating rounds.

    Args:
      functions: they are called twice before anything is counted.
      rounds: how often each has its turn.
      seconds_per_round: each turn calls a function as often as fits into this, at least once.
    """
    repeats = []
    for function in functions:
        function()
        repeats.append(max(1, int(seconds_per_round / max(_seconds(function, 1), SHORTEST))))
    seconds: list[list[float]] = [[] for _ in functions]
    for _ in range(rounds):
        for index, function in enumerate(functions):
            seconds[index].append(_seconds(function, repeats[index]))
    return [statistics.median(values) for values in seconds]


def _seconds(function: Callable[[], object], repeats: int) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        function()
    return (time.perf_counter() - start) / repeats
