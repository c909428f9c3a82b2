"""Surrogates that are derivatives of exponentials in one way or another: tanh, sigmoid, erf."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from keras_ste.estimators import schedules
from keras_ste.estimators.surrogates.base import ParametricSurrogate, register


def _bell(y):
    # σ(y) σ(-y): the difference 1 - σ(y) would lose the digits of a small result.
    return tf.sigmoid(y) * tf.sigmoid(-y)


@register
class Tanh(ParametricSurrogate):
    """The derivative of tanh.

        d(x) = t (1 - tanh(t x)^2)

    Area `2`, peak `t`.

    For the sign. R. Gong et al.: *Differentiable Soft Quantization*, arXiv:1908.05033, and others
    sharpen it in the course of the training: give `t` a schedule.

    Args:
        t: the sharpness; a positive number, a variable or a schedule.
        normalize: `None`, `"area"` or `"peak"`.
        jump: the area that `"area"` gives.

    >>> Tanh(t=2.0)([0.0]).numpy().tolist()
    [2.0]
    """

    paper = "arXiv:1908.05033"
    jump = 2.0

    def __init__(self, t: Any = 1.0, normalize: str | None = None, jump: float | None = None):
        super().__init__(normalize, jump, t=t)

    def _derivative(self, x, t):
        return 4 * t * _bell(2 * t * x)

    def _area(self, t):
        return 2.0

    def _peak(self, t):
        return t


@register
class EDE(ParametricSurrogate):
    """IR-Net's error decay estimator: tanh, from nearly the identity to nearly the sign.

        d(x) = k t (1 - tanh(t x)^2),  k = max(1 / t, 1)

    Area `2 * max(1 / t, 1)`, peak `max(1, t)`.

    The first half of the training keeps the gradient everywhere, the second brings it near to the
    sign's own. H. Qin et al.: *Forward and Backward Information Retention for Accurate Binary
    Neural Networks*, arXiv:1909.10788, for the sign.

    Args:
        t: the sharpness; a positive number, a variable or a schedule. By default an `EDESchedule`,
            from 0.1 to 10, for `keras_ste.training.SurrogateScheduler` to move on.
        normalize: `None`, `"area"` or `"peak"`.
        jump: the area that `"area"` gives.

    >>> EDE(t=0.1)([0.0]).numpy().tolist(), EDE(t=10.0)([0.0]).numpy().tolist()
    ([1.0], [10.0])
    """

    paper = "arXiv:1909.10788"
    jump = 2.0

    def __init__(self, t: Any = None, normalize: str | None = None, jump: float | None = None):
        t = schedules.EDESchedule() if t is None else t
        super().__init__(normalize, jump, t=t)

    def _derivative(self, x, t):
        return 4 * _max(1.0, t) * _bell(2 * t * x)

    def _area(self, t):
        return 2 * _max(1 / t, 1.0)

    def _peak(self, t):
        return _max(1.0, t)


@register
class SwishSign(ParametricSurrogate):
    """The derivative of a sign made of two swish functions; negative away from 0.

        d(x) = beta (2 - beta x tanh(beta x / 2)) / (1 + cosh(beta x))

    Area `2`, peak `beta`.

    The derivative of `2 σ(b x) (1 + b x (1 - σ(b x))) - 1`, where b is beta. S. Darabi et al.:
    *Regularized Binary Network Training* (BNN+), arXiv:1812.11800, for the sign.

    Args:
        beta: the sharpness; a positive number, a variable or a schedule.
        normalize: `None`, `"area"` or `"peak"`.
        jump: the area that `"area"` gives.

    >>> SwishSign()([0.0]).numpy().tolist()
    [5.0]
    """

    paper = "arXiv:1812.11800"
    jump = 2.0

    def __init__(self, beta: Any = 5.0, normalize: str | None = None, jump: float | None = None):
        super().__init__(normalize, jump, beta=beta)

    def _derivative(self, x, beta):
        # Where σ(y) σ(-y) is 0 anyway; without it, an infinite y would give 0 · inf.
        y = tf.clip_by_value(beta * x, -1e3, 1e3)
        return 2 * beta * _bell(y) * (2 - y * tf.tanh(y / 2))

    def _area(self, beta):
        return 2.0

    def _peak(self, beta):
        return beta


@register
class Sigmoid(ParametricSurrogate):
    """The derivative of the logistic function.

        d(x) = alpha s (1 - s),  s = 1 / (1 + exp(-alpha x))

    Area `1`, peak `alpha / 4`.

    Y. Bengio, N. Léonard, A. Courville: *Estimating or Propagating Gradients Through Stochastic
    Neurons for Conditional Computation*, arXiv:1308.3432, for the step from 0 to 1 of a stochastic
    neuron. SpikingJelly takes `alpha=4`, snnTorch `alpha=25`.

    Args:
        alpha: the sharpness; a positive number, a variable or a schedule.
        normalize: `None`, `"area"` or `"peak"`.
        jump: the area that `"area"` gives.

    >>> Sigmoid()([0.0]).numpy().tolist()
    [1.0]
    """

    paper = "arXiv:1308.3432"
    jump = 1.0

    def __init__(self, alpha: Any = 4.0, normalize: str | None = None, jump: float | None = None):
        super().__init__(normalize, jump, alpha=alpha)

    def _derivative(self, x, alpha):
        return alpha * _bell(alpha * x)

    def _area(self, alpha):
        return 1.0

    def _peak(self, alpha):
        return alpha / 4


@register(aliases=("erf",))
class Gaussian(ParametricSurrogate):
    """A Gaussian of area 1: the derivative of the error function.

        d(x) = alpha / sqrt(pi) exp(-(alpha x)^2)

    Area `1`, peak `alpha / sqrt(pi)`.

    As in SpikingJelly (there `Erf`), for the step from 0 to 1.

    Args:
        alpha: one over √2 standard deviations; a positive number, a variable or a schedule.
        normalize: `None`, `"area"` or `"peak"`.
        jump: the area that `"area"` gives.

    >>> Gaussian(normalize="peak")([0.0]).numpy().tolist()
    [1.0]
    """

    paper = "SpikingJelly"
    jump = 1.0

    def __init__(self, alpha: Any = 2.0, normalize: str | None = None, jump: float | None = None):
        super().__init__(normalize, jump, alpha=alpha)

    def _derivative(self, x, alpha):
        return alpha / math.sqrt(math.pi) * tf.exp(-tf.square(alpha * x))

    def _area(self, alpha):
        return 1.0

    def _peak(self, alpha):
        return alpha / math.sqrt(math.pi)


@register(aliases=("laplace",))
class PiecewiseExp(ParametricSurrogate):
    """An exponential decay to both sides.

        d(x) = (alpha / 2) exp(-alpha |x|)

    Area `1`, peak `alpha / 2`.

    S. B. Shrestha, G. Orchard: *SLAYER: Spike Layer Error Reassignment in Time*,
    arXiv:1810.08646, for the step from 0 to 1.

    Args:
        alpha: the rate of decay; a positive number, a variable or a schedule.
        normalize: `None`, `"area"` or `"peak"`.
        jump: the area that `"area"` gives.

    >>> PiecewiseExp()([0.0]).numpy().tolist()
    [0.5]
    """

    paper = "arXiv:1810.08646"
    jump = 1.0

    def __init__(self, alpha: Any = 1.0, normalize: str | None = None, jump: float | None = None):
        super().__init__(normalize, jump, alpha=alpha)

    def _derivative(self, x, alpha):
        return alpha / 2 * tf.exp(-alpha * tf.abs(x))

    def _area(self, alpha):
        return 1.0

    def _peak(self, alpha):
        return alpha / 2


@register
class SpikeRateEscape(ParametricSurrogate):
    """An exponential decay to both sides of 1.

        d(x) = slope exp(-beta |x - 1|)

    Area `2 * slope / beta`, peak `slope`.

    W. Gerstner, W. M. Kistler: *Spiking Neuron Models*, Cambridge University Press, 2002, for the
    step from 0 to 1; this form as in snnTorch, where the peak is one above the threshold at 0.

    Args:
        beta: the rate of decay; a positive number, a variable or a schedule.
        slope: the peak, likewise.
        normalize: `None`, `"area"` or `"peak"`.
        jump: the area that `"area"` gives.

    >>> SpikeRateEscape()([1.0]).numpy().tolist()
    [25.0]
    """

    paper = "Gerstner & Kistler 2002"
    jump = 1.0

    def __init__(
        self,
        beta: Any = 1.0,
        slope: Any = 25.0,
        normalize: str | None = None,
        jump: float | None = None,
    ):
        super().__init__(normalize, jump, beta=beta, slope=slope)

    def _derivative(self, x, beta, slope):
        return slope * tf.exp(-beta * tf.abs(x - 1))

    def _area(self, beta, slope):
        return 2 * slope / beta

    def _peak(self, beta, slope):
        return slope


def _max(a, b):
    numbers_only = isinstance(a, float) and isinstance(b, float)
    return max(a, b) if numbers_only else tf.maximum(a, b)
