"""What became of every layer and op: types, sizes, multiply-adds, and why something stayed in float."""

from __future__ import annotations

import dataclasses
import json
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_ste.codes import Codes, codes_of
from keras_ste.converter.graph import MATMUL_OPS, STE_OPS, Graph, Op, Tensor
from keras_ste.converter.shapes import macs as ste_macs
from keras_ste.converter.verify import Verification

PACKED = "packed"


@dataclasses.dataclass(frozen=True)
class Row:
    """One op of the converted model, or one layer that has no op of this package.

    Attributes:
      op: the op's name; for a layer that stayed in float, its class.
      layer: path of the Keras layer, or None where it is not known.
      input, output: types of the first input and output: `"packed 1-bit"` of signs, `"packed 3-bit unsigned"`,
        `"float32"`, ...
      packed: what is stored in bits: `"weights"`, `"output"`, both or nothing (`""`).
      weight_bits: bits of one weight, 0 for an op without weights.
      constant_bytes: bytes of the op's constants.
      macs: multiply-adds for one run with a batch of one (or of the file's fixed size).
      mac_width: bits of weight and input of a multiply-add: `"1x1"`, `"1x8"`, `"32x32"`, ...
      reason: why a quantized layer, or the sign before one, was left as it is; else None.
    """

    op: str
    layer: str | None
    input: str = ""
    output: str = ""
    packed: str = ""
    weight_bits: int = 0
    constant_bytes: int = 0
    macs: int = 0
    mac_width: str = ""
    reason: str | None = None


@dataclasses.dataclass(frozen=True)
class Report:
    """The rows of a conversion, in running order; layers left in float come last.

    `str(report)` is a table. `to_dict()` and `to_json()` say the same for programs.

    Attributes:
      rows: one for each op, then one for each quantized layer that has none.
      file_bytes: the file's size.
      verification: how the file compares with the Keras model, where `convert(verify=...)` asked for it.
    """

    rows: tuple[Row, ...]
    file_bytes: int
    verification: Verification | None = None

    @property
    def unpacked(self) -> tuple[tuple[str, str], ...]:
        """`(layer, reason)` for every layer that was quantized in training but not packed."""
        ops = set(STE_OPS)
        return tuple((row.layer, row.reason) for row in self.rows if row.reason and row.op not in ops)

    @property
    def macs(self) -> dict[str, int]:
        """Multiply-adds by width."""
        total: Counter[str] = Counter()
        for row in self.rows:
            if row.macs:
                total[row.mac_width] += row.macs
        return dict(total)

    def to_dict(self) -> dict[str, Any]:
        """Rows and totals as plain Python values."""
        return {
            "rows": [dataclasses.asdict(row) for row in self.rows],
            "macs": self.macs,
            "constant_bytes": sum(row.constant_bytes for row in self.rows),
            "file_bytes": self.file_bytes,
            "verification": self.verification and self.verification.to_dict(),
        }

    def to_json(self, **options: Any) -> str:
        """`to_dict()` as JSON; options are those of `json.dumps`."""
        return json.dumps(self.to_dict(), **options)

    def __str__(self) -> str:
        header = ("op", "layer", "input", "output", "packed", "w bits", "bytes", "MACs", "width")
        lines = [header] + [_cells(row) for row in self.rows]
        widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
        text = []
        for position, line in enumerate(lines):
            cells = [_align(cell, widths[i], i) for i, cell in enumerate(line)]
            text.append("  ".join(cells).rstrip())
            if position == 0:
                text.append("  ".join("-" * width for width in widths))
            elif self.rows[position - 1].reason:
                text.append(f"    left as it is: {self.rows[position - 1].reason}")
        text.append(self._totals())
        if self.verification is not None:
            text.append(str(self.verification))
        return "\n".join(text)

    def _totals(self) -> str:
        macs = ", ".join(f"{count:,} {width}" for width, count in self.macs.items()) or "0"
        constants = sum(row.constant_bytes for row in self.rows)
        return f"total: {self.file_bytes:,} bytes, {constants:,} of them constants; MACs: {macs}"


_FIRST_NUMBER = 5  # columns from here on are aligned to the right


def _align(cell: str, width: int, column: int) -> str:
    return cell.rjust(width) if column >= _FIRST_NUMBER else cell.ljust(width)


def _cells(row: Row) -> tuple[str, ...]:
    numbers = (row.weight_bits, row.constant_bytes, row.macs)
    return (
        row.op,
        row.layer or "",
        row.input,
        row.output,
        row.packed,
        *(f"{number:,}" if number else "" for number in numbers),
        row.mac_width,
    )


def _codes(graph: Graph, tensor: Tensor) -> Codes | None:
    """The codes of a packed tensor, `None` of any other."""
    producer = graph.producer(tensor)
    if producer is None or producer.name not in STE_OPS:
        return None
    if producer.name == "SteMaxPool2D":
        return codes_of(producer.options, "input")
    return codes_of(producer.options, "output") if producer.options.get("output", "packed") == "packed" else None


def _type(graph: Graph, tensor: Tensor) -> str:
    codes = _codes(graph, tensor)
    if codes is None:
        return tensor.type_name
    encoding = "" if codes.bits == 1 and codes.encoding == "bipolar" else f" {codes.encoding}"
    return f"{PACKED} {codes.bits}-bit{encoding}"


def _bits(tensor: Tensor) -> int:
    if tensor.type_name == "int4":
        return 4
    # Types without a numpy type are stored as bytes.
    return 8 * (tensor.data.itemsize if tensor.constant else np.dtype(tensor.type_name).itemsize)


def _builtin_macs(op: Op) -> int:
    """Multiply-adds of the built-in ops that have weights."""
    if op.name not in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED") or op.input(1) is None:
        return 0
    filters, outputs = op.inputs[1].shape, math.prod(op.outputs[0].shape)
    # A depthwise filter is [1, kh, kw, channels], the others are [channels, ...].
    taps = filters[1:3] if op.name == "DEPTHWISE_CONV_2D" else filters[1:]
    return outputs * math.prod(taps)


def _row(graph: Graph, op: Op) -> Row:
    constants = sum(t.data.nbytes for t in op.inputs if t is not None and t.constant)
    data = [tensor for tensor in op.inputs if tensor is not None and not tensor.constant]
    first = data[0] if data else None
    input_type = "" if first is None else _type(graph, first)
    output_type = _type(graph, op.outputs[0]) if op.outputs else ""
    weight_bits, macs = 0, 0
    if op.name in MATMUL_OPS:
        weight_bits, macs = codes_of(op.options, "weight").bits, ste_macs(op)
    elif macs := _builtin_macs(op):
        weight_bits = _bits(op.inputs[1])
    width = ""
    if macs:
        codes = _codes(graph, first)
        input_bits = op.options.get("row_bits") or (_bits(first) if codes is None else codes.bits)
        width = f"{weight_bits}x{input_bits}"
    parts = (("weights", op.name in MATMUL_OPS), ("output", output_type.startswith(PACKED)))
    packed = [name for name, is_so in parts if is_so]
    return Row(
        op=op.name,
        layer=op.layer,
        input=input_type,
        output=output_type,
        packed=", ".join(packed),
        weight_bits=weight_bits,
        constant_bytes=constants,
        macs=macs,
        mac_width=width,
        reason=op.note,
    )


def make_report(
    graphs: Sequence[Graph], unpacked: Sequence[tuple[str, str, str]], file_bytes: int
) -> Report:
    """The report of a converted model.

    Args:
      graphs: its graphs, after all passes.
      unpacked: `(layer, class, reason)` of each layer quantized in training that has no op.
      file_bytes: size of the file.
    """
    rows = [_row(graph, op) for graph in graphs for op in graph.ops]
    rows += [Row(op=class_name, layer=layer, reason=reason) for layer, class_name, reason in unpacked]
    return Report(tuple(rows), file_bytes)
