"""Surrogates that are polynomials of |x| on an interval, and 0 outside."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from keras_ste.estimators import parameters
from keras_ste.estimators.surrogates.base import ParametricSurrogate, register


@register(aliases=("bireal", "bi_real"))
class ApproxSign(ParametricSurrogate):
    """Bi-Real Net's triangle, for the sign: the derivative of a piecewise quadratic function.

        d(x) = max(0, 2 - 2 |x|)        area 2, peak 2

    Z. Liu et al.: *Bi-Real Net*, arXiv:1808.00278. Larq's `approx_sign`.

    Args:
        normalize: `None`, `"area"` or `"peak"`; see `ParametricSurrogate`.

    >>> ApproxSign()([-1.5, -0.75, 0.0, 0.5]).numpy().tolist()
    [0.0, 0.5, 2.0, 1.0]
    """

    jump = 2.0

    def __init__(self, normalize: str | None = None):
        super().__init__(normalize)

    def _formula(self, x):
        return tf.nn.relu(2.0 - 2.0 * tf.abs(x))

    def _area(self):
        return 2.0

    def _peak(self):
        return 2.0


@register(aliases=("triangle",))
class PiecewiseQuadratic(ParametricSurrogate):
    """A triangle of area 1, for the step: the derivative of a piecewise quadratic function.

        d(x) = max(0, alpha - alpha² |x|)        area 1, peak alpha

    As in SpikingJelly. S. Esser et al.: *Convolutional networks for fast, energy-efficient
    neuromorphic computing*, PNAS 113, 2016, arXiv:1603.08270, train with a triangle.

    Args:
        alpha: height, and the inverse of half the width; positive.
        normalize: `None`, `"area"` or `"peak"`; see `ParametricSurrogate`.

    >>> PiecewiseQuadratic(2.0)([-1.0, -0.25, 0.0]).numpy().tolist()
    [0.0, 1.0, 2.0]
    """

    def __init__(self, alpha: Any = 1.0, normalize: str | None = None):
        alpha = parameters.check("PiecewiseQuadratic", "alpha", alpha, above=0)
        super().__init__(normalize, alpha=alpha)

    def _formula(self, x, alpha):
        return tf.nn.relu(alpha - alpha * alpha * tf.abs(x))

    def _area(self, alpha):
        return 1.0

    def _peak(self, alpha):
        return alpha


@register
class Polynomial(ParametricSurrogate):
    """A power of the distance to the edge, for the sign; of degree 1 it is the triangle.

        d(x) = (degree + 1) / width · max(0, 1 - |x| / width)^degree

    area 2, peak `(degree + 1) / width`. The antiderivative goes from -1 to 1 as a piecewise
    polynomial of one degree more. Degree 1 is `ApproxSign`: Z. Liu et al., *Bi-Real Net*,
    arXiv:1808.00278, who approximate the sign so.

    Args:
        degree: a positive number.
        width: where the gradient ends; positive.
        normalize: `None`, `"area"` or `"peak"`; see `ParametricSurrogate`.

    >>> Polynomial(degree=2)([-1.5, -0.5, 0.0]).numpy().tolist()
    [0.0, 0.75, 3.0]
    """

    jump = 2.0

    def __init__(self, degree: Any = 2.0, width: Any = 1.0, normalize: str | None = None):
        super().__init__(
            normalize,
            degree=parameters.check("Polynomial", "degree", degree, above=0),
            width=parameters.check("Polynomial", "width", width, above=0),
        )

    def _formula(self, x, degree, width):
        base = 1.0 - tf.abs(x) / width
        inside = base > 0
        # The power of 0 has an infinite derivative where the degree is below 1.
        power = tf.where(inside, base, tf.ones_like(base)) ** degree
        return (degree + 1.0) / width * tf.where(inside, power, tf.zeros_like(power))

    def _area(self, degree, width):
        return 2.0

    def _peak(self, degree, width):
        return (degree + 1.0) / width
