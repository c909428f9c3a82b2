"""Surrogates that fall off as a power of x."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from keras_ste.estimators import parameters
from keras_ste.estimators.surrogates.base import ParametricSurrogate, register


@register(name="atan", aliases=("arctan",))
class ATan(ParametricSurrogate):
    """The derivative of the arctangent, for the step.

        d(x) = (alpha / 2) / (1 + (π alpha x / 2)²)        area 1, peak alpha / 2

    W. Fang et al.: *Incorporating Learnable Membrane Time Constant to Enhance Learning of Spiking
    Neural Networks*, arXiv:2007.05785. SpikingJelly and snnTorch compute this; snnTorch's
    documentation has a factor 1 / π in place of alpha / 2.

    Args:
        alpha: the sharpness; positive: a number, a variable or a schedule.
        normalize: `None`, `"area"` or `"peak"`; see `ParametricSurrogate`.

    >>> ATan()([0.0]).numpy().tolist()
    [1.0]
    """

    def __init__(self, alpha: Any = 2.0, normalize: str | None = None):
        super().__init__(normalize, alpha=parameters.check("ATan", "alpha", alpha, above=0))

    def _formula(self, x, alpha):
        return 0.5 * alpha / (1.0 + (0.5 * math.pi * alpha * x) ** 2)

    def _area(self, alpha):
        return 1.0

    def _peak(self, alpha):
        return 0.5 * alpha


@register(name="softsign", aliases=("soft_sign",))
class SoftSign(ParametricSurrogate):
    """The derivative of the soft sign `x / (1 + |x|)`, for the step.

        d(x) = alpha / (2 (1 + alpha |x|)²)        area 1, peak alpha / 2

    As in SpikingJelly; `FastSigmoid` and `SuperSpike` have the same shape and other factors.

    Args:
        alpha: the sharpness; positive: a number, a variable or a schedule.
        normalize: `None`, `"area"` or `"peak"`; see `ParametricSurrogate`.

    >>> SoftSign()([0.0, 0.5]).numpy().tolist()
    [1.0, 0.25]
    """

    def __init__(self, alpha: Any = 2.0, normalize: str | None = None):
        super().__init__(normalize, alpha=parameters.check("SoftSign", "alpha", alpha, above=0))

    def _formula(self, x, alpha):
        return 0.5 * alpha / (1.0 + alpha * tf.abs(x)) ** 2

    def _area(self, alpha):
        return 1.0

    def _peak(self, alpha):
        return 0.5 * alpha


@register
class SuperSpike(ParametricSurrogate):
    """SuperSpike's derivative as SpikingJelly has it, for the step: alpha is the height only.

        d(x) = alpha / (1 + |x|)²        area 2 alpha, peak alpha

    F. Zenke, S. Ganguli: *SuperSpike: Supervised Learning in Multilayer Spiking Neural Networks*,
    Neural Computation 30, 2018, arXiv:1705.11146.

    Args:
        alpha: the height; positive.
        normalize: `None`, `"area"` or `"peak"`; see `ParametricSurrogate`.

    >>> SuperSpike()([0.0, 1.0]).numpy().tolist()
    [1.0, 0.25]
    """

    def __init__(self, alpha: Any = 1.0, normalize: str | None = None):
        super().__init__(normalize, alpha=parameters.check("SuperSpike", "alpha", alpha, above=0))

    def _formula(self, x, alpha):
        return alpha / (1.0 + tf.abs(x)) ** 2

    def _area(self, alpha):
        return 2.0 * alpha

    def _peak(self, alpha):
        return alpha


@register
class FastSigmoid(ParametricSurrogate):
    """The fast sigmoid's derivative as snnTorch has it, for the step: of height 1, and narrow.

        d(x) = 1 / (1 + slope |x|)²        area 2 / slope, peak 1

    The default has an area of 0.08, a twelfth of the jump of the step: `normalize="area"` mends it.
    F. Zenke, S. Ganguli: *SuperSpike: Supervised Learning in Multilayer Spiking Neural Networks*,
    Neural Computation 30, 2018, arXiv:1705.11146.

    Args:
        slope: the sharpness; positive: a number, a variable or a schedule.
        normalize: `None`, `"area"` or `"peak"`; see `ParametricSurrogate`.

    >>> FastSigmoid(1.0)([0.0, 1.0]).numpy().tolist()
    [1.0, 0.25]
    """

    def __init__(self, slope: Any = 25.0, normalize: str | None = None):
        super().__init__(normalize, slope=parameters.check("FastSigmoid", "slope", slope, above=0))

    def _formula(self, x, slope):
        return 1.0 / (1.0 + slope * tf.abs(x)) ** 2

    def _area(self, slope):
        return 2.0 / slope

    def _peak(self, slope):
        return 1.0


@register(aliases=("sfs",))
class SparseFastSigmoid(ParametricSurrogate):
    """The fast sigmoid's derivative above a bound, and 0 below it, for the step.

        d(x) = 1 / (1 + slope |x|)² where x > bound, else 0

    For a bound of at least 0 the area is `1 / (slope (1 + slope bound))` and the supremum
    `1 / (1 + slope bound)²`; else they are `2 / slope - 1 / (slope (1 + slope |bound|))` and 1. As
    in snnTorch (SFS), whose default keeps the gradient above 1 only: with a negative bound the step
    itself gets one. N. Perez-Nieves, D. Goodman: *Sparse Spiking Gradient Descent*,
    arXiv:2105.08810.

    Args:
        slope: the sharpness; positive.
        bound: where the gradient begins, not included.
        normalize: `None`, `"area"` or `"peak"`; see `ParametricSurrogate`.

    >>> SparseFastSigmoid(slope=1.0, bound=-0.5)([-1.0, 0.0, 1.0]).numpy().tolist()
    [0.0, 1.0, 0.25]
    """

    def __init__(self, slope: Any = 25.0, bound: Any = 1.0, normalize: str | None = None):
        super().__init__(
            normalize,
            slope=parameters.check("SparseFastSigmoid", "slope", slope, above=0),
            bound=parameters.check("SparseFastSigmoid", "bound", bound),
        )

    def _formula(self, x, slope, bound):
        return tf.cast(x > bound, x.dtype) / (1.0 + slope * tf.abs(x)) ** 2

    def _area(self, slope, bound):
        # The integral from 0 to |b| is |b| / (1 + slope |b|); the one from 0 to infinity 1 / slope.
        return 1.0 / slope - bound / (1.0 + slope * abs(bound))

    def _peak(self, slope, bound):
        return 1.0 / (1.0 + slope * parameters.maximum(bound, 0.0)) ** 2


@register
class NonzeroSignLogAbs(ParametricSurrogate):
    """The derivative of `sign(x) log(|alpha x| + 1)`, for the step.

        d(x) = 1 / (1 / alpha + |x|)        area ∞, peak alpha

    As in SpikingJelly.

    Args:
        alpha: the height; positive.
        normalize: `None` or `"peak"`; see `ParametricSurrogate`.

    >>> NonzeroSignLogAbs()([0.0, 1.0]).numpy().tolist()
    [1.0, 0.5]
    """

    def __init__(self, alpha: Any = 1.0, normalize: str | None = None):
        alpha = parameters.check("NonzeroSignLogAbs", "alpha", alpha, above=0)
        super().__init__(normalize, alpha=alpha)

    def _formula(self, x, alpha):
        return 1.0 / (1.0 / alpha + tf.abs(x))

    def _area(self, alpha):
        return math.inf

    def _peak(self, alpha):
        return alpha


@register(name="q_pseudo_spike", aliases=("qpseudo_spike",))
class QPseudoSpike(ParametricSurrogate):
    """A peak of height 1 whose tails fall off as the power -alpha, for the step.

        d(x) = (1 + 2 |x| / (alpha - 1))^-alpha        area 1, peak 1

    As in SpikingJelly. L. Herranz-Celotti, J. Rouat: *Surrogate Gradients Design*,
    arXiv:2202.00282.

    Args:
        alpha: greater than 1; the larger, the lighter the tails.
        normalize: `None`, `"area"` or `"peak"`; see `ParametricSurrogate`.

    >>> QPseudoSpike()([0.0, 0.5]).numpy().tolist()
    [1.0, 0.25]
    """

    def __init__(self, alpha: Any = 2.0, normalize: str | None = None):
        super().__init__(normalize, alpha=parameters.check("QPseudoSpike", "alpha", alpha, above=1))

    def _formula(self, x, alpha):
        return (1.0 + 2.0 / (alpha - 1.0) * tf.abs(x)) ** -alpha

    def _area(self, alpha):
        return 1.0

    def _peak(self, alpha):
        return 1.0


@register
class FakeNumericalGradient(ParametricSurrogate):
    """The slope of the line from the origin to the sign, for the step.

        d(x) = min(1 / |x|, alpha)        area ∞, peak alpha

    As in SpikingJelly.

    Args:
        alpha: the height; positive.
        normalize: `None` or `"peak"`; see `ParametricSurrogate`.

    >>> FakeNumericalGradient(0.5)([0.0, -1.0, 4.0]).numpy().tolist()
    [0.5, 0.5, 0.25]
    """

    def __init__(self, alpha: Any = 0.3, normalize: str | None = None):
        alpha = parameters.check("FakeNumericalGradient", "alpha", alpha, above=0)
        super().__init__(normalize, alpha=alpha)

    def _formula(self, x, alpha):
        return 1.0 / tf.maximum(tf.abs(x), 1.0 / alpha)

    def _area(self, alpha):
        return math.inf

    def _peak(self, alpha):
        return alpha


@register(name="log_tailed_relu")
class LogTailedReLU(ParametricSurrogate):
    """The derivative of a ReLU that goes on as a logarithm, for the step.

        d(x) = alpha where x <= 0; 1 where 0 < x <= 1; 1 / x where x > 1        area ∞

    peak `max(1, alpha)`. Z. Cai et al.: *Deep Learning with Low Precision by Half-wave Gaussian
    Quantization*, arXiv:1702.00953; with the leak alpha as in SpikingJelly.

    Args:
        alpha: the gradient below the step; at least 0.
        normalize: `None` or `"peak"`; see `ParametricSurrogate`.

    >>> LogTailedReLU()([-1.0, 1.0, 4.0]).numpy().tolist()
    [0.0, 1.0, 0.25]
    """

    def __init__(self, alpha: Any = 0.0, normalize: str | None = None):
        alpha = parameters.check("LogTailedReLU", "alpha", alpha, at_least=0)
        super().__init__(normalize, alpha=alpha)

    def _formula(self, x, alpha):
        above = tf.cast(x > 0, x.dtype)
        return above / tf.maximum(x, 1.0) + (1.0 - above) * alpha

    def _area(self, alpha):
        return math.inf

    def _peak(self, alpha):
        return parameters.maximum(1.0, alpha)


@register(name="s2nn", aliases=("s2_nn",))
class S2NN(ParametricSurrogate):
    """The logistic function's derivative below the step, a hyperbola above it.

        d(x) = alpha σ(alpha x) (1 - σ(alpha x)) where x < 0, else beta / (x + 1)        area ∞

    The supremum is `max(alpha / 4, beta)`. As in SpikingJelly. K. Suetake et al.: *S2NN: Time Step
    Reduction of Spiking Surrogate Gradients for Training Energy Efficient Single-Step Neural
    Networks*, arXiv:2201.10879.

    Args:
        alpha: the sharpness below; positive.
        beta: the height above; positive.
        normalize: `None` or `"peak"`; see `ParametricSurrogate`.

    >>> S2NN()([0.0, 1.0]).numpy().tolist()
    [1.0, 0.5]
    """

    def __init__(self, alpha: Any = 4.0, beta: Any = 1.0, normalize: str | None = None):
        super().__init__(
            normalize,
            alpha=parameters.check("S2NN", "alpha", alpha, above=0),
            beta=parameters.check("S2NN", "beta", beta, above=0),
        )

    def _formula(self, x, alpha, beta):
        below = alpha * tf.sigmoid(alpha * x) * tf.sigmoid(-alpha * x)
        return tf.where(x < 0, below, beta / (tf.maximum(x, 0.0) + 1.0))

    def _area(self, alpha, beta):
        return math.inf

    def _peak(self, alpha, beta):
        return parameters.maximum(0.25 * alpha, beta)
