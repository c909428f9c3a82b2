"""The ends of an integer model: tensors of the model's own type, int8 or uint8 as asked."""

from __future__ import annotations

from keras_ste.converter.graph import MATMUL_OPS, Graph, Op, Tensor, TensorType
from keras_ste.converter.integer.builtin_ops import dequantize, requantize
from keras_ste.converter.integer.parameters import Parameters, describe, integer_tensor

_PIXELS = {TensorType.INT8: 0, TensorType.UINT8: -128}  # what moves them into int8
_STE_READERS = ("SteQuantize", *MATMUL_OPS)


def reads_floats(op: Op) -> bool:
    """Whether an op of this package can read an end of the model that stays float32."""
    return op.name in _STE_READERS


def part_inputs(graph: Graph, kind: int | None) -> dict[Tensor, Tensor]:
    """Puts a tensor of its own behind each input of floats that does not become int8.

    Args:
      graph: the graph.
      kind: the type that inputs of floats get; None leaves them float32, and lets ops of this package read them.

    Returns:
      For each input the tensor behind it. The op between the two is put in by `join_inputs`.
    """
    behind = {}
    for tensor in graph.inputs:
        if tensor.type != TensorType.FLOAT32 or kind == TensorType.INT8:
            continue
        inner = Tensor(f"{tensor.name}/int8", TensorType.FLOAT32, tensor.signature)
        readers = graph.consumers(tensor)
        for op in readers if kind is not None else [op for op in readers if not reads_floats(op)]:
            op.inputs = [inner if each is tensor else each for each in op.inputs]
        behind[tensor] = inner
    return behind


def part_outputs(graph: Graph, kind: int | None) -> dict[Tensor, Tensor]:
    """Puts a tensor of its own before each output of floats that does not become int8, as `part_inputs` does.

    An output that stays float32 is left to an op of this package that nobody else reads.
    """
    before = {}
    for tensor in graph.outputs:
        producer = graph.producer(tensor)
        if tensor.type != TensorType.FLOAT32 or kind == TensorType.INT8 or producer is None:
            continue
        if kind is None and producer.name in MATMUL_OPS and not graph.consumers(tensor):
            continue
        inner = Tensor(f"{tensor.name}/int8", TensorType.FLOAT32, tensor.signature)
        producer.outputs = [inner if each is tensor else each for each in producer.outputs]
        for op in graph.consumers(tensor):
            op.inputs = [inner if each is tensor else each for each in op.inputs]
        before[tensor] = inner
    return before


def _as_uint8(tensor: Tensor, parameters: Parameters) -> None:
    tensor.type = TensorType.UINT8
    describe(tensor, parameters.scale, parameters.zero_point + 128)


def join_inputs(
    graph: Graph, behind: dict[Tensor, Tensor], kind: int | None, parameters: dict[Tensor, Parameters]
) -> None:
    """Puts QUANTIZE between the inputs and what `part_inputs` put behind them."""
    for tensor in graph.inputs:
        inner = behind.get(tensor)
        if inner is None or not graph.consumers(inner):
            continue
        if kind == TensorType.UINT8:
            _as_uint8(tensor, parameters[inner])
        graph.ops.insert(0, requantize(tensor, inner))


def join_outputs(
    graph: Graph, before: dict[Tensor, Tensor], kind: int | None, parameters: dict[Tensor, Parameters]
) -> None:
    """Puts QUANTIZE or DEQUANTIZE between what `part_outputs` put before the outputs, and these."""
    for tensor in graph.outputs:
        inner = before.get(tensor)
        if inner is None:
            continue
        if kind == TensorType.UINT8:
            _as_uint8(tensor, parameters[inner])
            graph.ops.append(requantize(inner, tensor))
        else:
            graph.ops.append(dequantize(inner, tensor))


def convert_pixels(graph: Graph, kind: int | None) -> None:
    """Gives inputs of 8-bit integers the type that is asked for: each stands for the same integer as before.

    Ops of this package read them with a zero point, a CAST to floats is dropped or becomes QUANTIZE.
    """
    for tensor in graph.inputs:
        if tensor.type not in _PIXELS:
            continue
        readers = graph.consumers(tensor)
        known = all(_casts_to_floats(op) or reads_floats(op) for op in readers)
        if known:
            _convert_pixels(graph, tensor, tensor.type if kind is None else kind, readers)
        elif kind not in (None, tensor.type):
            names = ", ".join(sorted({op.name for op in readers}))
            raise ValueError(
                f"the input '{tensor.name}' takes {tensor.type_name}, and {names} reads it as it is: it cannot take "
                "another type of integers"
            )


def _casts_to_floats(op: Op) -> bool:
    return op.name == "CAST" and op.outputs[0].type == TensorType.FLOAT32


def _convert_pixels(graph: Graph, tensor: Tensor, kind: int, readers: list[Op]) -> None:
    moved = _PIXELS[tensor.type] - _PIXELS[kind]  # what is added to an integer
    tensor.type = kind
    describe(tensor, 1, moved)
    pixels = Parameters(1, moved if kind == TensorType.INT8 else moved - 128)
    for op in readers:
        if reads_floats(op):
            op.options["input_zero_point"] = op.options.get("input_zero_point", 0) + moved
        elif kind == TensorType.INT8:
            graph.replace(op.outputs[0], tensor)
            graph.remove(op)
        else:
            inner = integer_tensor(op.outputs[0].name, tensor, pixels)
            graph.replace(op.outputs[0], inner)
            graph.ops[graph.ops.index(op)] = requantize(tensor, inner)
