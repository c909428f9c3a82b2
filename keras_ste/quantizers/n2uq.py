"""Learned thresholds between levels at equal distances."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_ste.estimators.gradients import custom_gradient
from keras_ste.quantizers import integers
from keras_ste.quantizers.base import register
from keras_ste.quantizers.integers import IntegerCodes
from keras_ste.quantizers.learned import SMALLEST_STEP, StartsFromData, StaysPositive


@register
class N2uq(IntegerCodes, StartsFromData):
    """Nonuniform-to-uniform quantization: thresholds that are trained, outputs at equal distances.

        q(x) = s · (how many i there are with x > t_i + a_i / 2)
        t_0 = t,   t_(i+1) = t_i + a_i        i = 0, ..., n - 1,   n = 2^k - 1

    t, the widths a_i and the scale s are trained. Where the input is in segment i,
    `t_i < x <= t_(i+1)`, q rises by one step s at its middle; a random choice between the two levels,
    with probabilities that are linear in x, has the mean

        p(x) = s · (i + (x - t_i) / a_i)        0 below t_0,   s n above t_n

    and the gradients of q with respect to x, t and all a_i are those of p, its generalized
    straight-through estimator:

        dL/dx = dL/dq · s / a_i              dL/ds = Σ dL/dq · q(x) / s
        dL/dt = -Σ dL/dq · s / a_i            over the values within the segments, i being theirs
        dL/da_j = -Σ dL/dq · s · (x - t_j) / a_j²   over those in j   - Σ dL/dq · s / a_i   in i > j

    Z. Liu et al., *Nonuniform-to-Uniform Quantization: Towards Accurate Quantization via
    Generalized Straight-Through Estimation*, arXiv:2111.14826, which has a factor before x besides;
    t and a take its place.

    The codes are unsigned and linear in the values, so that a device needs thresholds only. The first
    values that are trained with set t to 0, the segments to equal parts of their range up to
    mean + 3 deviations, and s to their width. Until then, and with `range`, they part the values from
    0 to it (by default n). Widths and s stay positive, as in `Lsq`. ±inf take the ends; a NaN stays
    NaN, and has the code 0.

    Args:
        bits: the width k: 1 to 6. Every threshold costs a comparison with every value.
        range: where the last segment ends at first; `None` for the first data.
        name: by default `"n2uq"`.

    Raises:
        ValueError: an argument out of its range.
        TypeError: when called, an input that is not floating point.

    >>> quantizer = N2uq(bits=2, range=3.0)
    >>> quantizer([-1.0, 0.4, 0.6, 1.6, 9.0]).numpy().tolist()
    [0.0, 0.0, 1.0, 2.0, 3.0]
    >>> _ = quantizer.widths.assign([1.0, 2.0, 1.0])
    >>> quantizer([-1.0, 0.4, 0.6, 1.6, 9.0]).numpy().tolist()
    [0.0, 0.0, 1.0, 1.0, 3.0]
    """

    signed = False
    scale_axis = None

    def __init__(self, bits: int = 2, range: float | None = None, name: str | None = None):
        super().__init__(name=name)
        self.bits = integers.check_bits(self, bits, 1, 6)
        self.low, self.high = integers.code_range(self.bits, signed=False)
        self.range = None if range is None else integers.check_positive(self, "range", range)

    def build(self, shape: Any) -> None:
        constant = keras.initializers.Constant
        width = (self.range or float(self.high)) / self.high
        above = StaysPositive()
        self.start = self.add_weight(shape=(), initializer="zeros", name="start")
        self.widths = self.add_weight(
            shape=(self.high,), initializer=constant(width), constraint=above, name="widths"
        )
        self.step = self.add_weight(
            shape=(), initializer=constant(width), constraint=above, name="step"
        )
        self._add_initialized(self.range is not None)
        self.built = True

    def _start_from(self, x):
        mean, variance = tf.nn.moments(tf.cast(x, tf.float32), list(range(x.shape.rank)))
        width = tf.maximum((mean + 3 * tf.sqrt(variance)) / self.high, SMALLEST_STEP)
        self.start.assign(0.0)
        self.widths.assign(tf.fill([self.high], width))
        self.step.assign(width)

    def _scale(self, x, training):
        self._ensure_built(x)
        if training:
            self._start(x)
        return tf.convert_to_tensor(self.step)

    def _integers(self, x, scale, training):
        start, widths = tf.convert_to_tensor(self.start), tf.convert_to_tensor(self.widths)

        @custom_gradient
        def integers_of(x, scale, start, widths):
            left = tf.cast(start + tf.cumsum(widths, exclusive=True), x.dtype)
            wide = tf.cast(widths, x.dtype)
            count = _exceeded(x, tf.unstack(left + wide / 2))
            count = tf.where(tf.math.is_nan(x), x, count)

            def gradient(upstream):
                segment = tf.cast(_exceeded(x, tf.unstack(left)), tf.int32) - 1
                inside = (segment >= 0) & (x <= left[-1] + wide[-1])
                segment = tf.maximum(segment, 0)
                width = tf.gather(wide, segment)
                d_x = tf.where(inside, upstream / width, tf.zeros_like(x))
                # x is multiplied by 0 where it may be infinite.
                depth = tf.math.multiply_no_nan(x - tf.gather(left, segment), d_x) / width
                d_x_sums = _segment_sums(d_x, segment, self.high)
                later = tf.cumsum(d_x_sums, exclusive=True, reverse=True)
                d_widths = -_segment_sums(depth, segment, self.high) - later
                d_scale = tf.reduce_sum(upstream * count) / tf.cast(scale, x.dtype)
                return (
                    d_x,
                    tf.cast(d_scale, scale.dtype),
                    tf.cast(-tf.reduce_sum(d_x_sums), start.dtype),
                    tf.cast(d_widths, widths.dtype),
                )

            return count, gradient

        return integers_of(x, scale, start, widths)

    def get_config(self) -> dict[str, Any]:
        return {"bits": self.bits, "range": self.range, **super().get_config()}


def _exceeded(x, thresholds):
    """How many of the thresholds `x` is above."""
    # One after the other: a device has no op that searches among thresholds.
    return tf.add_n([tf.cast(x > threshold, x.dtype) for threshold in thresholds])


def _segment_sums(x, segment, segments):
    return tf.math.unsorted_segment_sum(tf.reshape(x, [-1]), tf.reshape(segment, [-1]), segments)
