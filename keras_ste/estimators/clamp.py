"""`ste_clamp`: clipping that lets the gradient through, to the input and to the bounds."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_ste.estimators.gradients import custom_gradient


def ste_clamp(x: Any, lower: Any, upper: Any, outside: bool = True) -> tf.Tensor:
    """Clips `x` to `[lower, upper]`; values outside keep their gradient.

        y = lower where x <= lower; upper where x >= upper; else x

        dL/dx = dL/dy; with outside=False only where lower < x < upper, else 0
        dL/dlower = Σ dL/dy where x <= lower,  dL/dupper = Σ dL/dy where x >= upper

    The gradient of `upper` is the one PACT learns its clipping level by, with `lower=0` and
    `outside=False`: J. Choi et al., *PACT: Parameterized Clipping Activation for Quantized Neural
    Networks*, arXiv:1805.06085. Bounds that are tensors or variables get it, summed over the axes
    along which they broadcast; numbers have none. A NaN stays a NaN.

    Args:
        x: float tensor.
        lower: a number, or a float tensor or variable of x's dtype that broadcasts to x's shape.
        upper: the same; not less than `lower`.
        outside: whether values outside the bounds have a gradient.

    Raises:
        TypeError: `x` is not floating point.
        ValueError: two numbers of which the lower is the greater.

    >>> x, upper = tf.constant([-1.0, 0.5, 3.0]), tf.constant(1.0)
    >>> with tf.GradientTape() as tape:
    ...     tape.watch([x, upper])
    ...     y = ste_clamp(x, 0.0, upper, outside=False)
    >>> y.numpy().tolist(), [g.numpy().tolist() for g in tape.gradient(y, [x, upper])]
    ([0.0, 0.5, 1.0], [[0.0, 1.0, 0.0], 1.0])
    """
    x = tf.convert_to_tensor(x)
    if not x.dtype.is_floating:
        raise TypeError(f"ste_clamp takes a floating-point tensor. Received: dtype {x.dtype.name}.")
    if not (_is_tensor(lower) or _is_tensor(upper)) and lower > upper:
        raise ValueError(
            f"ste_clamp's lower bound must not be greater than its upper. "
            f"Received: lower={lower!r}, upper={upper!r}."
        )

    @custom_gradient
    def clamp(x, lower, upper):
        below, above = x <= lower, x >= upper

        def gradient(upstream):
            nothing = tf.zeros_like(upstream)
            to_x = upstream if outside else tf.where(below | above, nothing, upstream)
            return to_x, tf.where(below, upstream, nothing), tf.where(above, upstream, nothing)

        return tf.where(below, lower, tf.where(above, upper, x)), gradient

    # What a bound gets is summed up by the gradient of the broadcast.
    return clamp(x, _broadcast(lower, x), _broadcast(upper, x))


def _is_tensor(bound):
    return tf.is_tensor(bound) or isinstance(bound, (tf.Variable, keras.Variable))


def _broadcast(bound, x):
    if not _is_tensor(bound):
        bound = tf.constant(bound, x.dtype)
    return tf.broadcast_to(tf.convert_to_tensor(bound), tf.shape(x))
