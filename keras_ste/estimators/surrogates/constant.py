"""Surrogates that are constant in pieces: the straight-through estimator, clipped or not."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from keras_ste.estimators.surrogates.base import ParametricSurrogate, Surrogate, register


@register(aliases=("straight_through_estimator", "deterministic_pass"))
class Identity(Surrogate):
    """The straight-through estimator itself.

        d(x) = 1

    Area `inf`, peak `1`.

    Y. Bengio, N. Léonard, A. Courville: *Estimating or Propagating Gradients Through Stochastic
    Neurons for Conditional Computation*, arXiv:1308.3432, after G. Hinton's lectures of 2012.

    >>> Identity()([-3.0, 0.0, 3.0]).numpy().tolist()
    [1.0, 1.0, 1.0]
    """

    paper = "arXiv:1308.3432"

    def derivative(self, x: tf.Tensor) -> tf.Tensor:
        return tf.ones_like(x)

    @property
    def area(self) -> float:
        return float("inf")

    @property
    def peak(self) -> float:
        return 1.0


@register(aliases=("hard_tanh",))
class ClippedIdentity(ParametricSurrogate):
    """The derivative of the hard tanh.

        d(x) = 1 if |x| <= width else 0

    Area `2 * width`, peak `1`.

    The gradient stops where a latent value has left the interval in which it could still change its
    sign soon. M. Courbariaux et al.: *Binarized Neural Networks*, arXiv:1602.02830, for the sign.

    Args:
        width: the bound, included; a positive number.
        normalize: `None`, `"area"` or `"peak"`.
        jump: the area that `"area"` gives.

    Raises:
        ValueError: `width` is not positive.

    >>> ClippedIdentity()([-1.5, -1.0, 0.0, 1.0, 1.5]).numpy().tolist()
    [0.0, 1.0, 1.0, 1.0, 0.0]
    """

    paper = "arXiv:1602.02830"
    jump = 2.0
    _exact_in_16_bits = True

    def __init__(self, width: Any = 1.0, normalize: str | None = None, jump: float | None = None):
        super().__init__(normalize, jump, width=width)

    def _derivative(self, x, width):
        return tf.cast(tf.abs(x) <= width, x.dtype)

    def _area(self, width):
        return 2 * width

    def _peak(self, width):
        return 1.0


@register(aliases=("rectangle",))
class Rect(ParametricSurrogate):
    """A rectangle of area 1, open at its ends: also the derivative of a hard sigmoid.

        d(x) = alpha if |x| < 1 / (2 alpha) else 0

    Area `1`, peak `alpha`.

    Y. Wu et al.: *Spatio-Temporal Backpropagation for Training High-performance Spiking Neural
    Networks*, arXiv:1706.02609, for the step from 0 to 1. With a growing `alpha` it is the slope
    annealing of the hard sigmoid.

    Args:
        alpha: the height; a positive number, a variable or a schedule.
        normalize: `None`, `"area"` or `"peak"`.
        jump: the area that `"area"` gives.

    >>> Rect(2.0)([-0.3, -0.2, 0.0, 0.25]).numpy().tolist()
    [0.0, 2.0, 2.0, 0.0]
    """

    paper = "arXiv:1706.02609"
    jump = 1.0

    def __init__(self, alpha: Any = 1.0, normalize: str | None = None, jump: float | None = None):
        super().__init__(normalize, jump, alpha=alpha)

    def _derivative(self, x, alpha):
        return alpha * tf.cast(tf.abs(x) < 0.5 / alpha, x.dtype)

    def _area(self, alpha):
        return 1.0

    def _peak(self, alpha):
        return alpha


@register(name="piecewise_leaky_relu")
class PiecewiseLeakyReLU(ParametricSurrogate):
    """A rectangle that leaks at both sides.

        d(x) = 1 / (2 w) if |x| < w else c

    Area `inf if c else 1`, peak `max(1 / (2 * w), c)`.

    As in SpikingJelly, for the step from 0 to 1, where it is the derivative of the function
    documented there; the gradient computed there has 1 / w in place of 1 / (2 w).

    Args:
        w: half the width; a positive number.
        c: the derivative outside; a number that is not negative.
        normalize: `None`, `"area"` (only without leak) or `"peak"`.
        jump: the area that `"area"` gives.

    >>> PiecewiseLeakyReLU(w=1.0, c=0.25)([-3.0, 0.0, 3.0]).numpy().tolist()
    [0.25, 0.5, 0.25]
    """

    paper = "SpikingJelly"
    jump = 1.0
    _constant = ("w", "c")
    _any_sign = ("c",)

    def __init__(
        self,
        w: float = 1.0,
        c: float = 0.01,
        normalize: str | None = None,
        jump: float | None = None,
    ):
        super().__init__(normalize, jump, w=w, c=c)

    def _derivative(self, x, w, c):
        inside = tf.abs(x) < w
        return tf.where(inside, tf.constant(0.5 / w, x.dtype), tf.constant(c, x.dtype))

    def _area(self, w, c):
        return float("inf") if c else 1.0

    def _peak(self, w, c):
        return max(0.5 / w, c)
