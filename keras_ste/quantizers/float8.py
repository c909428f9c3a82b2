"""Eight-bit floating point."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from keras_ste.estimators import straight_through
from keras_ste.quantizers.base import Quantizer, register
from keras_ste.quantizers.common import float_tensor, shared_axes, widened
from keras_ste.quantizers.integers import reciprocal
from keras_ste.quantizers.spec import QuantSpec

# Bits of the mantissa, bias of the exponent, largest finite value, and the code of NaN.
_FORMATS = {"e4m3": (3, 7, 448.0, 0x7F), "e5m2": (2, 15, 57344.0, 0x7E)}


@register
class Float8(Quantizer):
    """The nearest 8-bit floating-point number, times a scale.

        q(x) = s · float8(x / s)        dL/dx = dL/dq · 1[|x| <= s · M]

    where M is the largest finite number, 448 in e4m3 (without infinities, the format that is also
    called e4m3fn) and 57344 in e5m2. Halves are rounded to even, numbers beyond M take M, and there
    are subnormal numbers: P. Micikevicius et al., *FP8 Formats for Deep Learning*, arXiv:2209.05433.
    The quotient is computed as `x · (1/s)`. The scale is 1, a number, or with `scale="max_abs"` `max |x| / M`, through which no gradient goes.

    A code is the byte of the number in the format, which has a code for NaN, too; the code of -0.0
    is that of 0.0.

    Args:
        format: `"e4m3"`, three bits of mantissa, or `"e5m2"`, two, with more range.
        scale: a positive number or `"max_abs"`.
        scale_axis: with `"max_abs"`, the axis that keeps a scale of its own for each index (for a
            kernel -1, the output channels), or `None` for one scale.
        name: by default `"float8"`.

    Raises:
        ValueError: another format or scale; and, when called, a `scale_axis` the input lacks.
        TypeError: when called, an input that is not floating point.

    >>> Float8()([0.3, 1.06, -500.0, 0.0005]).numpy().tolist()
    [0.3125, 1.0, -448.0, 0.0]
    >>> Float8("e5m2").encode([1.0, -2.0]).numpy().tolist()
    [60, 192]
    """

    def __init__(
        self,
        format: str = "e4m3",
        scale: Any = 1.0,
        scale_axis: int | None = None,
        name: str | None = None,
    ):
        super().__init__(name=name)
        if format not in _FORMATS:
            raise ValueError(f"Float8's format must be 'e4m3' or 'e5m2'. Received: format={format!r}.")
        if scale != "max_abs" and not (isinstance(scale, (int, float)) and 0 < scale < np.inf):
            raise ValueError(
                f"Float8's scale must be a positive number or 'max_abs'. Received: scale={scale!r}."
            )
        self.format = format
        self.scale = scale if scale == "max_abs" else float(scale)
        self.scale_axis = scale_axis
        self._mantissa, self._bias, self._most, self._nan = _FORMATS[format]
        self._least_exponent = 1 - self._bias

    @property
    def spec(self) -> QuantSpec:
        dynamic = self.scale == "max_abs"
        return QuantSpec(8, "lookup", scale_axis=self.scale_axis if dynamic else None, dynamic_scale=dynamic)

    def factors(self, x: Any, training: bool = False) -> tuple[tf.Tensor, tf.Tensor | None]:
        x = float_tensor(x)
        wide = widened(x)
        scale = self._scale(wide)

        def quantized(wide):
            return self._value(self._nearest(wide * reciprocal(scale)), scale, x.dtype)

        def derivative(wide):
            # A hair more, as the greatest |x| over its own scale may be rounded up.
            return tf.cast(tf.abs(wide) <= scale * (self._most * (1 + 2.0**-20)), wide.dtype)

        return tf.cast(straight_through(quantized, derivative)(wide), x.dtype), None

    def encode(self, x: Any) -> tf.Tensor | tuple[tf.Tensor, tf.Tensor]:
        wide = widened(float_tensor(x))
        scale = self._scale(wide)
        nearest = tf.cast(self._nearest(wide * reciprocal(scale)), tf.float32)
        size = tf.abs(nearest)
        # The exponent and the first bits of the mantissa of the float32, with another bias.
        normal = tf.bitwise.right_shift(tf.bitcast(size, tf.int32), 23 - self._mantissa)
        normal -= (127 - self._bias) * 2**self._mantissa
        tiny = tf.cast(size * 2.0 ** (self._mantissa - self._least_exponent), tf.int32)
        codes = tf.where(size < 2.0**self._least_exponent, tiny, normal)
        codes = tf.where(nearest < 0, codes + 128, codes)
        codes = tf.where(tf.math.is_nan(nearest), self._nan, codes)
        codes = tf.cast(codes, tf.uint8)
        return (codes, scale) if self.scale == "max_abs" else codes

    def decode(self, codes: Any, dtype: Any = "float32") -> tf.Tensor:
        dtype = tf.as_dtype(dtype)
        wide = tf.float32 if dtype.size < 4 else dtype
        codes, scale = codes if self.scale == "max_abs" else (codes, tf.constant(self.scale))
        values = tf.gather(tf.constant(self._table(), wide), tf.cast(codes, tf.int32))
        return tf.cast(self._value(values, tf.cast(scale, wide), dtype), dtype)

    def _scale(self, x):
        if self.scale != "max_abs":
            return tf.cast(tf.constant(self.scale, tf.float32), x.dtype)
        x = tf.stop_gradient(x)
        axes = shared_axes(self, x, self.scale_axis)
        most = tf.reduce_max(tf.abs(x), axis=axes, keepdims=True)
        # Not a division: a graph would turn it into this product, and eager would not.
        return tf.clip_by_value(most * (1 / self._most), 2.0**-100, 2.0**111)

    def _value(self, nearest, scale, dtype):
        value = nearest * scale
        if dtype.size >= 4:
            return value
        # Rounding to 16 bits may not take the largest number to infinity.
        return tf.clip_by_value(value, dtype.min, dtype.max)

    def _nearest(self, x):
        """The float8 number next to `x`, in the dtype of `x`; every zero is +0.0."""
        integer, shift = (tf.int32, 23) if x.dtype == tf.float32 else (tf.int64, 52)
        size = tf.minimum(tf.abs(x), tf.cast(self._most, x.dtype))
        exponents = tf.bitwise.right_shift(tf.bitcast(size, integer), tf.cast(shift, integer))
        power = tf.bitcast(exponents * tf.cast(2**shift, integer), x.dtype)
        power = tf.maximum(power, tf.cast(2.0**self._least_exponent, x.dtype))
        step = power * 2.0**-self._mantissa
        size = tf.round(size / step) * step
        return tf.where(tf.equal(size, 0), tf.zeros_like(x), tf.where(x < 0, -size, size))

    def _table(self):
        codes = np.arange(128)
        exponent, fraction = codes >> self._mantissa, codes % 2**self._mantissa
        fraction = fraction / 2.0**self._mantissa
        values = np.where(exponent == 0, fraction * 2.0, 1 + fraction) * 2.0 ** (exponent - self._bias)
        values[values > self._most] = np.nan
        return np.concatenate([values, -values])

    def get_config(self) -> dict[str, Any]:
        return {
            "format": self.format,
            "scale": self.scale,
            "scale_axis": self.scale_axis,
            **super().get_config(),
        }
