"""Leaves out pools over windows of one place."""

from __future__ import annotations

from keras_ste.converter.graph import Graph, Op

POOLS = ("MAX_POOL_2D", "AVERAGE_POOL_2D")


def drop_pools_of_one(graph: Graph) -> None:
    """Lets the readers of a pool over one place, with strides of 1, read what it reads.

    One whose result is an output stays, but no other reads it: of two in a row LiteRT's XNNPACK (ai-edge-litert 2.3)
    computes nothing once the batch has another size than in the file.
    """
    for op in graph.select(*POOLS):
        if not _is_of_one(op):
            continue
        for reader in graph.consumers(op.outputs[0]):
            reader.inputs = [op.inputs[0] if tensor is op.outputs[0] else tensor for tensor in reader.inputs]
        if op.outputs[0] not in graph.outputs:
            graph.remove(op)


def _is_of_one(op: Op) -> bool:
    o = op.raw.builtinOptions
    sizes = (o.filterHeight, o.filterWidth, o.strideH, o.strideW)
    return sizes == (1, 1, 1, 1) and op.activation == "NONE"
