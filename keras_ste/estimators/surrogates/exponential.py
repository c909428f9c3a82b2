"""Surrogates that fall off exponentially."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from keras_ste.estimators import parameters
from keras_ste.estimators.surrogates.base import ParametricSurrogate, register


@register(aliases=("laplace",))
class PiecewiseExp(ParametricSurrogate):
    """The density of the Laplace distribution, for the step.

        d(x) = alpha / 2 · exp(-alpha |x|)        area 1, peak alpha / 2

    As in SpikingJelly. S. Shrestha, G. Orchard: *SLAYER: Spike Layer Error Reassignment in Time*,
    arXiv:1810.08646.

    Args:
        alpha: the sharpness; positive: a number, a variable or a schedule.
        normalize: `None`, `"area"` or `"peak"`; see `ParametricSurrogate`.

    >>> PiecewiseExp()([0.0]).numpy().tolist()
    [0.5]
    """

    def __init__(self, alpha: Any = 1.0, normalize: str | None = None):
        super().__init__(normalize, alpha=parameters.check("PiecewiseExp", "alpha", alpha, above=0))

    def _formula(self, x, alpha):
        return 0.5 * alpha * tf.exp(-alpha * tf.abs(x))

    def _area(self, alpha):
        return 1.0

    def _peak(self, alpha):
        return 0.5 * alpha


@register(aliases=("gaussian",))
class Erf(ParametricSurrogate):
    """The density of the normal distribution of variance 1 / (2 alpha²), for the step.

        d(x) = alpha / √π · exp(-alpha² x²)        area 1, peak alpha / √π

    As in SpikingJelly. B. Yin, F. Corradi, S. Bohté: *Accurate and efficient time-domain
    classification with adaptive spiking recurrent neural networks*, arXiv:2103.12593, use Gaussians.

    Args:
        alpha: the sharpness; positive: a number, a variable or a schedule.
        normalize: `None`, `"area"` or `"peak"`; see `ParametricSurrogate`.

    >>> round(float(Erf(1.0)(0.0)), 4)
    0.5642
    """

    def __init__(self, alpha: Any = 2.0, normalize: str | None = None):
        super().__init__(normalize, alpha=parameters.check("Erf", "alpha", alpha, above=0))

    def _formula(self, x, alpha):
        return alpha / math.sqrt(math.pi) * tf.exp(-((alpha * x) ** 2))

    def _area(self, alpha):
        return 1.0

    def _peak(self, alpha):
        return alpha / math.sqrt(math.pi)


@register
class SpikeRateEscape(ParametricSurrogate):
    """snnTorch's escape rate, for the step: its peak is at 1, not at the step.

        d(x) = slope · exp(-beta |x - 1|)        area 2 slope / beta, peak slope

    W. Gerstner, W. Kistler: *Spiking Neuron Models*, Cambridge University Press, 2002.

    Args:
        beta: how fast it falls off; positive.
        slope: the height; positive.
        normalize: `None`, `"area"` or `"peak"`; see `ParametricSurrogate`.

    >>> SpikeRateEscape()([1.0]).numpy().tolist()
    [25.0]
    """

    def __init__(self, beta: Any = 1.0, slope: Any = 25.0, normalize: str | None = None):
        super().__init__(
            normalize,
            beta=parameters.check("SpikeRateEscape", "beta", beta, above=0),
            slope=parameters.check("SpikeRateEscape", "slope", slope, above=0),
        )

    def _formula(self, x, beta, slope):
        return slope * tf.exp(-beta * tf.abs(x - 1.0))

    def _area(self, beta, slope):
        return 2.0 * slope / beta

    def _peak(self, beta, slope):
        return slope
