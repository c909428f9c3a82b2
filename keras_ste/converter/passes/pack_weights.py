"""Turns weights, integers of a byte or two each, into codes."""

from __future__ import annotations

import numpy as np

from keras_ste.codes import Codes, codes_of
from keras_ste.converter.graph import MATMUL_OPS, Graph, Op, TensorType, constant_tensor
from keras_ste.converter.packing import (
    pack_codes,
    pack_contiguous,
    pack_conv_filter,
    pack_dense_filter,
    pack_gapless,
)
from keras_ste.converter.sizes import most_bytes


def _rows(op: Op, weights: np.ndarray) -> np.ndarray:
    """The weights, those of a row along the last axis."""
    if op.name == "SteDepthwiseConv2D":
        return weights.transpose(1, 2, 0)
    if op.name != "SteTransposeConv2D" and op.inputs[0].type != TensorType.INT32:
        return weights.reshape(len(weights), -1)
    if op.name == "SteFullyConnected":
        return weights.reshape(-1, op.options["channels"])
    return weights


def _in_words(op: Op, weights: np.ndarray, codes: Codes) -> np.ndarray:
    if op.name == "SteDepthwiseConv2D":
        return pack_codes(weights.transpose(1, 2, 0), codes)
    if op.name == "SteTransposeConv2D":
        return pack_codes(weights, codes)
    if op.inputs[0].type != TensorType.INT32:
        return pack_contiguous(weights, codes)
    if op.name == "SteConv2D":
        return pack_conv_filter(weights, op.options["groups"], codes)
    return pack_dense_filter(weights, op.options.get("pixels", 1), op.options["channels"], codes)


def pack_weights(graph: Graph) -> None:
    """Packs the filters in the layout that the type of the op's input asks for (docs/ops.md).

    Rows that do not fill their words are stored without gaps.

    Raises:
      RuntimeError: a filter is no constant, or has values that its codes do not stand for.
    """
    for op in graph.select(*MATMUL_OPS):
        weights, codes = op.inputs[1], codes_of(op.options, "weight")
        if not weights.constant or weights.type not in (TensorType.INT8, TensorType.INT16):
            raise RuntimeError(f"{op}: the filter '{weights.name}' is not a constant tensor of integers")
        used = codes.worths[codes.encoding == "ternary" :]
        if not np.isin(weights.data, used).all():
            raise RuntimeError(
                f"{op}: the filter '{weights.name}' has values that {codes.encoding} codes of {codes.bits} bits do "
                "not stand for"
            )
        packed = _in_words(op, weights.data, codes)
        if packed.nbytes > most_bytes(weights.data.size * codes.bits):
            packed = pack_gapless(_rows(op, weights.data), codes)
            op.options["version"] = 4
        op.inputs[1] = constant_tensor(weights.name, packed)
