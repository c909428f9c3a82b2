"""Writes down the exact shape of what every op of this package puts out."""

from __future__ import annotations

from keras_ste.converter.graph import STE_OPS, Graph
from keras_ste.converter.shapes import output_shape


def exact_shapes(graph: Graph) -> None:
    """Infers shapes in running order. TFLite Micro takes them from the file as they are."""
    for op in graph.select(*STE_OPS):
        op.outputs[0].signature = output_shape(op)
        for floats in op.outputs[1:]:  # what a tail stores
            floats.signature = (*op.outputs[0].signature[:-1], floats.signature[-1])
