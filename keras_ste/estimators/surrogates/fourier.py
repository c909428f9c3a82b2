"""Surrogates from the Fourier series of a square wave."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from keras_ste.estimators import parameters
from keras_ste.estimators.surrogates.base import ParametricSurrogate, register


@register(aliases=("fourier", "fda"))
class FourierSeries(ParametricSurrogate):
    """The derivative of the first terms of a square wave's Fourier series, for the sign.

        d(x) = 8 / period · Σ_{i=1..terms} cos((2 i - 1) 2 π x / period)

    The square wave is the sign on half a period around 0. Over that half period, from -period/4 to
    period/4, the area is `8 / π · Σ (-1)^(i-1) / (2 i - 1)`, which goes to 2; the peak is
    `8 terms / period`. `d` is periodic, and becomes negative. Y. Xu et al.: *Learning Frequency
    Domain Approximation for Binary Neural Networks*, arXiv:2103.00841, who also train a network
    that corrects the error of the truncated series, which is not here.

    Args:
        terms: how many cosines; a positive integer.
        period: of the square wave; positive: a number, a variable or a schedule.
        normalize: `None`, `"area"` (over the half period) or `"peak"`; see `ParametricSurrogate`.

    >>> FourierSeries(terms=1, period=8.0)([0.0]).numpy().tolist()
    [1.0]
    """

    jump = 2.0

    def __init__(self, terms: int = 2, period: Any = 8.0, normalize: str | None = None):
        name = type(self).__name__
        if terms != int(terms) or terms < 1:
            raise ValueError(f"{name} needs a positive number of terms. Received: terms={terms!r}.")
        period = parameters.check(name, "period", period, above=0)
        super().__init__(normalize, terms=int(terms), period=period)

    @property
    def support(self) -> tuple[float, float]:
        quarter = parameters.present(self.period) / 4
        return -quarter, quarter

    def _formula(self, x, terms, period):
        # In float64: of the phase, many turns at times, the fraction counts.
        wide = period if isinstance(period, float) else tf.cast(period, tf.float64)
        phase = 2.0 * math.pi * tf.cast(x, tf.float64) / wide
        waves = [tf.cos((2.0 * i - 1.0) * phase) for i in range(1, terms + 1)]
        return tf.cast(4.0 * self.jump / wide * tf.add_n(waves), x.dtype)

    def _area(self, terms, period):
        alternating = sum((-1) ** (i - 1) / (2 * i - 1) for i in range(1, terms + 1))
        return 4.0 * self.jump / math.pi * alternating

    def _peak(self, terms, period):
        return 4.0 * self.jump * terms / period


@register
class SquarewaveFourierSeries(FourierSeries):
    """The derivative of the first terms of a square wave's Fourier series, for the step.

        d(x) = 4 / period · Σ_{i=1..terms} cos((2 i - 1) 2 π x / period)

    Half of `FourierSeries`: the area over half a period is `4 / π · Σ (-1)^(i-1) / (2 i - 1)`, which
    goes to 1, and the peak is `4 terms / period`. As in SpikingJelly, whose argument `n` is
    `terms + 1`.

    Args:
        terms: how many cosines; a positive integer.
        period: of the square wave; positive: a number, a variable or a schedule.
        normalize: `None`, `"area"` (over the half period) or `"peak"`; see `ParametricSurrogate`.

    >>> SquarewaveFourierSeries()([0.0]).numpy().tolist()
    [0.5]
    """

    jump = 1.0

    def __init__(self, terms: int = 1, period: Any = 8.0, normalize: str | None = None):
        super().__init__(terms, period, normalize)
