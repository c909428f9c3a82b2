"""What quantized layers are given and compute, for whoever compares it with something else."""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

_calls: contextvars.ContextVar[list[Call] | None] = contextvars.ContextVar("keras_ste_calls", default=None)


@dataclasses.dataclass(frozen=True)
class Call:
    """One call of a layer of one product.

    Attributes:
        layer: the layer.
        inputs: what it was called on, before its input quantizer.
        outputs: product and bias, before its activation.
    """

    layer: Any
    inputs: tf.Tensor
    outputs: tf.Tensor


@contextlib.contextmanager
def observed() -> Iterator[list[Call]]:
    """Within it, the quantized layers of one product leave what they are called on, and what they compute.

    Yields:
        A list that fills with the calls, in their order.

    >>> from keras_ste.layers import QuantDense
    >>> layer = QuantDense(2, kernel_quantizer="ste_sign")
    >>> with observed() as calls:
    ...     outputs = layer(tf.ones((1, 3)))
    >>> calls[0].layer is layer, calls[0].inputs.shape.as_list()
    (True, [1, 3])
    """
    calls: list[Call] = []
    token = _calls.set(calls)
    try:
        yield calls
    finally:
        _calls.reset(token)


def note(layer: Any, inputs: tf.Tensor, outputs: tf.Tensor) -> None:
    """Leaves a call, where somebody observes."""
    calls = _calls.get()
    if calls is not None and tf.executing_eagerly():
        calls.append(Call(layer, inputs, outputs))
