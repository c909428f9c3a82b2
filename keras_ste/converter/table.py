"""Tables of text."""

from __future__ import annotations

from collections.abc import Sequence


def text_table(header: Sequence[str], lines: Sequence[Sequence[str]], first_number: int) -> list[str]:
    """A table: a line of names, a rule, and a line for each of the lines.

    Args:
      header: the columns' names.
      lines: each a cell for every column.
      first_number: the column from which on cells are aligned to the right.

    Example:
      >>> print("\\n".join(text_table(["op", "bytes"], [["SteConv2D", "128"]], 1)))
      op         bytes
      ---------  -----
      SteConv2D    128
    """
    widths = [max(len(line[column]) for line in [header, *lines]) for column in range(len(header))]

    def text(line: Sequence[str]) -> str:
        cells = (
            cell.rjust(width) if column >= first_number else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        return "  ".join(cells).rstrip()

    return [text(header), "  ".join("-" * width for width in widths), *(text(line) for line in lines)]
