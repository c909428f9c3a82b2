"""Gives a RESHAPE with one unknown size a constant shape.

TensorFlow computes the shape in the graph, with three more ops that a board would have to bring.
"""

from __future__ import annotations

import numpy as np

from keras_ste.converter.graph import Graph, constant_tensor, reshape_op


def static_reshape(graph: Graph) -> None:
    """RESHAPE(x, PACK(...)) becomes RESHAPE(x, [-1, ...]); so does EXPAND_DIMS, which a board has for few types."""
    for op in graph.select("EXPAND_DIMS"):
        if op.outputs[0].signature.count(-1) <= 1 and 0 not in op.outputs[0].signature:
            graph.insert_before(op, reshape_op(op.inputs[0], op.outputs[0]))
            graph.remove(op)
    for op in graph.select("RESHAPE"):
        wanted = op.outputs[0].signature
        computed = op.input(1) is not None and not op.inputs[1].constant
        if computed and wanted.count(-1) <= 1 and 0 not in wanted:
            name = f"{op.outputs[0].name}/shape"
            op.inputs[1] = constant_tensor(name, np.array(wanted, np.int32))
