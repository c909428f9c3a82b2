"""Joins codes along the channels, not numbers."""

from __future__ import annotations

import dataclasses

import numpy as np

from keras_ste.converter.chain import NotFusable, elementwise_steps
from keras_ste.converter.graph import Graph, Op, Tensor, TensorType, constant_tensor, ste_op
from keras_ste.converter.passes.quantizing import codes_put_out, packs, quantize_elsewhere
from keras_ste.converter.shapes import output_shape

_MOST_INPUTS = 8


def concatenate_codes(graph: Graph) -> None:
    """CONCATENATION → scales, shifts, clamps → SteQuantize becomes, on each input, the same, and SteConcat.

    Scales, shifts and clamps are moved where nothing else reads the numbers.
    """
    waiting = graph.select("SteQuantize")
    while waiting:
        quantize = waiting.pop()
        if not packs(quantize):
            continue
        _hoist_steps(graph, quantize)
        concat = graph.producer(quantize.inputs[0])
        if concat is not None and _joins_channels(concat):
            waiting += _move(graph, quantize, concat)


def _joins_channels(op: Op) -> bool:
    if op.name != "CONCATENATION" or op.activation != "NONE" or any(t.constant for t in op.inputs):
        return False
    rank = len(op.outputs[0].signature)
    known = all(t.signature[-1] > 0 for t in op.inputs)
    return known and op.outputs[0].type == TensorType.FLOAT32 and op.raw.builtinOptions.axis % rank == rank - 1


def _hoist_steps(graph: Graph, quantize: Op) -> None:
    """Moves elementwise ops between a concatenation and a SteQuantize before it, the last of them last."""
    path, tensor = [], quantize.inputs[0]
    while graph.only_reader(tensor) is not None:
        op = graph.producer(tensor)
        if op is None:
            return
        if _joins_channels(op):
            for each in reversed(path):
                _hoist(graph, each)
            return
        try:
            tensor, _ = elementwise_steps(op)
        except NotFusable:
            return
        path.append(op)


def _hoist(graph: Graph, op: Op) -> None:
    """Moves an op before the concatenation that it reads."""
    data, _ = elementwise_steps(op)
    concat = graph.producer(data)
    first, parts = 0, []
    for part in concat.inputs:
        end = first + part.signature[-1]
        copy = dataclasses.replace(op, inputs=[_part(t, data, part, first, end) for t in op.inputs])
        copy.outputs = [Tensor(f"{op.outputs[0].name}/{first}", data.type, part.signature)]
        graph.insert_before(concat, copy)
        parts += copy.outputs
        first = end
    concat.inputs, concat.outputs = parts, op.outputs
    graph.remove(op)


def _part(tensor: Tensor, data: Tensor, part: Tensor, first: int, end: int) -> Tensor:
    if tensor is data:
        return part
    if tensor.data.size == 1:
        return tensor
    return constant_tensor(f"{tensor.name}/{first}", tensor.data[..., first:end])


def _move(graph: Graph, quantize: Op, concat: Op) -> list[Op]:
    """Returns the new quantizers."""
    parts, first, before = [], 0, set(map(id, graph.ops))
    for part in concat.inputs:
        end = first + part.signature[-1]
        channels = slice(first, end)
        parts.append(quantize_elsewhere(graph, quantize, part, lambda c, channels=channels: c[..., channels]))
        first = end
    sizes = [part.signature[-1] for part in concat.inputs]
    joined = _join(graph, quantize, parts, sizes)
    graph.replace(quantize.outputs[0], joined)
    graph.remove(quantize)
    if not graph.consumers(concat.outputs[0]) and concat.outputs[0] not in graph.outputs:
        graph.remove(concat)
    return [op for op in graph.ops if op.name == "SteQuantize" and id(op) not in before]


def _join(graph: Graph, quantize: Op, parts: list[Tensor], sizes: list[int]) -> Tensor:
    """Eight at a time."""
    while len(parts) > 1:
        options = {"version": 2, **codes_put_out(quantize).options("input")}
        options |= {f"channels_{i}": size for i, size in enumerate(sizes[:_MOST_INPUTS])}
        joined = Tensor(f"{quantize.outputs[0].name}/{len(parts)}", TensorType.INT32, ())
        op = ste_op("SteConcat", parts[:_MOST_INPUTS], [joined], options)
        joined.signature = output_shape(op)
        graph.insert_before(quantize, op)
        parts = [joined, *parts[_MOST_INPUTS:]]
        sizes = [int(np.sum(sizes[:_MOST_INPUTS])), *sizes[_MOST_INPUTS:]]
    return parts[0]
