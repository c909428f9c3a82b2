"""Shuffles the channels of codes, not of numbers."""

from __future__ import annotations

import math

import numpy as np

from keras_ste.converter.graph import Graph, Op, Tensor, TensorType, ste_op
from keras_ste.converter.passes.quantizing import codes_put_out, packs, quantize_elsewhere


def shuffle_codes(graph: Graph) -> None:
    """RESHAPE → TRANSPOSE of the last two axes → RESHAPE → SteQuantize becomes SteQuantize → SteShuffle."""
    for quantize in graph.select("SteQuantize"):
        found = _shuffled(graph, quantize.inputs[0]) if packs(quantize) else None
        if found is not None:
            _move(graph, quantize, *found)


def _shuffled(graph: Graph, tensor: Tensor) -> tuple[Tensor, int] | None:
    """What is shuffled, and in how many groups, where a tensor is a channel shuffle of another."""
    ops: list[Op] = []
    for name in ("RESHAPE", "TRANSPOSE", "RESHAPE"):
        op = graph.producer(tensor)
        if op is None or op.name != name:
            return None
        ops.append(op)
        tensor = op.inputs[0]
    back, transpose, apart = ops
    before, groups, after = tensor.signature, apart.outputs[0].signature, back.outputs[0].signature
    rank = len(groups)
    if not transpose.inputs[1].constant or list(transpose.inputs[1].data) != [*range(rank - 2), rank - 1, rank - 2]:
        return None
    if before != after or groups[:-2] != before[:-1] or -1 in groups[-2:] or math.prod(groups[-2:]) != before[-1]:
        return None
    return tensor, groups[-2]


def _move(graph: Graph, quantize: Op, source: Tensor, groups: int) -> None:
    channels = source.signature[-1]
    place = np.argsort(np.arange(channels).reshape(groups, -1).T.reshape(-1))
    codes = quantize_elsewhere(graph, quantize, source, lambda constant: constant[..., place])
    options = {
        "version": 2,
        **codes_put_out(quantize).options("input"),
        "channels": channels,
        "groups": groups,
    }
    shuffled = Tensor(f"{quantize.outputs[0].name}/shuffled", TensorType.INT32, codes.signature)
    graph.insert_before(quantize, ste_op("SteShuffle", [codes], [shuffled], options))
    graph.replace(quantize.outputs[0], shuffled)
    graph.remove(quantize)
