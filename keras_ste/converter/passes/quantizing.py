"""What a SteQuantize computes, and copies of it that stand elsewhere: for the passes that move one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from keras_ste.codes import Codes, codes_of
from keras_ste.converter.chain import NotFusable, elementwise_steps
from keras_ste.converter.graph import Graph, Op, Tensor, TensorType, constant_tensor
from keras_ste.converter.shapes import output_shape

# Of all quantizers of the same numbers, for these to be quantized once: thresholds are compared one by one. Two
# quantizers of 4 bits have 30.
MOST_THRESHOLDS = 31


def packs(quantize: Op) -> bool:
    """Whether what the op puts out is packed."""
    return quantize.options.get("output", "packed") == "packed"


def codes_put_out(quantize: Op) -> Codes:
    """The code book of a packed output, without a zero point: its reader knows that."""
    if quantize.options["version"] == 1:
        return Codes()
    codes = codes_of(quantize.options, "output")
    return Codes(codes.bits, codes.encoding)


def quantized(quantize: Op, x: np.ndarray) -> np.ndarray:
    """What the op's output is worth of float32 numbers, whose last axis are the channels, or of one for all.

    Bytes are worth themselves.
    """
    options = quantize.options
    if options["version"] == 1:
        return np.where(x >= 0, 1, -1)
    multiplier, bias, thresholds = (quantize.input(index) for index in (1, 2, 3))
    codes = codes_put_out(quantize)
    if thresholds is not None:
        rows = thresholds.data.reshape(2**codes.bits - 1, -1)
        return codes.worths[sum((x >= row).astype(np.int64) for row in rows)]
    with np.errstate(invalid="ignore", over="ignore"):
        y = x if multiplier is None else x * multiplier.data
        y = np.rint(y if bias is None else y + bias.data)
    low, high = (-128, 127) if options["output"] == "int8" else codes.worths[[codes.encoding == "ternary", -1]]
    low, high = options.get("output_min", low), options.get("output_max", high)
    number = np.nan_to_num(np.clip(y + options.get("output_zero_point", 0), low, high)).astype(np.int64)
    return 2 * number - (2**codes.bits - 1) if packs(quantize) and codes.encoding == "bipolar" else number


def quantize_elsewhere(
    graph: Graph, quantize: Op, source: Tensor, channels: Callable[[np.ndarray], np.ndarray] | None = None
) -> Tensor:
    """Puts a copy of a SteQuantize before it, that reads another tensor. Returns what it puts out.

    Args:
      channels: takes those constants along the channels that the copy needs; by default all.
    """
    inputs: list[Tensor | None] = [source]
    for constant in quantize.inputs[1:]:
        if constant is not None and constant.shape[-1] != 1 and channels is not None:
            constant = constant_tensor(f"{constant.name}/{source.name}", channels(constant.data))
        inputs.append(constant)
    old = quantize.outputs[0]
    output = Tensor(f"{source.name}/{old.name}", old.type, ())
    options = {**quantize.options, "channels": source.signature[-1]}
    copy = dataclasses.replace(quantize, inputs=inputs, outputs=[output], options=options, note=None)
    output.signature = output_shape(copy)
    graph.insert_before(quantize, copy)
    return output


def thresholds_behind(graph: Graph, tensor: Tensor) -> int | None:
    """How many borders between codes the quantizers have that read numbers, behind scales, shifts, clamps and joined
    channels; None where something else reads them.
    """
    if tensor in graph.outputs:
        return None
    count = 0
    for op in graph.consumers(tensor):
        if op.name == "SteQuantize":
            behind = (2 ** codes_put_out(op).bits if packs(op) else 256) - 1
        elif joins_channels(op) or _is_elementwise(op, tensor):
            behind = thresholds_behind(graph, op.outputs[0])
        else:
            return None
        if behind is None:
            return None
        count += behind
    return count


def _is_elementwise(op: Op, source: Tensor) -> bool:
    try:
        return elementwise_steps(op)[0] is source
    except NotFusable:
        return False


def joins_channels(op: Op) -> bool:
    """Whether the op joins float tensors along their last axis, of known sizes."""
    if op.name != "CONCATENATION" or op.activation != "NONE" or any(t.constant for t in op.inputs):
        return False
    rank = len(op.outputs[0].signature)
    known = all(t.signature[-1] > 0 for t in op.inputs)
    return known and op.outputs[0].type == TensorType.FLOAT32 and op.raw.builtinOptions.axis % rank == rank - 1


def all_quantize(graph: Graph, tensor: Tensor) -> bool:
    """Whether every reader of a tensor is a SteQuantize that packs."""
    readers = graph.consumers(tensor)
    return tensor not in graph.outputs and all(op.name == "SteQuantize" and packs(op) for op in readers)


def same_for_all_channels(quantize: Op) -> bool:
    """Whether the op quantizes all channels alike."""
    return all(constant is None or constant.shape[-1] == 1 for constant in quantize.inputs[1:])
