"""Surrogates that are polynomials in pieces: triangles and their relatives."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from keras_ste.estimators.surrogates.base import ParametricSurrogate, register


@register(aliases=("bi_real",))
class ApproxSign(ParametricSurrogate):
    """A triangle of area 2: the derivative of Bi-Real net's piecewise quadratic sign.

        d(x) = max(0, 2 - 2 |x|)

    Area `2`, peak `2`.

    Z. Liu et al.: *Bi-Real Net: Enhancing the Performance of 1-bit CNNs With Improved
    Representational Capability and Advanced Training Algorithm*, arXiv:1808.00278, for the sign.

    Args:
        normalize: `None`, `"area"` or `"peak"`.
        jump: the area that `"area"` gives.

    >>> ApproxSign()([-1.5, -0.5, 0.0, 0.5]).numpy().tolist()
    [0.0, 1.0, 2.0, 1.0]
    """

    paper = "arXiv:1808.00278"
    jump = 2.0

    def __init__(self, normalize: str | None = None, jump: float | None = None):
        super().__init__(normalize, jump)

    def _derivative(self, x):
        return tf.nn.relu(2 - 2 * tf.abs(x))

    def _area(self):
        return 2.0

    def _peak(self):
        return 2.0


@register(aliases=("triangle",))
class PiecewiseQuadratic(ParametricSurrogate):
    """A triangle of area 1.

        d(x) = max(0, alpha - alpha^2 |x|)

    Area `1`, peak `alpha`.

    S. K. Esser et al.: *Convolutional Networks for Fast, Energy-Efficient Neuromorphic Computing*,
    arXiv:1603.08270, and many after it, for the step from 0 to 1; this form as in SpikingJelly.

    Args:
        alpha: the height, one over half the width; a positive number, a variable or a schedule.
        normalize: `None`, `"area"` or `"peak"`.
        jump: the area that `"area"` gives.

    >>> PiecewiseQuadratic()([-1.5, -0.5, 0.0]).numpy().tolist()
    [0.0, 0.5, 1.0]
    """

    paper = "arXiv:1603.08270"
    jump = 1.0

    def __init__(self, alpha: Any = 1.0, normalize: str | None = None, jump: float | None = None):
        super().__init__(normalize, jump, alpha=alpha)

    def _derivative(self, x, alpha):
        return alpha * tf.nn.relu(1 - alpha * tf.abs(x))

    def _area(self, alpha):
        return 1.0

    def _peak(self, alpha):
        return alpha


@register
class Polynomial(ParametricSurrogate):
    """The derivative of a piecewise polynomial sign of any degree.

        d(x) = (degree / width) (1 - |x| / width)^(degree - 1) if |x| < width else 0

    Area `2`, peak `degree / width`.

    The derivative of `sign(x) (1 - (1 - |x| / width)^degree)`. Degree 2 and width 1 are Bi-Real
    net's ApproxSign, arXiv:1808.00278, which this continues to other degrees: towards 1 the clipped
    identity, above 2 a sharper peak.

    Args:
        degree: a number of at least 1.
        width: the bound; a positive number, a variable or a schedule.
        normalize: `None`, `"area"` or `"peak"`.
        jump: the area that `"area"` gives.

    Raises:
        ValueError: a degree below 1.

    >>> Polynomial(degree=3)([-2.0, -0.5, 0.0]).numpy().tolist()
    [0.0, 0.75, 3.0]
    """

    paper = "arXiv:1808.00278, continued"
    jump = 2.0
    _constant = ("degree",)

    def __init__(
        self,
        degree: float = 3,
        width: Any = 1.0,
        normalize: str | None = None,
        jump: float | None = None,
    ):
        if isinstance(degree, (int, float)) and not degree >= 1:
            raise ValueError(f"Polynomial needs a degree of at least 1. Received: degree={degree!r}.")
        super().__init__(normalize, jump, degree=degree, width=width)

    def _derivative(self, x, degree, width):
        inside = tf.abs(x) < width
        # The other branch of tf.where gets a gradient too, and must not have an infinite one.
        rest = tf.where(inside, 1 - tf.abs(x) / width, tf.ones_like(x))
        power = rest ** tf.constant(degree - 1, x.dtype)
        return tf.where(inside, degree / width * power, tf.zeros_like(x))

    def _area(self, degree, width):
        return 2.0

    def _peak(self, degree, width):
        return degree / width
