"""What one op of a converted model is: types, sizes, multiply-adds."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter

import numpy as np

from keras_ste.codes import Codes, codes_of
from keras_ste.converter.graph import CODE_MOVES, MATMUL_OPS, NUMPY_TYPES, PREFIX, Graph, Op, Tensor, TensorType
from keras_ste.converter.shapes import macs as ste_macs
from keras_ste.converter.sizes import SizeCheck, check_size, weight_bits

PACKED = "packed"
# Ops of TFLite that move the words of packed codes.
_KEEP_CODES = ("RESHAPE", "STRIDED_SLICE", "PACK")
# Where the ops that look rows up have their table.
_TABLES = {"GATHER": 0, "SteGather": 1}


@dataclasses.dataclass(frozen=True)
class Row:
    """One op of the converted model, or one layer that has no op of this package.

    Attributes:
      op: the op's name; for a layer that stayed in float, its class.
      layer: path of the Keras layer, or None where it is not known.
      input: the type of the first input that is no constant: `"packed 1-bit"` of signs, `"packed 3-bit unsigned"`,
        `"float32"`, ...
      output: the types of all outputs: `"packed 2-bit unsigned, float32"`, `"4 × float32"`.
      packed: what is stored in bits: `"weights"`, `"output"`, both or nothing (`""`).
      weight_bits: bits of one weight, or of one code of a packed table; 0 for an op that has neither.
      constant_bytes: bytes of the op's constants.
      macs: multiply-adds for one run with a batch of one (or of the file's fixed size).
      mac_width: bits of weight and input of a multiply-add: `"1x1"`, `"1x8"`, `"32x32"`, ...
      moved_bytes: bytes of all inputs, constants and outputs together, for such a run; of a table those of the rows that
        are looked up.
      size: whether packed weights take what their bits take; None for other ops.
      predicted_us, measured_us: how long it takes by itself, in microseconds, as `keras_ste.benchmark` predicts
        and measures it; None where that is not known.
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
    moved_bytes: int = 0
    size: SizeCheck | None = None
    predicted_us: float | None = None
    measured_us: float | None = None
    reason: str | None = None


def _codes(graph: Graph, tensor: Tensor) -> Codes | None:
    """The codes of a packed tensor, `None` of any other."""
    if tensor.type != TensorType.INT32:
        return None
    producer = graph.producer(tensor)
    if producer is not None and producer.name in _KEEP_CODES:
        return _codes(graph, producer.inputs[0])
    if producer is None or not producer.name.startswith(PREFIX):
        # An input, or rows that GATHER takes from a table of words, as files of earlier versions have it: the readers know.
        readers = [op for op in graph.consumers(tensor) if op.name.startswith(PREFIX) and op.name != "SteGather"]
        return codes_of(readers[0].options, _name_of_input(readers[0], tensor)) if readers else None
    if producer.name == "SteNearest":
        return None
    if producer.name in CODE_MOVES:
        return codes_of(producer.options, "input")
    return codes_of(producer.options, "output") if producer.options.get("output", "packed") == "packed" else None


def _name_of_input(op: Op, tensor: Tensor) -> str:
    """What the options that describe the codes of a packed input begin with."""
    if op.name == "SteAdd":
        return "a" if tensor is op.inputs[0] else "b"
    return "input" if tensor is op.inputs[0] else "residual"


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
    """Multiply-adds of the built-in ops that multiply matrices."""
    if op.name == "BATCH_MATMUL":
        axis = -2 if getattr(op.raw.builtinOptions, "adjX", False) else -1
        return math.prod(op.outputs[0].shape) * op.inputs[0].shape[axis]
    if op.name == "TRANSPOSE_CONV":  # each input meets the whole filter
        return math.prod(op.inputs[2].shape) * math.prod(op.inputs[1].shape[:3])
    if op.name not in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED") or op.input(1) is None:
        return 0
    filters, outputs = op.inputs[1].shape, math.prod(op.outputs[0].shape)
    # A depthwise filter is [1, kh, kw, channels], the others are [channels, ...].
    taps = filters[1:3] if op.name == "DEPTHWISE_CONV_2D" else filters[1:]
    return outputs * math.prod(taps)


def _nbytes(tensor: Tensor) -> int:
    """Bytes of a tensor, unknown sizes counted as 1; 0 where its type has no size."""
    if tensor.constant:
        return tensor.data.nbytes
    if tensor.type not in NUMPY_TYPES:
        return 0
    return math.prod(tensor.shape) * np.dtype(NUMPY_TYPES[tensor.type]).itemsize


def _moved_bytes(op: Op) -> int:
    """Bytes of all inputs, constants and outputs; of a table those of the rows that are looked up."""
    moved = [*op.inputs, *op.outputs]
    if op.name in _TABLES:
        moved[_TABLES[op.name]] = op.outputs[0]
    return sum(_nbytes(tensor) for tensor in moved if tensor is not None)


def op_row(graph: Graph, op: Op, quantizer_bits: int | None = None) -> Row:
    """The row of an op.

    Args:
      graph: the op's, packed.
      op: the op.
      quantizer_bits: bits of the quantizer of its kernel or table, where they are known.
    """
    constants = sum(t.data.nbytes for t in op.inputs if t is not None and t.constant)
    data = [tensor for tensor in op.inputs if tensor is not None and not tensor.constant]
    first = data[0] if data else None
    input_type = "" if first is None else _type(graph, first)
    output_types = Counter(_type(graph, tensor) for tensor in op.outputs)
    packed_bits = weight_bits(op)
    macs = ste_macs(op) if op.name in MATMUL_OPS else _builtin_macs(op)
    bits = packed_bits or (_bits(op.inputs[1]) if macs else 0)
    width = ""
    if macs:
        codes = _codes(graph, first)
        input_bits = op.options.get("row_bits") or (_bits(first) if codes is None else codes.bits)
        width = f"{bits}x{input_bits}"
    parts = (("weights", packed_bits > 0), ("output", any(name.startswith(PACKED) for name in output_types)))
    packed = [name for name, is_so in parts if is_so]
    return Row(
        op=op.name,
        layer=op.layer,
        input=input_type,
        output=", ".join(name if count == 1 else f"{count} × {name}" for name, count in output_types.items()),
        packed=", ".join(packed),
        weight_bits=bits,
        constant_bytes=constants,
        macs=macs,
        mac_width=width,
        moved_bytes=_moved_bytes(op),
        size=check_size(op, quantizer_bits),
        reason=op.note,
    )
