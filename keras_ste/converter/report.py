"""What became of every layer and op: the report of a conversion, as text, JSON and a page for a browser."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from keras_ste.converter.files import write_file
from keras_ste.converter.graph import STE_OPS, Graph
from keras_ste.converter.html import report_page
from keras_ste.converter.rows import Row, op_row
from keras_ste.converter.verify import Verification
from keras_ste.tables import macs_by_width, macs_text, table_lines

if TYPE_CHECKING:
    from keras_ste.benchmarking import Benchmark

_HEADER = ("op", "layer", "input", "output", "packed", "w bits", "bytes", "MACs", "width")
_TIMES = ("predicted µs", "measured µs")
_FIRST_NUMBER = 5
_CODES = re.compile(r"(?:bipolar|unsigned|signed|ternary|lookup)(\d+)")


@dataclasses.dataclass(frozen=True)
class Report:
    """The rows of a conversion, in running order; layers left in float come last.

    `str(report)` is a table. `to_dict()` and `to_json()` say the same for programs, `to_html()` for a browser;
    `save(path)` writes one of the three.

    Attributes:
      rows: one for each op, then one for each quantized layer that has none.
      file_bytes: the file's size.
      verification: how the file compares with the Keras model, where `convert(verify=...)` asked for it.
      machine: where the times of the rows were measured, and how; None where they were not.
    """

    rows: tuple[Row, ...]
    file_bytes: int
    verification: Verification | None = None
    machine: str | None = None

    @property
    def unpacked(self) -> tuple[tuple[str, str], ...]:
        """`(layer, reason)` for every layer that was quantized in training but not packed."""
        ops = set(STE_OPS)
        return tuple((row.layer, row.reason) for row in self.rows if row.reason and row.op not in ops)

    @property
    def macs(self) -> dict[str, int]:
        """Multiply-adds by width."""
        return macs_by_width((row.mac_width, row.macs) for row in self.rows)

    @property
    def missed_sizes(self) -> tuple[Row, ...]:
        """The rows whose packed weights take more than 1.02 times what their bits take."""
        return tuple(row for row in self.rows if row.size is not None and row.size.verdict != "met")

    def with_times(self, benchmark: Benchmark) -> Report:
        """The report with the times that `keras_ste.benchmark` found of this file.

        Raises:
          ValueError: they are another file's.
        """
        count = len(benchmark.ops)  # of the main graph, whose rows come first
        if [row.op for row in self.rows[:count]] != [time.row.op for time in benchmark.ops]:
            raise ValueError("the times are those of a file with other ops")
        timed = [
            dataclasses.replace(row, measured_us=time.measured_us, predicted_us=time.predicted_us)
            for row, time in zip(self.rows, benchmark.ops, strict=False)
        ]
        return dataclasses.replace(self, rows=(*timed, *self.rows[count:]), machine=benchmark.machine)

    def to_dict(self) -> dict[str, Any]:
        """Rows and totals as plain Python values. A time that was not measured is None."""
        return {
            "rows": [dataclasses.asdict(row) for row in self.rows],
            "macs": self.macs,
            "constant_bytes": sum(row.constant_bytes for row in self.rows),
            "file_bytes": self.file_bytes,
            "verification": self.verification and self.verification.to_dict(),
            "machine": self.machine,
        }

    def to_json(self, **options: Any) -> str:
        """`to_dict()` as JSON; options are those of `json.dumps`."""
        return json.dumps(self.to_dict(), **options)

    def to_html(self) -> str:
        """A page that needs nothing but itself: the table, and charts of bytes, MACs by width and times."""
        return report_page(self)

    def save(self, path: str | os.PathLike) -> None:
        """Writes the report as the ending of the path says: `.html`, `.json`, or else as text.

        Raises:
          FileNotFoundError: the folder of `path` does not exist.
          IsADirectoryError: `path` is a folder.
        """
        ending = pathlib.Path(path).suffix.lower()
        if ending in (".html", ".htm"):
            text = self.to_html()
        else:
            text = self.to_json(indent=1) if ending == ".json" else str(self)
        write_file(path, (text + "\n").encode("utf-8"))

    def __str__(self) -> str:
        timed = any(row.measured_us is not None for row in self.rows)
        header = _HEADER + (_TIMES if timed else ())
        cells = [header, *(_cells(row, timed) for row in self.rows)]
        first, rule, *lines = table_lines(cells, right=range(_FIRST_NUMBER, len(header)))
        text = [first, rule]
        for row, line in zip(self.rows, lines, strict=True):
            text.append(line)
            if row.reason:
                text.append(f"    left as it is: {row.reason}")
            if row.size is not None and row.size.reason:
                text.append(f"    {row.size.ratio:.2f} times the bytes of its bits: {row.size.reason}")
        text.append(self._totals())
        if self.machine is not None:
            text.append(f"times: {self.machine}")
        if self.verification is not None:
            text.append(str(self.verification))
        return "\n".join(text)

    def _totals(self) -> str:
        constants = sum(row.constant_bytes for row in self.rows)
        return f"total: {self.file_bytes:,} bytes, {constants:,} of them constants; MACs: {macs_text(self.macs)}"


def _cells(row: Row, timed: bool) -> tuple[str, ...]:
    numbers = (row.weight_bits, row.constant_bytes, row.macs)
    times = (row.predicted_us, row.measured_us) if timed else ()
    return (
        row.op,
        row.layer or "",
        row.input,
        row.output,
        row.packed,
        *(f"{number:,}" if number else "" for number in numbers),
        row.mac_width,
        *("unknown" if time is None else f"{time:,.1f}" for time in times),
    )


def quantizer_bits(layers: Sequence[dict]) -> dict[str, int]:
    """Bits of the kernel's quantizer of each layer that has one kernel with a code book, from the export's rows."""
    found = {layer["layer"]: _CODES.fullmatch(layer["kernel"]) for layer in layers}
    return {layer: int(match[1]) for layer, match in found.items() if match}


def make_report(
    graphs: Sequence[Graph],
    unpacked: Sequence[tuple[str, str, str]],
    file_bytes: int,
    layers: Sequence[dict] = (),
) -> Report:
    """The report of a converted model.

    Args:
      graphs: its graphs, after all passes.
      unpacked: `(layer, class, reason)` of each layer quantized in training that has no op.
      file_bytes: size of the file.
      layers: the rows that the export scope recorded.
    """
    bits = quantizer_bits(layers)
    rows = [op_row(graph, op, bits.get(op.layer)) for graph in graphs for op in graph.ops]
    rows += [Row(op=class_name, layer=layer, reason=reason) for layer, class_name, reason in unpacked]
    return Report(tuple(rows), file_bytes)
