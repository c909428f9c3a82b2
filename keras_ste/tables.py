"""Tables as text."""

from __future__ import annotations

from collections.abc import Container


def table(lines: list[tuple[str, ...]], right: Container[int] = ()) -> str:
    """Lines of cells under the first one; the columns `right` are aligned there.

    >>> print(table([("a", "bits"), ("bbb", "1")], right=(1,)))
    a    bits
    ---  ----
    bbb     1
    """
    widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]
    text = []
    for line in [lines[0], tuple("-" * width for width in widths), *lines[1:]]:
        cells = (
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        text.append("  ".join(cells).rstrip())
    return "\n".join(text)
