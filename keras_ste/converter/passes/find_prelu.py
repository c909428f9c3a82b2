"""Finds the PReLU that a RPReLU has been written as: a comparison, a product and a choice."""

from __future__ import annotations

import numpy as np

from keras_ste.converter.graph import BuiltinOperator, Graph, Op, Tensor, constant_tensor


def _slope(product: Op | None, x: Tensor) -> Tensor | None:
    """The constant that a MUL multiplies x with, where it has one for each channel or one in all."""
    if product is None or product.name != "MUL" or product.activation != "NONE" or x not in product.inputs:
        return None
    other = next((tensor for tensor in product.inputs if tensor is not x), None)
    if other is None or not other.constant or other.data.dtype != np.float32:
        return None
    channels = x.signature[-1] if x.signature else 1
    whole = other.data.size == 1 or (other.data.size == channels and other.data.shape[-1] == channels)
    return other if whole and product.outputs[0].signature == x.signature else None


def _compares_with_zero(op: Op | None, x: Tensor) -> bool:
    if op is None or op.name != "GREATER" or op.inputs[0] is not x:
        return False
    zero = op.inputs[1]
    return bool(zero.constant and zero.data.size and not zero.data.any())


def find_prelu(graph: Graph) -> None:
    """GREATER(x, 0), MUL(x, slope), SELECT_V2 becomes PRELU: `x > 0 ? x : x * slope`.

    A product with a negative slope may have the other zero of +0.0 and -0.0.
    """
    for choice in graph.select("SELECT_V2"):
        which, x, product = choice.inputs
        comparison, multiply = graph.producer(which), graph.producer(product)
        slope = _slope(multiply, x)
        if slope is None or not _compares_with_zero(comparison, x) or choice.outputs[0].signature != x.signature:
            continue
        channels = x.signature[-1]
        values = np.broadcast_to(slope.data.reshape(-1), channels).reshape((1,) * max(len(x.signature) - 2, 0) + (-1,))
        alpha = constant_tensor(f"{choice.outputs[0].name}/slope", values)
        prelu = Op(BuiltinOperator.PRELU, [x, alpha], choice.outputs, layer=choice.layer)
        graph.insert_before(choice, prelu)
        graph.remove(choice)
        for op in (comparison, multiply):
            if not graph.consumers(op.outputs[0]) and op.outputs[0] not in graph.outputs:
                graph.remove(op)
