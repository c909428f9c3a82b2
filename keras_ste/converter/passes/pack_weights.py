"""Turns weights of ±1, a byte each, into bits."""

from __future__ import annotations

import numpy as np

from keras_ste.converter.graph import MATMUL_OPS, Graph, Op, TensorType, constant_tensor
from keras_ste.converter.packing import pack_contiguous, pack_conv_filter, pack_dense_filter


def _packed(op: Op, signs: np.ndarray) -> np.ndarray:
    if op.inputs[0].type != TensorType.INT32:
        return pack_contiguous(signs)
    if op.name == "SteConv2D":
        return pack_conv_filter(signs, op.options["groups"])
    return pack_dense_filter(signs, op.options.get("pixels", 1), op.options["channels"])


def pack_weights(graph: Graph) -> None:
    """Packs the filters in the layout that the type of the op's input asks for (docs/ops.md).

    Raises:
      RuntimeError: a filter is not a constant of ±1.
    """
    for op in graph.select(*MATMUL_OPS):
        signs = op.inputs[1]
        if not signs.constant or signs.type != TensorType.INT8 or (np.abs(signs.data) != 1).any():
            raise RuntimeError(f"{op}: the filter '{signs.name}' is not a constant int8 tensor of ±1")
        op.inputs[1] = constant_tensor(signs.name, _packed(op, signs.data))
