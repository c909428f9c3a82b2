"""Finds how large tensors of unknown sizes are with a batch of one: TFLite Micro takes them as the file has them."""

from __future__ import annotations

import math

from keras_ste.converter.graph import Graph, Op, Tensor


def sizes_of_one(graph: Graph) -> None:
    """Takes the first size of tensors along the ops, where a RESHAPE has made of a batch of volumes one of images."""
    for op in graph.ops:
        first = _first_size(op)
        if first is None:
            continue
        for tensor in op.outputs:
            if tensor.signature[:1] == (-1,):
                tensor.sizes = (first, *_others(tensor))


def _first_size(op: Op) -> int | None:
    """Of what an op puts out, where it does not know it; None where it is no matter of its first input's."""
    source = next((t for t in op.inputs if t is not None and not t.constant), None)
    if source is None or source.signature[:1] != (-1,):
        return None
    if op.name == "TRANSPOSE" and not (op.inputs[1].constant and op.inputs[1].data[0] == 0):
        return None
    if op.name != "RESHAPE":
        return source.shape[0]
    rest = math.prod(_others(op.outputs[0]))
    return math.prod(source.shape) // rest if rest else None


def _others(tensor: Tensor) -> tuple[int, ...]:
    return tuple(max(size, 1) for size in tensor.signature[1:])
