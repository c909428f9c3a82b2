"""Uniform k-bit quantizers: integers times a scale that is given or computed."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from keras_ste.quantizers import integers
from keras_ste.quantizers.base import Quantizer, register
from keras_ste.quantizers.common import shared_axes
from keras_ste.quantizers.integers import RoundedCodes
from keras_ste.quantizers.scales import COMPUTED, greatest, percentile, power_of_two_from


@register
class UniformQuantizer(RoundedCodes, Quantizer):
    """Symmetric uniform quantization: integers of k bits times a scale.

        q(x) = s · round(clip(x / s, l, h))
        dL/dx = dL/dq · d(x / s) · 1[l <= x / s <= h]

    where `l = -2^(k-1)` (one more with `narrow_range`) and `h = 2^(k-1) - 1`, or `l = 0` and
    `h = 2^k - 1` for unsigned codes. Halves are rounded to the even integer and d is 1, unless
    `rounding` and `surrogate` say otherwise. The scale s is a constant to the gradient:

    * `scale="max_abs"`: the greatest |x|, times 1/h, so that nothing is clipped (of unsigned
      values the greatest x, where what is negative is clipped, 0 included in the gradient);
    * `scale="percentile"`: the least number that p % of the |x| do not exceed, times 1/h;
    * a number, or one for each index of `scale_axis`.

    R. Krishnamoorthi: *Quantizing deep convolutional networks for efficient inference*,
    arXiv:1806.08342; the gradient is the straight-through estimator of arXiv:1308.3432.

    The quotient is computed as `x · (1/s)`, with the s that x's dtype holds (in float16, within
    2^-24 and 65504 / h). ±inf take the ends of the range; a NaN stays NaN and has the code 0, and
    where s is computed, all that share it may become NaN. Computed scales are at least 2^-100 / h.
    Where x's dtype does not hold all the integers (more than 8 bits in bfloat16, 11 in float16),
    `factors` returns the values and no scale.

    Args:
        bits: the width k: 2 to 16, or 1 to 15 for unsigned codes.
        scale: `"max_abs"`, `"percentile"`, a positive number, or a list of them.
        scale_axis: the axis that keeps a scale of its own for each index (for a kernel -1, the
            output channels), or `None` for one scale.
        signed: whether there are negative codes.
        narrow_range: leaves out the most negative code, so that the range is symmetric.
        power_of_two: rounds a computed scale up to a power of two: on a device, a shift.
        rounding: `"nearest"`, `"floor"`, `"ceil"`, `"to_zero"`; or one that draws in training, and
            is `"nearest"` otherwise: `"stochastic"`, up with the probability of the fraction
            (S. Gupta et al., *Deep Learning with Limited Numerical Precision*, arXiv:1502.02551),
            or `"dithered"`, to the nearest with noise added before (`forwards.dithered_round`).
        surrogate: the derivative `d` of the rounding: a name, a `Surrogate`, or a callable.
        percentile: p, above 0, up to 100.
        seed: where the draws begin; `None` draws from Keras's global generator.
        name: by default `"uniform_quantizer"`.

    Raises:
        ValueError: an argument out of its range; and, when called, a `scale_axis` the input lacks.
        TypeError: when called, an input that is not floating point.

    >>> quantizer = UniformQuantizer(bits=3, scale=0.5)
    >>> quantizer([-9.0, -0.6, 0.3, 0.75, 1.4]).numpy().tolist()
    [-2.0, -0.5, 0.5, 1.0, 1.5]
    >>> codes, scale = UniformQuantizer(bits=4).encode([[-1.0, 7.0], [2.4, 3.6]])
    >>> codes.numpy().tolist(), scale.numpy().tolist()
    ([[-1, 7], [2, 4]], [[1.0]])
    """

    def __init__(
        self,
        bits: int = 8,
        scale: Any = "max_abs",
        scale_axis: int | None = None,
        signed: bool = True,
        narrow_range: bool = False,
        power_of_two: bool = False,
        rounding: str = "nearest",
        surrogate: Any = "identity",
        percentile: float = 99.9,
        seed: int | None = None,
        name: str | None = None,
    ):
        super().__init__(name=name)
        self._set_codes(bits, signed, narrow_range, rounding, surrogate, seed)
        self.scale_axis = scale_axis
        self.scale = self._check_scale(scale)
        self.dynamic_scale = isinstance(scale, str)
        self.power_of_two = bool(power_of_two)
        if self.power_of_two and not self.dynamic_scale:
            raise ValueError(
                f"{type(self).__name__}'s power_of_two is for scales that are computed. "
                f"Received: scale={scale!r}."
            )
        if not 0 < percentile <= 100:
            raise ValueError(
                f"{type(self).__name__}'s percentile must be above 0 and up to 100. "
                f"Received: percentile={percentile!r}."
            )
        self.percentile = float(percentile)

    def _check_scale(self, scale):
        if isinstance(scale, str):
            return integers.check_choice(self, "scale", scale, COMPUTED)
        if not hasattr(scale, "__len__"):
            return integers.check_positive(self, "scale", scale)
        if self.scale_axis is None:
            raise ValueError(
                f"{type(self).__name__} with several scales needs a scale_axis. "
                f"Received: scale={scale!r}."
            )
        return [integers.check_positive(self, "scale", s) for s in scale]

    def _scale(self, x, training):
        axes = shared_axes(self, x, self.scale_axis)
        if not self.dynamic_scale:
            scale = tf.constant(self.scale, tf.float32)
            if scale.shape.rank:
                scale = tf.reshape(scale, [1 if axis in axes else -1 for axis in range(x.shape.rank)])
            return scale
        x = tf.stop_gradient(x)
        if self.scale == "max_abs":
            most = greatest(x, axes, self.signed)
        else:
            values = tf.abs(x) if self.signed else x
            most = percentile(self, values, self.scale_axis, self.percentile)
        scale = integers.divided(integers.bounded(most), self.high)
        return power_of_two_from(scale) if self.power_of_two else scale

    def _integers(self, x, scale, training):
        # Up to the greatest |x| nothing is outside, and to look for it takes its time.
        inside = self.scale == "max_abs" and self.signed
        return self._rounded(x, scale, training, clip_gradient=not inside)

    def get_config(self) -> dict[str, Any]:
        return {
            "scale": self.scale,
            "scale_axis": self.scale_axis,
            "power_of_two": self.power_of_two,
            "percentile": self.percentile,
            **super().get_config(),
        }
