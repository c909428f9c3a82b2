"""IR-Net's binary weights: standardized, and scaled by powers of two."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from keras_ste.estimators import forwards, straight_through
from keras_ste.quantizers.base import register
from keras_ste.quantizers.common import float_tensor, shared_axes, widened
from keras_ste.quantizers.computed_scale import ComputedScale
from keras_ste.quantizers.spec import QuantSpec


def nearest_power_of_two(x: tf.Tensor) -> tf.Tensor:
    """2^round(log2 x) of float32 numbers from 2^-24 to 1, 0 for 0.

    >>> nearest_power_of_two(tf.constant([0.0, 0.17, 0.18, 0.7, 0.75, 1.0])).numpy().tolist()
    [0.0, 0.125, 0.25, 0.5, 1.0, 1.0]
    """
    # 1 - 1/2 - 1/4 - ...: exact in every order, where a logarithm and a power are not, and made of what
    # TFLite has, too.
    halvings = np.arange(1, 25)
    below = x[..., tf.newaxis] < tf.constant(2.0 ** (0.5 - halvings), tf.float32)
    power = 1 - tf.reduce_sum(tf.cast(below, tf.float32) * tf.constant(2.0**-halvings, tf.float32), axis=-1)
    return tf.where(x > 0, power, x)


@register
class IRNetSign(ComputedScale):
    """IR-Net's balanced binary weights: the sign of standardized weights times a power of two.

        u = (w - mean w) / σ(w)                  q(w) = 2^s · sign(u)        sign(0) = +1
        s = round(log2(mean |u|))
        dL/dw = (h - mean h - u · mean(h · u)) / σ(w)       h = dL/dq · 2^s · d(u)

    where means and σ are over the weights that share a scale. H. Qin et al., *Forward and Backward
    Information Retention for Accurate Binary Neural Networks*, arXiv:1909.10788, whose d is the error
    decay estimator, a tanh that steepens in the course of training: `EDE(schedules.EDESchedule())`.
    About half of the weights are +1, and the scale is a shift for an integer device.

    Where all weights are equal, values and gradient are 0. A NaN makes NaN of all that share its
    scale; its code is that of -1.

    Args:
        surrogate: the derivative `d`: a name, a `Surrogate`, or a callable.
        scale_axis: the axis that keeps a mean, a deviation and a scale of its own for each index
            (for a kernel -1, the output channels), or `None` for one.
        name: by default `"irnet_sign"`.

    Raises:
        ValueError: an unknown surrogate; and, when called, a `scale_axis` the input lacks.
        TypeError: when called, an input that is not floating point.

    >>> IRNetSign()([[5.0, 0.0], [6.0, 0.0], [7.0, 0.0], [8.0, 4.0]]).numpy().tolist()
    [[-1.0, -1.0], [-1.0, -1.0], [1.0, -1.0], [1.0, 1.0]]
    """

    def __init__(
        self,
        surrogate: Any = "ede",
        scale_axis: int | None = -1,
        name: str | None = None,
    ):
        super().__init__(surrogate, scale_axis, name=name)

    @property
    def spec(self) -> QuantSpec:
        return QuantSpec(bits=1, encoding="bipolar", scale_axis=self.scale_axis, dynamic_scale=True)

    def factors(self, x: Any, training: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        x = float_tensor(x)
        u, scale = self._standardized_and_scale(x)
        signs = straight_through(forwards.sign, self.surrogate)(u)
        return tf.cast(signs, x.dtype), tf.cast(scale, x.dtype)

    def encode(self, x: Any) -> tuple[tf.Tensor, tf.Tensor]:
        u, scale = self._standardized_and_scale(float_tensor(x))
        return tf.cast(u >= 0, tf.int8), scale

    def decode(self, codes: Any, dtype: Any = "float32") -> tf.Tensor:
        codes, scale = codes
        return (2 * tf.cast(codes, dtype) - 1) * tf.cast(scale, dtype)

    def _standardized_and_scale(self, x):
        """u, in float32 at least, and 2^s, float32, through which no gradient goes."""
        wide = widened(x)
        axes = shared_axes(self, wide, self.scale_axis)
        centered = wide - tf.reduce_mean(wide, axis=axes, keepdims=True)
        variance = tf.reduce_mean(tf.square(centered), axis=axes, keepdims=True)
        # What equal weights differ from their mean by is rounding, not to be blown up.
        size = tf.reduce_mean(tf.square(tf.stop_gradient(wide)), axis=axes, keepdims=True)
        varies = ~(variance <= 2.0**-40 * size)
        inverse = tf.math.rsqrt(tf.where(varies, variance, tf.ones_like(variance)))
        u = tf.where(varies, centered * inverse, tf.zeros_like(centered))
        mean = tf.reduce_mean(tf.abs(tf.stop_gradient(u)), axis=axes, keepdims=True)
        return u, nearest_power_of_two(tf.cast(mean, tf.float32))
