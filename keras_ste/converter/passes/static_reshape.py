"""Gives a RESHAPE with one unknown size a constant shape.

TensorFlow computes the shape in the graph, with three more ops that a board would have to bring.
"""

from __future__ import annotations

import numpy as np

from keras_ste.converter.graph import Graph, constant_tensor


def static_reshape(graph: Graph) -> None:
    """RESHAPE(x, PACK(...)) becomes RESHAPE(x, [-1, ...])."""
    for op in graph.select("RESHAPE"):
        wanted = op.outputs[0].signature
        computed = op.input(1) is not None and not op.inputs[1].constant
        if computed and wanted.count(-1) <= 1 and 0 not in wanted:
            name = f"{op.outputs[0].name}/shape"
            op.inputs[1] = constant_tensor(name, np.array(wanted, np.int32))
