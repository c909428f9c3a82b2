"""Joins codes along the channels, not numbers."""

from __future__ import annotations

import dataclasses

import numpy as np

from keras_ste.converter.chain import NotFusable, elementwise_steps
from keras_ste.converter.graph import Graph, Op, Tensor, TensorType, constant_tensor, ste_op
from keras_ste.converter.passes.drop_dead_ops import drop_dead_ops
from keras_ste.converter.passes.quantizing import (
    MOST_THRESHOLDS,
    codes_put_out,
    joins_channels,
    packs,
    quantize_elsewhere,
    thresholds_behind,
)
from keras_ste.converter.shapes import output_shape

_MOST_INPUTS = 8


def concatenate_codes(graph: Graph) -> None:
    """CONCATENATION → scales, shifts, clamps → SteQuantize becomes, on each input, the same, and SteConcat.

    Scales, shifts and clamps are moved where nothing reads the numbers but few quantizers.
    """
    waiting = graph.select("SteQuantize")
    while waiting:
        quantize = waiting.pop()
        if not packs(quantize):
            continue
        _hoist_steps(graph, quantize)
        concat = graph.producer(quantize.inputs[0])
        if concat is not None and joins_channels(concat):
            waiting += _move(graph, quantize, concat)
    drop_dead_ops(graph)


def _hoist_steps(graph: Graph, quantize: Op) -> None:
    """Lets a SteQuantize behind elementwise ops behind a concatenation read one of what these ops make of each part."""
    path, tensor = [], quantize.inputs[0]
    while (op := graph.producer(tensor)) is not None:
        if joins_channels(op):
            break
        readers_are_few = (thresholds_behind(graph, tensor) or MOST_THRESHOLDS + 1) <= MOST_THRESHOLDS
        try:
            source, _ = elementwise_steps(op)
        except NotFusable:
            return
        if graph.only_reader(tensor) is None and not readers_are_few:
            return
        path.append(op)
        tensor = source
    if not path or op is None:
        return
    parts = op.inputs
    for each in reversed(path):
        parts = _hoist(graph, each, parts, op)
    data = quantize.inputs[0]
    joined = Tensor(f"{data.name}/joined", data.type, data.signature)
    graph.insert_before(op, dataclasses.replace(op, inputs=parts, outputs=[joined]))
    quantize.inputs[0] = joined


def _hoist(graph: Graph, op: Op, parts: list[Tensor], concat: Op) -> list[Tensor]:
    """Puts copies of an op that reads these parts joined before a concatenation. Returns what they put out."""
    data, _ = elementwise_steps(op)
    first, results = 0, []
    for part in parts:
        end = first + part.signature[-1]
        copy = dataclasses.replace(op, inputs=[_part(t, data, part, first, end) for t in op.inputs])
        copy.outputs = [Tensor(f"{op.outputs[0].name}/{first}", data.type, part.signature)]
        graph.insert_before(concat, copy)
        results += copy.outputs
        first = end
    return results


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
