"""Surrogates that are constant, or constant in pieces."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from keras_ste.estimators import parameters
from keras_ste.estimators.surrogates.base import ParametricSurrogate, Surrogate, register


@register(aliases=("ste", "straight_through_estimator", "deterministic_pass", "poisson_pass"))
class Identity(Surrogate):
    """The straight-through estimator itself, for any forward function.

        d(x) = 1        area ∞, peak 1

    Y. Bengio, N. Léonard, A. Courville: *Estimating or Propagating Gradients Through Stochastic
    Neurons for Conditional Computation*, arXiv:1308.3432, after G. Hinton's lectures of 2012.

    >>> Identity()([-3.0, 0.0, 3.0]).numpy().tolist()
    [1.0, 1.0, 1.0]
    """

    area = math.inf
    peak = 1.0

    def derivative(self, x: tf.Tensor) -> tf.Tensor:
        return tf.ones_like(x)


@register(aliases=("hard_tanh", "htanh"))
class ClippedIdentity(ParametricSurrogate):
    """The derivative of the hard tanh, for the sign.

        d(x) = 1 where |x| <= width, else 0        area 2 width, peak 1

    The gradient stops where a latent value has left the interval in which it could still change its
    sign soon. M. Courbariaux et al.: *Binarized Neural Networks*, arXiv:1602.02830.

    Args:
        width: the bound, included; positive: a number, a variable or a schedule.
        normalize: `None`, `"area"` or `"peak"`; see `ParametricSurrogate`.

    Raises:
        ValueError: `width` is not positive.

    >>> ClippedIdentity()([-1.5, -1.0, 0.0, 1.0, 1.5]).numpy().tolist()
    [0.0, 1.0, 1.0, 1.0, 0.0]
    """

    jump = 2.0

    def __init__(self, width: Any = 1.0, normalize: str | None = None):
        super().__init__(
            normalize, width=parameters.check("ClippedIdentity", "width", width, above=0)
        )

    def derivative(self, x: tf.Tensor) -> tf.Tensor:
        if self.normalize is not None:
            return super().derivative(x)
        # The surrogate that most training runs through: not widened, and nothing multiplied.
        width = parameters.in_dtype(self.width, x.dtype)
        return tf.cast(tf.abs(x) <= tf.cast(width, x.dtype), x.dtype)

    def _formula(self, x, width):
        return tf.cast(tf.abs(x) <= width, x.dtype)

    def _area(self, width):
        return 2.0 * width

    def _peak(self, width):
        return 1.0


@register(aliases=("rectangular",))
class Rect(ParametricSurrogate):
    """A rectangle, for the step.

        d(x) = alpha where |x| < 1 / (2 alpha), else 0        area 1, peak alpha

    As in SpikingJelly. Y. Wu et al.: *Spatio-Temporal Backpropagation for Training High-Performance
    Spiking Neural Networks*, arXiv:1706.02609.

    Args:
        alpha: height, and the inverse of the width; positive.
        normalize: `None`, `"area"` or `"peak"`; see `ParametricSurrogate`.

    >>> Rect(2.0)([-0.3, 0.0, 0.2]).numpy().tolist()
    [0.0, 2.0, 2.0]
    """

    def __init__(self, alpha: Any = 1.0, normalize: str | None = None):
        super().__init__(normalize, alpha=parameters.check("Rect", "alpha", alpha, above=0))

    def _formula(self, x, alpha):
        return alpha * tf.cast(tf.abs(x) < 0.5 / alpha, x.dtype)

    def _area(self, alpha):
        return 1.0

    def _peak(self, alpha):
        return alpha


@register(name="piecewise_leaky_relu")
class PiecewiseLeakyReLU(ParametricSurrogate):
    """A rectangle on a floor, for the step.

        d(x) = 1 / (2 w) where |x| < w, else c        area ∞ (1 for c = 0), peak max(1 / (2 w), c)

    As in SpikingJelly.

    Args:
        w: half the width of the rectangle; positive.
        c: the gradient outside; at least 0.
        normalize: `None`, `"area"` or `"peak"`; see `ParametricSurrogate`.

    >>> PiecewiseLeakyReLU(w=1.0, c=0.25)([-2.0, 0.0, 1.0]).numpy().tolist()
    [0.25, 0.5, 0.25]
    """

    def __init__(self, w: Any = 1.0, c: Any = 0.01, normalize: str | None = None):
        super().__init__(
            normalize,
            w=parameters.check("PiecewiseLeakyReLU", "w", w, above=0),
            c=parameters.check("PiecewiseLeakyReLU", "c", c, at_least=0),
        )

    def _formula(self, x, w, c):
        inside = tf.cast(tf.abs(x) < w, x.dtype)
        return inside * (0.5 / w) + (1.0 - inside) * c

    def _area(self, w, c):
        # A variable floor counts as one that may be above 0.
        return 1.0 if isinstance(c, float) and c == 0 else math.inf

    def _peak(self, w, c):
        return parameters.maximum(0.5 / w, c)


@register(name="leaky_k_relu", aliases=("leaky_krelu",))
class LeakyKReLU(ParametricSurrogate):
    """Two constants, for the step.

        d(x) = k where x >= 0, else leak        area ∞, peak max(k, leak)

    As in SpikingJelly. snnTorch's `Heaviside` is `LeakySpikeOperator(0)`.

    Args:
        leak: the gradient below the threshold; at least 0.
        k: the gradient above; at least 0.
        normalize: `None` or `"peak"`; see `ParametricSurrogate`.

    >>> LeakyKReLU(leak=0.5)([-1.0, 0.0, 1.0]).numpy().tolist()
    [0.5, 1.0, 1.0]
    """

    def __init__(self, leak: Any = 0.0, k: Any = 1.0, normalize: str | None = None):
        super().__init__(
            normalize,
            leak=parameters.check("LeakyKReLU", "leak", leak, at_least=0),
            k=parameters.check("LeakyKReLU", "k", k, at_least=0),
        )

    def _formula(self, x, leak, k):
        above = tf.cast(x >= 0, x.dtype)
        return above * k + (1.0 - above) * leak

    def _area(self, leak, k):
        return math.inf

    def _peak(self, leak, k):
        return parameters.maximum(k, leak)


@register(aliases=("lso",))
class LeakySpikeOperator(ParametricSurrogate):
    """1 above the threshold and a small slope below it, for the step.

        d(x) = 1 where x > 0, else slope        area ∞, peak max(1, slope)

    As in snnTorch (LSO). With `slope=0` it is the gradient of snnTorch's `Heaviside`.

    Args:
        slope: the gradient below the threshold; at least 0.
        normalize: `None` or `"peak"`; see `ParametricSurrogate`.

    >>> LeakySpikeOperator(0.5)([-1.0, 0.0, 1.0]).numpy().tolist()
    [0.5, 0.5, 1.0]
    """

    def __init__(self, slope: Any = 0.1, normalize: str | None = None):
        super().__init__(
            normalize, slope=parameters.check("LeakySpikeOperator", "slope", slope, at_least=0)
        )

    def _formula(self, x, slope):
        above = tf.cast(x > 0, x.dtype)
        return above + (1.0 - above) * slope

    def _area(self, slope):
        return math.inf

    def _peak(self, slope):
        return parameters.maximum(1.0, slope)


@register
class Triangular(ParametricSurrogate):
    """snnTorch's `Triangular`, for the step: the slopes of a triangle, not a triangle.

        d(x) = threshold where x < 0, else -threshold        no area, peak threshold

    The gradient of values above the threshold has the wrong sign: it is here for those who have to
    reproduce a network trained so. A gradient in the shape of a triangle is `PiecewiseQuadratic`.

    Args:
        threshold: the height; positive.
        normalize: `None` or `"peak"`; see `ParametricSurrogate`.

    >>> Triangular()([-1.0, 0.0, 1.0]).numpy().tolist()
    [1.0, -1.0, -1.0]
    """

    def __init__(self, threshold: Any = 1.0, normalize: str | None = None):
        super().__init__(
            normalize, threshold=parameters.check("Triangular", "threshold", threshold, above=0)
        )

    def _formula(self, x, threshold):
        return threshold * (1.0 - 2.0 * tf.cast(x >= 0, x.dtype))

    def _area(self, threshold):
        return math.nan

    def _peak(self, threshold):
        return threshold
