"""Quantizes a feature map before it is reshaped or flattened, not after.

The quantizer then stands behind the layer that made the map, where it can become that layer's thresholds.
"""

from __future__ import annotations

import math

from keras_ste.codes import Codes
from keras_ste.converter.graph import MATMUL_OPS, Graph, Op, Tensor, TensorType, reshape_op, ste_op
from keras_ste.converter.packing import words_of
from keras_ste.converter.passes.drop_reshapes import RESHAPES
from keras_ste.converter.passes.quantizing import codes_put_out, packs, same_for_all_channels
from keras_ste.converter.shapes import output_shape


def _flattened_axes(reshape: Op) -> int | None:
    """How many trailing axes the reshape makes into one, or None where it does anything else."""
    before, after = reshape.inputs[0].signature, reshape.outputs[0].signature
    axes = len(before) - len(after) + 1
    lead = len(after) - 1
    if axes < 1 or lead < 0 or before[:lead] != after[:lead] or -1 in before[lead:]:
        return None
    # With one unknown size before the flattened axes, equal numbers of elements make it equal too.
    if before[:lead].count(-1) > 1 or math.prod(before[lead:]) != after[-1]:
        return None
    return axes


def _move(graph: Graph, quantize: Op, reshape: Op) -> str | None:
    """Lets dense layers read what is flattened. Returns why they cannot, or None where they do."""
    if not packs(quantize):
        return "its input is flattened, and each number is quantized to a byte in its own way"
    if not same_for_all_channels(quantize):
        return "its input is flattened, and its channels are quantized each in its own way"
    readers = graph.consumers(quantize.outputs[0])
    if quantize.outputs[0] in graph.outputs or any(
        op.name != "SteFullyConnected" or op.options.get("input_axes", 1) != 1 for op in readers
    ):
        return "the flattened signs are read by an op other than a dense layer"
    axes = _flattened_axes(reshape)
    if axes is None:
        return "its input comes from RESHAPE, which is not a flattening of known sizes"
    source = reshape.inputs[0]
    channels = source.signature[-1]
    pixels = math.prod(source.signature[-axes:-1])
    if pixels * words_of(channels) > 2 * words_of(pixels * channels):
        return (
            f"its input is flattened from pixels of {channels} channels, which would fill less than "
            "half of their words of 32"
        )
    quantize.inputs[0] = source
    quantize.options["channels"] = channels
    quantize.outputs[0].signature = output_shape(quantize)
    for op in readers:
        op.options.update(channels=channels, pixels=pixels, input_axes=axes)
    return None


def _reshape_behind(graph: Graph, quantize: Op, reshape: Op) -> bool:
    """Reshapes codes in place of numbers, where the channels stay as they are. Returns whether they do.

    Bytes that are all quantized alike are reshaped as numbers are.
    """
    before, after = reshape.inputs[0], reshape.outputs[0]
    codes = quantize.outputs[0]
    bytes_alike = not packs(quantize) and same_for_all_channels(quantize)
    if before.signature[-1:] < (1,) or after.signature.count(-1) > 1:
        return False
    if before.signature[-1:] != after.signature[-1:] and not bytes_alike:
        return False
    quantize.inputs[0] = before
    quantize.options["channels"] = before.signature[-1]
    quantized = Tensor(f"{codes.name}/before_reshape", codes.type, before.signature)
    quantize.outputs = [quantized]
    quantized.signature = output_shape(quantize)
    codes.signature = (*after.signature[:-1], quantized.signature[-1]) if packs(quantize) else after.signature
    graph.ops.insert(graph.ops.index(quantize) + 1, reshape_op(quantized, codes))
    return True


def _reshape_bytes(graph: Graph, quantize: Op, reshape: Op) -> bool:
    """Reshapes bytes that have the codes' bits, where the channels do not stay as they are. Returns whether it does.

    That is two ops more, of few bytes each, for a layer before that compares its sums with thresholds and puts out codes.
    """
    after, codes = reshape.outputs[0], codes_put_out(quantize)
    while (earlier := _reshape_alone(graph, reshape.inputs[0])) is not None:
        reshape = earlier
    before = reshape.inputs[0]
    if not packs(quantize) or not same_for_all_channels(quantize):
        return False
    if before.type != TensorType.FLOAT32 or before.signature[-1:] < (1,) or after.signature.count(-1) > 1:
        return False
    if not _only_quantized(graph, before) or not _only_quantized(graph, after) or not _behind_product(graph, before):
        return False
    packed = Tensor(f"{before.name}/{quantize.outputs[0].name}", TensorType.INT32, ())
    whole, reshaped = (Tensor(f"{t.name}/bytes", TensorType.INT8, t.signature) for t in (before, after))
    unpack, pack = _unpack(packed, whole, codes), _pack(reshaped, quantize.outputs[0], codes)
    place = graph.ops.index(quantize) + 1
    quantize.inputs[0], quantize.outputs = before, [packed]
    quantize.options["channels"] = before.signature[-1]
    packed.signature = output_shape(quantize)
    unpack.layer = pack.layer = quantize.layer
    graph.ops[place:place] = [unpack, reshape_op(whole, reshaped), pack]
    return True


def _reshape_alone(graph: Graph, tensor: Tensor) -> Op | None:
    """The reshape that made a tensor for another one alone, which could do what both do."""
    op = graph.producer(tensor)
    return op if op is not None and op.name in RESHAPES and graph.only_reader(tensor) is not None else None


def _only_quantized(graph: Graph, tensor: Tensor) -> bool:
    """Whether nothing reads numbers but quantizers, as they are or reshaped, so that they need not be computed."""
    readers = (op for op in graph.consumers(tensor) if op.name not in RESHAPES)
    return tensor not in graph.outputs and all(op.name == "SteQuantize" and packs(op) for op in readers)


def _behind_product(graph: Graph, tensor: Tensor) -> bool:
    """Whether a layer's product is among what a tensor is computed from."""
    makers = {made: op for op in graph.ops for made in op.outputs}
    left, seen = [tensor], set()
    while left:
        op = makers.get(left.pop())
        if op is None or op in seen:
            continue
        if op.name in MATMUL_OPS:
            return True
        seen.add(op)
        left += [source for source in op.inputs if source is not None]
    return False


def _unpacked(graph: Graph, tensor: Tensor) -> bool:
    """Whether a tensor is the bytes of packed codes."""
    op = graph.producer(tensor)
    return op is not None and op.name == "SteQuantize" and not packs(op) and op.inputs[0].type == TensorType.INT32


def _numbers(codes: Codes) -> Codes:
    """The bits of codes as numbers that a byte holds, whatever they are worth."""
    return Codes(codes.bits, "unsigned" if codes.bits < 8 else "signed")


def _unpack(packed: Tensor, whole: Tensor, codes: Codes) -> Op:
    """Bytes of packed codes."""
    options = {"version": 2, "channels": whole.signature[-1], **_numbers(codes).options("input"), "output": "int8"}
    return ste_op("SteQuantize", [packed], [whole], options)


def _pack(whole: Tensor, packed: Tensor, codes: Codes) -> Op:
    """Packed codes of these bytes."""
    options = {"version": 2, "channels": whole.signature[-1], "output": "packed", **_numbers(codes).options("output")}
    return ste_op("SteQuantize", [whole], [packed], options)


def move_quantize_above_reshape(graph: Graph) -> None:
    """RESHAPE → SteQuantize → SteFullyConnected becomes SteQuantize → SteFullyConnected(pixels).

    A RESHAPE, EXPAND_DIMS or SQUEEZE that leaves the channels as they are, or whose numbers are all quantized to bytes
    alike, changes places with the SteQuantize. Behind a layer, codes go through any other one as bytes.
    """
    for quantize in graph.select("SteQuantize"):
        reshape = graph.producer(quantize.inputs[0])
        while reshape is not None and reshape.name in RESHAPES and not _unpacked(graph, reshape.inputs[0]):
            reason = _move(graph, quantize, reshape)
            moves = reason is None or _reshape_behind(graph, quantize, reshape) or _reshape_bytes(graph, quantize, reshape)
            if not moves:
                quantize.note = reason
                break
            reshape = graph.producer(quantize.inputs[0])
