"""Scales that are computed from what is quantized."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from keras_ste.quantizers.common import shared_axes

COMPUTED = ("max_abs", "percentile")


def greatest(x: tf.Tensor, axes: list[int], signed: bool) -> tf.Tensor:
    """The greatest `|x|` (of unsigned values, the greatest `x`) over these axes, which are kept."""
    most = tf.reduce_max(x, axis=axes, keepdims=True)
    if not signed:
        return most
    return tf.maximum(most, -tf.reduce_min(x, axis=axes, keepdims=True))


def percentile(quantizer: Any, x: tf.Tensor, scale_axis: int | None, percent: float) -> tf.Tensor:
    """The least value that `percent` of the values are not above; other axes are kept as 1."""
    axes = shared_axes(quantizer, x, scale_axis)
    if scale_axis is None:
        rows = tf.reshape(x, [1, -1])
    else:
        axis = scale_axis % x.shape.rank
        channels = tf.shape(x)[axis] if x.shape[axis] is None else x.shape[axis]
        rows = tf.reshape(tf.transpose(x, [axis, *axes]), [channels, -1])
    size = tf.shape(rows)[1] if rows.shape[1] is None else tf.constant(rows.shape[1])
    # In float32, as on a device; a hair more, so that a whole number of values is not rounded down.
    share = np.float32((1 - percent / 100) * (1 + 2.0**-22))
    above = tf.cast(tf.floor(tf.cast(size, tf.float32) * share), tf.int32)
    # The least of the above + 1 greatest values; infinity where there are no values.
    count = tf.minimum(above + 1, size)
    values = tf.reduce_min(tf.math.top_k(rows, k=count, sorted=False).values, axis=1)
    shape = [1] * x.shape.rank
    if scale_axis is not None:
        shape[scale_axis] = -1
    return tf.reshape(values, shape)


def power_of_two_from(scale: tf.Tensor) -> tf.Tensor:
    """The least power of two that is not below `scale`, which is positive.

    >>> power_of_two_from(tf.constant([0.25, 0.26, 3.0])).numpy().tolist()
    [0.25, 0.5, 4.0]
    """
    # Adds to the exponent where a bit of the mantissa is set, and clears the mantissa. Logarithms
    # would have to be exact at the powers of two.
    single = tf.cast(scale, tf.float32)
    bits = tf.bitwise.right_shift(tf.bitcast(single, tf.int32) + 0x7FFFFF, 23) * 2**23
    above = tf.bitcast(bits, tf.float32)
    above = tf.where(tf.math.is_nan(single), single, above)
    return tf.cast(above, scale.dtype)
