"""Stacks planes of codes, and cuts planes off, not of numbers."""

from __future__ import annotations

import dataclasses

from keras_ste.converter.chain import NotFusable, elementwise_steps
from keras_ste.converter.graph import Graph, Op, Tensor, TensorType, constant_tensor
from keras_ste.converter.shapes import output_shape


def stack_codes(graph: Graph) -> None:
    """PACK → scales, shifts, clamps → SteQuantize becomes, on each input, the same, and PACK of codes.

    So does STRIDED_SLICE. Both have to leave the channels as they are.
    """
    for quantize in graph.select("SteQuantize"):
        if quantize.inputs[0].type == TensorType.INT32:  # codes, no numbers
            continue
        path = [quantize]
        while (source := _source(graph, path[0])) is not None:
            if source.name in ("PACK", "STRIDED_SLICE"):
                if _keeps_channels(source):
                    _move(graph, source, path)
                break
            path.insert(0, source)


def _source(graph: Graph, op: Op) -> Op | None:
    """What makes the numbers that an op on the path changes, or quantizes, where no other op reads them."""
    try:
        tensor = op.inputs[0] if op.name == "SteQuantize" else elementwise_steps(op)[0]
    except NotFusable:
        return None
    return graph.producer(tensor) if graph.only_reader(tensor) is op else None


def _keeps_channels(op: Op) -> bool:
    before, after = op.inputs[0].signature, op.outputs[0].signature
    if op.name == "PACK":
        return op.raw.builtinOptions.axis % len(after) < len(after) - 1
    # A cut within the channels leaves fewer of them.
    return len(before) == len(after) and before[-1:] == after[-1:] != (-1,)


def _move(graph: Graph, op: Op, path: list[Op]) -> None:
    """Lets an op read codes: its data inputs go the path that its output went."""
    *_, quantize = path
    data = len(op.inputs) if op.name == "PACK" else 1
    inputs = [_along(graph, op, path, tensor, index) for index, tensor in enumerate(op.inputs[:data])]
    codes = quantize.outputs[0]
    graph.insert_before(op, dataclasses.replace(op, inputs=inputs + op.inputs[data:], outputs=[codes]))
    codes.signature = (*op.outputs[0].signature[:-1], inputs[0].signature[-1])
    graph.remove(op, *path)


def _along(graph: Graph, before: Op, path: list[Op], tensor: Tensor, index: int) -> Tensor:
    """What copies of the ops on the path, put before an op, make of a tensor."""
    for op in path:
        made = op.outputs[0]
        result = Tensor(f"{made.name}/{index}", made.type, tensor.signature)
        data = op.inputs[0] if op.name == "SteQuantize" else elementwise_steps(op)[0]
        inputs = [tensor if each is data else _flat(each) for each in op.inputs]
        copy = dataclasses.replace(op, inputs=inputs, outputs=[result], options=dict(op.options))
        if op.name == "SteQuantize":
            result.signature = output_shape(copy)
        graph.insert_before(before, copy)
        tensor = result
    return tensor


def _flat(constant: Tensor | None) -> Tensor | None:
    """Constants for each channel without the axes before: what is stacked has one axis less."""
    if constant is None or len(constant.shape) < 3:  # thresholds have two
        return constant
    return constant_tensor(constant.name, constant.data.reshape(-1))
