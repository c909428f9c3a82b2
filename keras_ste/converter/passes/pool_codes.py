"""Takes the maximum of codes, not of numbers."""

from __future__ import annotations

import dataclasses

from keras_ste.codes import Codes, codes_of
from keras_ste.converter.chain import NotFusable, activation_steps
from keras_ste.converter.graph import Graph, Op, TensorType
from keras_ste.converter.passes.drop_dead_ops import drop_dead_ops
from keras_ste.converter.passes.fuse_thresholds import pool_op
from keras_ste.converter.passes.quantizing import all_quantize, codes_put_out, quantize_elsewhere
from keras_ste.converter.passes.requantize import code_values


def pool_codes(graph: Graph) -> None:
    """MAX_POOL_2D → SteQuantize becomes SteQuantize → SteMaxPool2D: a quantizer rises with what it quantizes."""
    for quantize in graph.select("SteQuantize"):
        pool = graph.producer(quantize.inputs[0])
        if pool is not None and pool.name == "MAX_POOL_2D" and all_quantize(graph, pool.outputs[0]):
            _move(graph, quantize, pool)


def pool_restored_codes(graph: Graph) -> None:
    """SteDequantize → MAX_POOL_2D becomes SteMaxPool2D → SteDequantize: numbers rise with their codes."""
    for pool in graph.select("MAX_POOL_2D"):
        restore = graph.producer(pool.inputs[0])
        packed = restore is not None and restore.name == "SteDequantize" and restore.inputs[0].type == TensorType.INT32
        if packed and code_values(restore) is not None and not _clamps(pool):
            codes = codes_of(restore.options, "input")
            op = pool_op(pool, [], restore.options["channels"], restore.inputs[0], Codes(codes.bits, codes.encoding))
            behind = dataclasses.replace(restore, inputs=[*op.outputs, *restore.inputs[1:]], outputs=pool.outputs)
            graph.insert_before(pool, op)
            graph.ops[graph.ops.index(pool)] = behind
    drop_dead_ops(graph)


def _clamps(pool: Op) -> bool:
    try:
        return bool(activation_steps(pool, pool.activation))
    except NotFusable:
        return True


def _move(graph: Graph, quantize: Op, pool: Op) -> None:
    if _clamps(pool):
        return
    codes = quantize_elsewhere(graph, quantize, pool.inputs[0])
    op = pool_op(pool, [], quantize.options["channels"], codes, codes_put_out(quantize))
    graph.insert_before(quantize, op)
    graph.replace(quantize.outputs[0], op.outputs[0])
    graph.remove(quantize)
    if not graph.consumers(pool.outputs[0]):
        graph.remove(pool)
