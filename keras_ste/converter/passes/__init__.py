"""What is done to the graph that TensorFlow wrote, in this order. Every pass changes a graph in place."""

from __future__ import annotations

from collections.abc import Callable

from keras_ste.converter.graph import Graph, Model
from keras_ste.converter.passes.add_codes import add_codes
from keras_ste.converter.passes.average_codes import average_codes
from keras_ste.converter.passes.concatenate_codes import concatenate_codes
from keras_ste.converter.passes.drop_dead_ops import drop_dead_ops
from keras_ste.converter.passes.drop_identities import drop_identities
from keras_ste.converter.passes.drop_pools_of_one import drop_pools_of_one
from keras_ste.converter.passes.drop_reshapes import drop_reshapes
from keras_ste.converter.passes.exact_shapes import exact_shapes
from keras_ste.converter.passes.find_prelu import find_prelu
from keras_ste.converter.passes.fold_output import fold_output
from keras_ste.converter.passes.fuse_sums import fuse_sums, round_sums
from keras_ste.converter.passes.fuse_tails import fuse_tails
from keras_ste.converter.passes.fuse_thresholds import fuse_thresholds
from keras_ste.converter.passes.merge_equal_ops import merge_equal_ops
from keras_ste.converter.passes.move_quantize import move_quantize_above_reshape
from keras_ste.converter.passes.multiply_codes import multiply_codes
from keras_ste.converter.passes.pack_tables import pack_tables
from keras_ste.converter.passes.pack_weights import pack_weights
from keras_ste.converter.passes.pad_codes import pad_codes
from keras_ste.converter.passes.pad_numbers import pad_numbers
from keras_ste.converter.passes.place_inputs import place_inputs
from keras_ste.converter.passes.pool_codes import pool_codes, pool_restored_codes
from keras_ste.converter.passes.quantize_once import quantize_once
from keras_ste.converter.passes.requantize import requantize, requantize_bytes
from keras_ste.converter.passes.reshape_codes import reshape_codes
from keras_ste.converter.passes.shuffle_codes import shuffle_codes
from keras_ste.converter.passes.sizes_of_one import sizes_of_one
from keras_ste.converter.passes.stack_codes import stack_codes
from keras_ste.converter.passes.static_reshape import static_reshape
from keras_ste.converter.passes.take_integers import take_integers
from keras_ste.converter.passes.take_layer_names import take_layer_names

# Of a quantizer before an op that moves numbers about, so that it moves codes; and of reshapes out of its way.
MOVES: tuple[Callable[[Graph], None], ...] = (
    move_quantize_above_reshape,
    pad_codes,
    concatenate_codes,
    shuffle_codes,
    pool_codes,
    stack_codes,
    drop_reshapes,
)


def move_quantizers(graph: Graph) -> None:
    """Moves quantizers until each stands behind an op that makes numbers: behind one move there may be another."""
    before: list = []
    while before != (before := _wiring(graph)):
        for run in MOVES:
            run(graph)
        if before == _wiring(graph):  # an op that moves codes as they are would not know them as bytes
            reshape_codes(graph)


def _wiring(graph: Graph) -> list:
    """What a move changes: the ops, and what they read."""
    return [(op, *op.inputs) for op in graph.ops]


FUSING: tuple[Callable[[Graph], None], ...] = (
    take_layer_names,
    place_inputs,
    pad_numbers,
    pack_tables,  # so that codes are packed or bytes wherever they come from
    drop_pools_of_one,
    drop_dead_ops,  # a dead reader would keep its input from being fused
    drop_reshapes,
    find_prelu,
    move_quantize_above_reshape,
    static_reshape,
    drop_dead_ops,  # so would a reshape that the sign has moved away from
    drop_reshapes,  # those of codes
    move_quantizers,
    drop_dead_ops,  # and the numbers that quantizers have moved away from
    merge_equal_ops,
    pool_restored_codes,
    add_codes,
    average_codes,
    requantize,
    multiply_codes,
    drop_dead_ops,
    fuse_sums,
    quantize_once,
    take_integers,  # integer sums have integer thresholds
    drop_identities,
    fuse_thresholds,
    fold_output,
    drop_identities,
)

# What the file needs, and the other passes cannot read.
LAST: tuple[Callable[[Graph], None], ...] = (
    requantize_bytes,
    round_sums,
    fuse_tails,
    exact_shapes,
    sizes_of_one,
    pack_weights,
)
PASSES = FUSING + LAST


def fuse(graph: Graph) -> None:
    """Runs the passes that make few ops of many."""
    for run in FUSING:
        run(graph)


def finish(model: Model) -> None:
    """Runs the last passes on the graphs of a model, which can be written then."""
    for graph in model.graphs:
        for run in LAST:
            run(graph)
