"""Differentiable soft quantization: a tanh in each cell of a quantizer."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from keras_ste.estimators import parameters
from keras_ste.estimators.surrogates.base import ParametricSurrogate, register
from keras_ste.estimators.surrogates.hyperbolic import sech_squared


@register
class DSQ(ParametricSurrogate):
    """Differentiable soft quantization's derivative with one bit, for the sign.

        d(x) = s k (1 - tanh²(k x)) where |x| <= 1, else 0
        s = 1 / (1 - alpha),  k = log(2 / alpha - 1) / 2

    area 2, peak `s k`. k is such that `tanh(k) = 1 - alpha`, so that the soft function `s tanh(k x)`
    reaches -1 and +1 at the edges. R. Gong et al.: *Differentiable Soft Quantization*,
    arXiv:1908.05033. There the forward function may be the soft one, through which alpha is
    learned; here alpha is a constant, a variable set from outside, or a schedule.

    Args:
        alpha: between 0, where the sign is met, and 1, where `d` is constant.
        normalize: `None`, `"area"` or `"peak"`; see `ParametricSurrogate`.

    >>> DSQ(0.5)([-2.0]).numpy().tolist(), round(float(DSQ(0.5)(0.0)), 4)
    ([0.0], 1.0986)
    """

    jump = 2.0
    _cell = 2.0

    def __init__(self, alpha: Any = 0.2, normalize: str | None = None):
        name = type(self).__name__
        alpha = parameters.check(name, "alpha", alpha, above=0)
        if isinstance(alpha, float) and not alpha < 1:
            raise ValueError(f"{name} needs an alpha below 1. Received: alpha={alpha!r}.")
        super().__init__(normalize, alpha=alpha)

    def _formula(self, x, alpha):
        inside = tf.cast(tf.abs(x) <= 1.0, x.dtype)
        return inside * self._soft(tf.clip_by_value(x, -1.0, 1.0), alpha)

    def _soft(self, distance, alpha):
        k = parameters.log(2.0 / alpha - 1.0) / self._cell
        return self._peak(alpha) * sech_squared(k * distance)

    def _area(self, alpha):
        return self._cell

    def _peak(self, alpha):
        return 0.5 * parameters.log(2.0 / alpha - 1.0) / (1.0 - alpha)


@register(name="dsq_round")
class DSQRound(DSQ):
    """Differentiable soft quantization's derivative, for rounding to integers.

        d(x) = (s k / 2) (1 - tanh²(k (x - m))),  m = floor(x) + 1/2
        s = 1 / (1 - alpha),  k = log(2 / alpha - 1)

    The area over each cell between two integers is 1, the peak `s k / 2`, at the points where the
    rounding jumps. R. Gong et al.: *Differentiable Soft Quantization*, arXiv:1908.05033, for a
    uniform quantizer whose step is 1. At an infinity `d` is what it is at an integer.

    Args:
        alpha: between 0, where rounding is met, and 1, where `d` is constant.
        normalize: `None`, `"area"` (over a cell) or `"peak"`; see `ParametricSurrogate`.

    >>> low, high = DSQRound()([2.0, 2.5]).numpy()
    >>> round(float(low), 3), round(float(high), 3)
    (0.494, 1.373)
    """

    jump = 1.0
    support = (0.0, 1.0)
    _cell = 1.0

    def _formula(self, x, alpha):
        finite = tf.where(tf.math.is_inf(x), tf.zeros_like(x), x)
        return self._soft(finite - tf.floor(finite) - 0.5, alpha)
