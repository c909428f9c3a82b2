"""EWGS: a gradient that depends on the sign of the upstream gradient."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from keras_ste.estimators import parameters
from keras_ste.estimators.surrogates.base import UpstreamSurrogate, get, register, serialize


@register(aliases=("element_wise_gradient_scaling",))
class EWGS(UpstreamSurrogate):
    """Element-wise gradient scaling, for a rounding `y` of `x`.

        dL/dx = g d(x) (1 + delta sign(g) (x - y)),  g = dL/dy

    The gradient grows where `x` is far from the border to the next integer downhill, and shrinks
    where it is close. J. Lee, D. Kim, B. Ham: *Network Quantization with Element-wise Gradient
    Scaling*, arXiv:2104.00903. There delta is set from the trace of the Hessian as training goes
    on: give a variable, and set it. With `delta=0` it is the straight-through estimator.

    In a quantizer whose values are integers times a scale s, x and y are x/s and its integer, as in the
    paper; in a sign, x itself and ±1. `TTQ`, whose values are not roundings, refuses it.

    Args:
        delta: at least 0: a number, a variable or a schedule. There is no published constant.
        surrogate: the derivative `d`, the identity in the paper.

    Raises:
        ValueError: `delta` is negative, or the surrogate is unknown.
        TypeError: when it is called by itself: without upstream gradient it has no value.

    >>> from keras_ste import straight_through
    >>> x = tf.constant([0.75, 0.75])
    >>> with tf.GradientTape() as tape:
    ...     tape.watch(x)
    ...     y = straight_through(tf.round, EWGS(delta=1.0))(x)
    >>> tape.gradient(y, x, output_gradients=tf.constant([1.0, -1.0])).numpy().tolist()
    [0.75, -1.25]
    """

    def __init__(self, delta: Any = 1e-3, surrogate: Any = "identity"):
        self.delta = parameters.check("EWGS", "delta", delta, at_least=0)
        self.surrogate = get(surrogate)

    def gradient(self, upstream: tf.Tensor, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        delta = parameters.in_dtype(self.delta, x.dtype)
        # An infinity is its own rounding; inf - inf is none.
        difference = tf.where(tf.equal(x, y), tf.zeros_like(x), x - y)
        return upstream * self.surrogate(x) * (1.0 + delta * tf.sign(upstream) * difference)

    def get_config(self) -> dict[str, Any]:
        return {
            "delta": parameters.serialize(self.delta),
            "surrogate": serialize(self.surrogate),
        }
