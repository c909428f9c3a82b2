"""Takes the maximum of codes, not of numbers."""

from __future__ import annotations

from keras_ste.converter.chain import NotFusable, activation_steps
from keras_ste.converter.graph import Graph, Op
from keras_ste.converter.passes.fuse_thresholds import pool_op
from keras_ste.converter.passes.quantizing import all_quantize, codes_put_out, quantize_elsewhere


def pool_codes(graph: Graph) -> None:
    """MAX_POOL_2D → SteQuantize becomes SteQuantize → SteMaxPool2D: a quantizer rises with what it quantizes."""
    for quantize in graph.select("SteQuantize"):
        pool = graph.producer(quantize.inputs[0])
        if pool is not None and pool.name == "MAX_POOL_2D" and all_quantize(graph, pool.outputs[0]):
            _move(graph, quantize, pool)


def _move(graph: Graph, quantize: Op, pool: Op) -> None:
    try:
        if activation_steps(pool, pool.activation):
            return
    except NotFusable:
        return
    codes = quantize_elsewhere(graph, quantize, pool.inputs[0])
    op = pool_op(pool, [], quantize.options["channels"], codes, codes_put_out(quantize))
    graph.insert_before(quantize, op)
    graph.replace(quantize.outputs[0], op.outputs[0])
    graph.remove(quantize)
    if not graph.consumers(pool.outputs[0]):
        graph.remove(pool)
