"""Surrogates whose tails fall like a power of x: far values keep some gradient."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from keras_ste.estimators.surrogates.base import ParametricSurrogate, register


@register(name="atan", aliases=("arctan", "arc_tan"))
class ATan(ParametricSurrogate):
    """The derivative of the arc tangent.

        d(x) = (alpha / 2) / (1 + (pi alpha x / 2)^2)

    Area `1`, peak `alpha / 2`.

    W. Fang et al.: *Incorporating Learnable Membrane Time Constant to Enhance Learning of Spiking
    Neural Networks*, arXiv:2007.05785, for the step from 0 to 1.

    Args:
        alpha: the sharpness; a positive number, a variable or a schedule.
        normalize: `None`, `"area"` or `"peak"`.
        jump: the area that `"area"` gives.

    >>> ATan()([0.0]).numpy().tolist()
    [1.0]
    """

    paper = "arXiv:2007.05785"
    jump = 1.0

    def __init__(self, alpha: Any = 2.0, normalize: str | None = None, jump: float | None = None):
        super().__init__(normalize, jump, alpha=alpha)

    def _derivative(self, x, alpha):
        return alpha / 2 / (1 + tf.square(math.pi / 2 * alpha * x))

    def _area(self, alpha):
        return 1.0

    def _peak(self, alpha):
        return alpha / 2


@register
class SuperSpike(ParametricSurrogate):
    """The derivative of the fast sigmoid, scaled by its peak.

        d(x) = alpha / (1 + |x|)^2

    Area `2 * alpha`, peak `alpha`.

    F. Zenke, S. Ganguli: *SuperSpike: Supervised learning in multi-layer spiking neural networks*,
    arXiv:1705.11146, for the step from 0 to 1; this form as in SpikingJelly. See `FastSigmoid` for
    the one whose width changes.

    Args:
        alpha: the peak; a positive number, a variable or a schedule.
        normalize: `None`, `"area"` or `"peak"`.
        jump: the area that `"area"` gives.

    >>> SuperSpike()([-1.0, 0.0]).numpy().tolist()
    [0.25, 1.0]
    """

    paper = "arXiv:1705.11146"
    jump = 1.0

    def __init__(self, alpha: Any = 1.0, normalize: str | None = None, jump: float | None = None):
        super().__init__(normalize, jump, alpha=alpha)

    def _derivative(self, x, alpha):
        return alpha / tf.square(1 + tf.abs(x))

    def _area(self, alpha):
        return 2 * alpha

    def _peak(self, alpha):
        return alpha


@register
class FastSigmoid(ParametricSurrogate):
    """The derivative of the fast sigmoid, with a peak of 1.

        d(x) = 1 / (1 + slope |x|)^2

    Area `2 / slope`, peak `1`.

    F. Zenke, S. Ganguli: *SuperSpike: Supervised learning in multi-layer spiking neural networks*,
    arXiv:1705.11146, for the step from 0 to 1; this form as in snnTorch.

    Args:
        slope: one over the half width; a positive number, a variable or a schedule.
        normalize: `None`, `"area"` or `"peak"`.
        jump: the area that `"area"` gives.

    >>> FastSigmoid(slope=2.0)([-0.5, 0.0]).numpy().tolist()
    [0.25, 1.0]
    """

    paper = "arXiv:1705.11146"
    jump = 1.0

    def __init__(self, slope: Any = 25.0, normalize: str | None = None, jump: float | None = None):
        super().__init__(normalize, jump, slope=slope)

    def _derivative(self, x, slope):
        return 1 / tf.square(1 + slope * tf.abs(x))

    def _area(self, slope):
        return 2 / slope

    def _peak(self, slope):
        return 1.0


@register(aliases=("sfs",))
class SparseFastSigmoid(ParametricSurrogate):
    """The derivative of the fast sigmoid, above a bound only.

        d(x) = 1 / (1 + slope |x|)^2 if x > b else 0

    Area `1 / (slope * (1 + slope * b))`, peak `1 / (1 + slope * b) ** 2`.

    N. Perez-Nieves, D. F. M. Goodman: *Sparse Spiking Gradient Descent*, arXiv:2105.08810, for the
    step from 0 to 1; this form as in snnTorch, where it is 0 around the threshold itself. Area and
    peak are those of a bound that is not negative, which is what it takes.

    Args:
        slope: one over the half width; a positive number, a variable or a schedule.
        b: the bound: a number that is not negative.
        normalize: `None`, `"area"` or `"peak"`.
        jump: the area that `"area"` gives.

    Raises:
        ValueError: a negative bound.

    >>> SparseFastSigmoid(slope=1.0, b=0.5)([0.0, 0.5, 1.0]).numpy().tolist()
    [0.0, 0.0, 0.25]
    """

    paper = "arXiv:2105.08810"
    jump = 1.0
    _constant = ("b",)
    _any_sign = ("b",)

    def __init__(
        self,
        slope: Any = 25.0,
        b: float = 1.0,
        normalize: str | None = None,
        jump: float | None = None,
    ):
        if isinstance(b, (int, float)) and not b >= 0:
            raise ValueError(f"SparseFastSigmoid needs a bound of 0 or more. Received: b={b!r}.")
        super().__init__(normalize, jump, slope=slope, b=b)

    def _derivative(self, x, slope, b):
        return tf.cast(x > b, x.dtype) / tf.square(1 + slope * tf.abs(x))

    def _area(self, slope, b):
        return 1 / (slope * (1 + slope * b))

    def _peak(self, slope, b):
        return 1 / (1 + slope * b) ** 2


@register(aliases=("softsign",))
class SoftSign(ParametricSurrogate):
    """The derivative of the soft sign, with an area of 1.

        d(x) = 1 / (2 alpha (1 / alpha + |x|)^2)

    Area `1`, peak `alpha / 2`.

    As in SpikingJelly, for the step from 0 to 1.

    Args:
        alpha: the sharpness; a positive number, a variable or a schedule.
        normalize: `None`, `"area"` or `"peak"`.
        jump: the area that `"area"` gives.

    >>> SoftSign()([-0.5, 0.0]).numpy().tolist()
    [0.25, 1.0]
    """

    paper = "SpikingJelly"
    jump = 1.0

    def __init__(self, alpha: Any = 2.0, normalize: str | None = None, jump: float | None = None):
        super().__init__(normalize, jump, alpha=alpha)

    def _derivative(self, x, alpha):
        return alpha / 2 / tf.square(1 + alpha * tf.abs(x))

    def _area(self, alpha):
        return 1.0

    def _peak(self, alpha):
        return alpha / 2


@register
class QPseudoSpike(ParametricSurrogate):
    """A power of x with tails as fat as one likes.

        d(x) = (1 + 2 |x| / (alpha - 1))^(-alpha)

    Area `1`, peak `1`.

    L. Herranz-Celotti, J. Rouat: *Surrogate Gradients Design*, arXiv:2202.00282, for the step from
    0 to 1, where alpha is called q.

    Args:
        alpha: the power, a number above 1: fat tails near 1, an exponential decay towards infinity.
            Or a variable or a schedule of such values.
        normalize: `None`, `"area"` or `"peak"`.
        jump: the area that `"area"` gives.

    Raises:
        ValueError: an alpha that is not above 1.

    >>> QPseudoSpike()([-0.5, 0.0]).numpy().tolist()
    [0.25, 1.0]
    """

    paper = "arXiv:2202.00282"
    jump = 1.0

    def __init__(self, alpha: Any = 2.0, normalize: str | None = None, jump: float | None = None):
        if isinstance(alpha, (int, float)) and not alpha > 1:
            raise ValueError(f"QPseudoSpike needs an alpha above 1. Received: alpha={alpha!r}.")
        super().__init__(normalize, jump, alpha=alpha)

    def _derivative(self, x, alpha):
        return tf.pow(1 + 2 * tf.abs(x) / (alpha - 1), -alpha)

    def _area(self, alpha):
        return 1.0

    def _peak(self, alpha):
        return 1.0


@register
class NonzeroSignLogAbs(ParametricSurrogate):
    """The derivative of a logarithm to both sides.

        d(x) = 1 / (1 / alpha + |x|)

    Area `inf`, peak `alpha`.

    The derivative of `sign(x) log(1 + alpha |x|)`. As in SpikingJelly, for the step from 0 to 1.

    Args:
        alpha: the peak; a positive number, a variable or a schedule.
        normalize: `None` or `"peak"`.
        jump: not used: the area is infinite.

    >>> NonzeroSignLogAbs()([-1.0, 0.0]).numpy().tolist()
    [0.5, 1.0]
    """

    paper = "SpikingJelly"
    jump = 1.0

    def __init__(self, alpha: Any = 1.0, normalize: str | None = None, jump: float | None = None):
        super().__init__(normalize, jump, alpha=alpha)

    def _derivative(self, x, alpha):
        return 1 / (1 / alpha + tf.abs(x))

    def _area(self, alpha):
        return float("inf")

    def _peak(self, alpha):
        return alpha


@register
class FakeNumericalGradient(ParametricSurrogate):
    """The slope of the line through 0 and the sign, limited.

        d(x) = min(1 / |x|, alpha)

    Area `inf`, peak `alpha`.

    `sign(x) / x`, at most alpha. As in SpikingJelly, for the step from 0 to 1.

    Args:
        alpha: the limit; a positive number, a variable or a schedule.
        normalize: `None` or `"peak"`.
        jump: not used: the area is infinite.

    >>> FakeNumericalGradient(alpha=2.0)([-4.0, 0.0]).numpy().tolist()
    [0.25, 2.0]
    """

    paper = "SpikingJelly"
    jump = 1.0

    def __init__(self, alpha: Any = 0.3, normalize: str | None = None, jump: float | None = None):
        super().__init__(normalize, jump, alpha=alpha)

    def _derivative(self, x, alpha):
        # min(1 / |x|, alpha), without an infinity at 0 that a second derivative would meet.
        return 1 / tf.maximum(tf.abs(x), 1 / alpha)

    def _area(self, alpha):
        return float("inf")

    def _peak(self, alpha):
        return alpha
