"""What the quantizers of every family need: checked inputs, wider floats, axes that share a scale."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from keras_ste.estimators import straight_through, surrogates
from keras_ste.estimators.gradients import custom_gradient


def float_tensor(x: Any) -> tf.Tensor:
    """`x` as a tensor.

    Raises:
        TypeError: it is not floating point.
    """
    x = tf.convert_to_tensor(x)
    if not x.dtype.is_floating:
        raise TypeError(f"A quantizer takes floating-point values. Received: {x.dtype.name}.")
    return x


def widened(x: tf.Tensor) -> tf.Tensor:
    """`x` in float32 at least: 16-bit floats hold neither the sum of many |x| nor 1/(n α)."""
    return tf.cast(x, tf.float32) if x.dtype.size < 4 else x


def shared_axes(quantizer: Any, x: tf.Tensor, scale_axis: int | None) -> list[int]:
    """The axes of `x` over which one scale holds: all but `scale_axis`.

    Raises:
        ValueError: `x` has no such axis.
    """
    axes = list(range(x.shape.rank))
    if scale_axis is not None:
        if not -len(axes) <= scale_axis < len(axes):
            raise ValueError(
                f"{type(quantizer).__name__} has scale_axis={scale_axis}, but its input has the "
                f"shape {x.shape}."
            )
        del axes[scale_axis]
    return axes


def gradient_times(x: tf.Tensor, factor: Any) -> tf.Tensor:
    """`x`, whose gradient is multiplied by `factor`."""

    @custom_gradient
    def identity(x):
        return tf.identity(x), lambda upstream: upstream * tf.cast(factor, upstream.dtype)

    return identity(x)


def with_gradient(values: tf.Tensor, x: tf.Tensor, derivative: Callable) -> tf.Tensor:
    """`values`, whose own gradient goes on, and which give the gradient `d(x)` to `x` besides."""

    @custom_gradient
    def both(values, x):
        def gradient(upstream):
            return upstream, upstream * derivative(x)

        return tf.identity(values), gradient

    return both(values, x)


def scaled(
    x: tf.Tensor, integers: tf.Tensor, scale: tf.Tensor, surrogate: Callable
) -> tuple[tf.Tensor, tf.Tensor]:
    """`(integers, scale)` for `factors`, where the gradient is `dL/dx = dL/dq · d(x)`.

    The layer multiplies by the scale α behind the integers, which contributes the factor α to their
    gradient; so what goes through them here is d(x)/α. No gradient goes through α, and none at all
    where α is 0. An `UpstreamSurrogate` measures how far x is from its integer, and gets x/α for x.

    Args:
        x: what was quantized.
        integers: its integers, in the dtype of `widened(x)`.
        scale: α, float32, broadcasts against `x`.
        surrogate: `d`.
    """
    wide = widened(x)
    inverse = tf.math.divide_no_nan(tf.ones_like(scale), scale)
    inverse = tf.broadcast_to(tf.cast(tf.stop_gradient(inverse), wide.dtype), tf.shape(wide))
    if isinstance(surrogate, surrogates.UpstreamSurrogate):
        argument = wide * inverse
    else:
        argument = gradient_times(wide, inverse)
    through = straight_through(lambda _: integers, surrogate)
    return tf.cast(through(argument), x.dtype), tf.cast(tf.stop_gradient(scale), x.dtype)
