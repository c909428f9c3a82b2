"""Tables as text, and what several of them add up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Sequence


def table(lines: Sequence[Sequence[str]], right: Container[int] = ()) -> str:
    """Lines of cells under the first one; the columns `right` are aligned there.

    >>> print(table([("a", "bits"), ("bbb", "1")], right=(1,)))
    a    bits
    ---  ----
    bbb     1
    """
    return "\n".join(table_lines(lines, right))


def table_lines(lines: Sequence[Sequence[str]], right: Container[int] = ()) -> list[str]:
    """The lines of `table`: the names of the columns, a rule, and the others."""
    widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]
    text = []
    for line in [lines[0], tuple("-" * width for width in widths), *lines[1:]]:
        cells = (
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        text.append("  ".join(cells).rstrip())
    return text


def macs_by_width(counts: Iterable[tuple[str, int]]) -> dict[str, int]:
    """The sum of the multiply-adds of each width; widths without any are left out.

    >>> macs_by_width([("1x8", 5), ("1x1", 0), ("1x8", 2)])
    {'1x8': 7}
    """
    total: Counter[str] = Counter()
    for width, count in counts:
        total[width] += count
    return {width: count for width, count in total.items() if count}


def macs_text(macs: dict[str, int]) -> str:
    """
    >>> macs_text({"1x1": 4000, "8x8": 9})
    '4,000 1x1, 9 8x8'
    """
    return ", ".join(f"{count:,} {width}" for width, count in macs.items()) or "0"
