"""Lets a first layer read 8-bit pixels as they are, not cast to float32 before."""

from __future__ import annotations

import numpy as np

from keras_ste.converter.graph import MATMUL_OPS, Graph, Op, TensorType

_INTEGERS = (TensorType.INT8, TensorType.UINT8)
_MOST_SUM = 2**30


def _takes_integers(op: Op) -> bool:
    """Whether it computes the same of integers: a product whose sums stay in range, or a quantizer of any number."""
    if op.name == "SteQuantize":
        return op.options["version"] == 2
    if "row_bits" in op.options:
        return False
    weights = np.abs(op.inputs[1].data.astype(np.int64))
    return bool(255 * weights.reshape(len(weights), -1).sum(1).max() < _MOST_SUM)


def take_integers(graph: Graph) -> None:
    """CAST(8-bit integers to float32) → SteConv2D becomes SteConv2D on integers.

    The sums of products are the same integers, and a fourth of the bytes is read. A SteQuantize reads them
    as well.
    """
    for op in graph.select(*MATMUL_OPS, "SteQuantize"):
        cast = graph.producer(op.inputs[0])
        if (
            op.inputs[0].type == TensorType.FLOAT32
            and cast is not None
            and cast.name == "CAST"
            and cast.inputs[0].type in _INTEGERS
            and _takes_integers(op)
        ):
            op.inputs[0] = cast.inputs[0]
            op.options["input_zero_point"] = 0
            if not graph.consumers(cast.outputs[0]) and cast.outputs[0] not in graph.outputs:
                graph.remove(cast)
