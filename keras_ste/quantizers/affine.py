"""Affine quantization: a scale and a zero point."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from keras_ste.estimators.gradients import custom_gradient
from keras_ste.quantizers import integers
from keras_ste.quantizers.base import Quantizer, register
from keras_ste.quantizers.common import float_tensor, shared_axes
from keras_ste.quantizers.integers import IntegerCodes
from keras_ste.quantizers.spec import QuantSpec


@register
class AffineQuantizer(IntegerCodes, Quantizer):
    """Affine uniform quantization: codes of k bits from a minimum to a maximum.

        q(x) = s · (c - z)        c = clip(round(x / s) + z, 0, n)        n = 2^k - 1
        s = (max - min) / n       z = clip(round(-min / s), 0, n)         min <= 0 <= max
        dL/dx = dL/dq · 1[-z <= x / s <= n - z]

    The zero point z is an integer, so that 0 is among the values; minimum and maximum are moved to
    include 0 where they do not. They are given, or those of the input, in which case nothing is
    clipped, and no gradient goes through them. B. Jacob et al., *Quantization and Training of Neural
    Networks for Efficient Integer-Arithmetic-Only Inference*, arXiv:1712.05877.

    `factors` gives `c - z` as integers. The codes are c; where minimum and maximum are the input's,
    `encode` returns `(codes, (scale, zero_point))`. Halves are rounded to the even integer. ±inf take
    the ends of the range; a NaN stays NaN, and has the code 0, and where minimum and maximum are the
    input's, all that share them may become NaN.

    Args:
        bits: the width k: 1 to 8.
        minimum, maximum: the range, or `None` for that of the input.
        scale_axis: the axis that keeps a range of its own for each index (for a kernel -1, the output
            channels), or `None` for one range; for the range of the input only.
        name: by default `"affine_quantizer"`.

    Raises:
        ValueError: an argument out of its range, only one of minimum and maximum; and, when called, a
            `scale_axis` the input lacks.
        TypeError: when called, an input that is not floating point.

    >>> quantizer = AffineQuantizer(bits=2, minimum=-1.0, maximum=2.0)
    >>> quantizer([-5.0, -0.6, 0.4, 1.2]).numpy().tolist()
    [-1.0, -1.0, 0.0, 1.0]
    >>> quantizer.encode([-5.0, -0.6, 0.4, 1.2]).numpy().tolist()
    [0, 0, 1, 2]
    """

    signed = False

    def __init__(
        self,
        bits: int = 8,
        minimum: float | None = None,
        maximum: float | None = None,
        scale_axis: int | None = None,
        name: str | None = None,
    ):
        super().__init__(name=name)
        self.bits = integers.check_bits(self, bits, 1, 8)
        if (minimum is None) != (maximum is None):
            raise ValueError(
                "AffineQuantizer takes both minimum and maximum or none of them. "
                f"Received: minimum={minimum!r}, maximum={maximum!r}."
            )
        self.dynamic_scale = minimum is None
        if not self.dynamic_scale and not -math.inf < minimum < maximum < math.inf:
            raise ValueError(
                "AffineQuantizer's minimum must be less than its maximum, and both finite. "
                f"Received: minimum={minimum!r}, maximum={maximum!r}."
            )
        self.minimum = None if minimum is None else float(minimum)
        self.maximum = None if maximum is None else float(maximum)
        self.scale_axis = scale_axis
        self._codes_end = 2**self.bits - 1
        # Of the integers, which the zero point has been subtracted from.
        self.low, self.high = -self._codes_end, self._codes_end

    @property
    def spec(self) -> QuantSpec:
        axis = self.scale_axis if self.dynamic_scale else None
        return QuantSpec(self.bits, "lookup", scale_axis=axis, dynamic_scale=self.dynamic_scale)

    def encode(self, x: Any) -> Any:
        x = float_tensor(x)
        values, scale = self._integers_and_scale(x, False)
        zero = self._zero_point(self._limits(x)[0], scale, values.dtype)
        codes = integers.as_codes(values + zero, integers.code_dtype(self.bits, signed=False))
        return (codes, (scale, zero)) if self.dynamic_scale else codes

    def decode(self, codes: Any, dtype: Any = "float32") -> tf.Tensor:
        dtype = tf.as_dtype(dtype)
        if self.dynamic_scale:
            codes, (scale, zero) = codes
        else:
            scale = self._held_by(dtype, self._scale(None, False))
            zero = self._zero_point(tf.constant(min(self.minimum, 0.0)), scale, tf.float32)
        values = tf.cast(codes, tf.float32) - tf.cast(zero, tf.float32)
        return tf.cast(values, dtype) * tf.cast(scale, dtype)

    def _limits(self, x):
        """Minimum and maximum, both of them on their side of 0."""
        if not self.dynamic_scale:
            low, high = tf.constant(self.minimum), tf.constant(self.maximum)
        else:
            x = tf.stop_gradient(x)
            axes = shared_axes(self, x, self.scale_axis)
            low = tf.cast(tf.reduce_min(x, axes, keepdims=True), tf.float32)
            high = tf.cast(tf.reduce_max(x, axes, keepdims=True), tf.float32)
        # What is infinite, the difference of the two included, cannot be divided.
        bound = 2.0**125
        return (
            tf.maximum(tf.minimum(low, 0.0), -bound),
            tf.minimum(tf.maximum(high, 0.0), bound),
        )

    def _scale(self, x, training):
        low, high = self._limits(x)
        # Not a division: a graph would turn it into this product, and eager would not.
        return integers.bounded(high - low) * (1 / self._codes_end)

    def _zero_point(self, low, scale, dtype):
        """z, of the scale that is held by x's dtype."""
        low, scale = tf.cast(low, tf.float32), tf.cast(scale, tf.float32)
        zero = tf.round(-low * integers.reciprocal(scale))
        return tf.cast(tf.minimum(tf.maximum(zero, 0.0), float(self._codes_end)), dtype)

    def _integers(self, x, scale, training):
        zero = self._zero_point(self._limits(x)[0], scale, x.dtype)
        end = tf.cast(self._codes_end, x.dtype)

        @custom_gradient
        def integers_of(x):
            inverse = tf.cast(integers.reciprocal(scale), x.dtype)
            v = x * inverse
            result = tf.maximum(tf.minimum(tf.round(v), end - zero), -zero)

            def gradient(upstream):
                upstream = upstream * inverse
                if self.dynamic_scale:
                    return upstream
                # A hair wider: a value on a bound may have been rounded to beyond it.
                hair = tf.cast(2.0**-20, x.dtype) * end
                inside = (v >= -zero - hair) & (v <= end - zero + hair)
                return upstream * tf.cast(inside, x.dtype)

            return result, gradient

        return integers_of(x)

    def get_config(self) -> dict[str, Any]:
        return {
            "bits": self.bits,
            "minimum": self.minimum,
            "maximum": self.maximum,
            "scale_axis": self.scale_axis,
            **super().get_config(),
        }
