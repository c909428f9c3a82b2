"""Lets a first layer read 8-bit pixels as they are, not cast to float32 before."""

from __future__ import annotations

from keras_ste.converter.graph import MATMUL_OPS, Graph, TensorType

_INTEGERS = (TensorType.INT8, TensorType.UINT8)


def take_integers(graph: Graph) -> None:
    """CAST(8-bit integers to float32) → SteConv2D becomes SteConv2D on integers.

    The sums of products with ±1 are the same integers, and a fourth of the bytes is read.
    """
    for op in graph.select(*MATMUL_OPS):
        cast = graph.producer(op.inputs[0])
        if (
            op.inputs[0].type == TensorType.FLOAT32
            and cast is not None
            and cast.name == "CAST"
            and cast.inputs[0].type in _INTEGERS
        ):
            op.inputs[0] = cast.inputs[0]
            op.options["input_zero_point"] = 0
            if not graph.consumers(cast.outputs[0]) and cast.outputs[0] not in graph.outputs:
                graph.remove(cast)
