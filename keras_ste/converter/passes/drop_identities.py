"""Leaves out scales of one and biases of zero."""

from __future__ import annotations

import numpy as np

from keras_ste.converter.graph import MATMUL_OPS, Graph


def drop_identities(graph: Graph) -> None:
    """Makes a multiplier of ones and a bias of zeros absent, as the ops read them when absent.

    A bias of -0.0 stays: it keeps the sign of a product that is -0.0, which an absent one does not.
    """
    for op in graph.select(*MATMUL_OPS):
        multiplier, bias = op.input(2), op.input(3)
        if multiplier is not None and (multiplier.data == 1).all():
            op.inputs[2] = None
        if bias is not None and not bias.data.any() and not np.signbit(bias.data).any():
            op.inputs[3] = None
