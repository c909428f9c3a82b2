"""Takes codes through a reshape that mixes pixels and channels: as bytes, since the packed codes of a pixel have words of
their own."""

from __future__ import annotations

from keras_ste.codes import Codes
from keras_ste.converter.graph import MATMUL_OPS, Graph, Op, Tensor, TensorType, reshape_op, ste_op
from keras_ste.converter.passes.drop_reshapes import RESHAPES
from keras_ste.converter.passes.quantizing import codes_put_out, packs, same_for_all_channels
from keras_ste.converter.shapes import output_shape


def reshape_codes(graph: Graph) -> None:
    """RESHAPE → SteQuantize becomes SteQuantize → SteQuantize to bytes → RESHAPE of bytes → SteQuantize of bytes.

    That is behind a layer, whose sums thresholds make codes; where these are read in place, or their words reshaped, other
    passes have moved the quantizer already.
    """
    for quantize in graph.select("SteQuantize"):
        reshape = graph.producer(quantize.inputs[0])
        if reshape is not None and reshape.name in RESHAPES and packs(quantize) and same_for_all_channels(quantize):
            _reshape_bytes(graph, quantize, reshape)


def _reshape_bytes(graph: Graph, quantize: Op, reshape: Op) -> None:
    after, codes = reshape.outputs[0], codes_put_out(quantize)
    while (earlier := _reshape_alone(graph, reshape.inputs[0])) is not None:
        reshape = earlier
    before = reshape.inputs[0]
    if _numbers(codes).worths[-1] > 127:  # 8 bits whose codes are no int8
        return
    if before.type != TensorType.FLOAT32 or before.signature[-1:] < (1,) or after.signature.count(-1) > 1:
        return
    if not _only_quantized(graph, before) or not _only_quantized(graph, after) or not _behind_product(graph, before):
        return
    packed = Tensor(f"{before.name}/{quantize.outputs[0].name}", TensorType.INT32, ())
    whole, reshaped = (Tensor(f"{t.name}/bytes", TensorType.INT8, t.signature) for t in (before, after))
    unpack, pack = _unpack(packed, whole, codes), _pack(reshaped, quantize.outputs[0], codes)
    unpack.layer = pack.layer = quantize.layer
    place = graph.ops.index(quantize) + 1
    quantize.inputs[0], quantize.outputs, quantize.note = before, [packed], None
    quantize.options["channels"] = before.signature[-1]
    packed.signature = output_shape(quantize)
    graph.ops[place:place] = [unpack, reshape_op(whole, reshaped), pack]


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


def holds_codes(graph: Graph, tensor: Tensor) -> bool:
    """Whether a tensor has packed codes as bytes."""
    op = graph.producer(tensor)
    return op is not None and op.name == "SteQuantize" and not packs(op) and op.inputs[0].type == TensorType.INT32


def _numbers(codes: Codes) -> Codes:
    """Codes of the same bits, that are worth what a SteQuantize rounds to: of bipolar ones that is their number."""
    return Codes(codes.bits, "unsigned") if codes.encoding == "bipolar" else codes


def _unpack(packed: Tensor, whole: Tensor, codes: Codes) -> Op:
    """Bytes of packed codes."""
    options = {"version": 2, "channels": whole.signature[-1], **_numbers(codes).options("input"), "output": "int8"}
    return ste_op("SteQuantize", [packed], [whole], options)


def _pack(whole: Tensor, packed: Tensor, codes: Codes) -> Op:
    """Packed codes of these bytes."""
    options = {"version": 2, "channels": whole.signature[-1], "output": "packed", **codes.options("output")}
    return ste_op("SteQuantize", [whole], [packed], options)
