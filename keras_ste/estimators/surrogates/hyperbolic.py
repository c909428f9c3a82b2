"""Surrogates made of tanh and of the logistic function."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from keras_ste.estimators import parameters
from keras_ste.estimators.surrogates.base import ParametricSurrogate, register


def sech_squared(z: tf.Tensor) -> tf.Tensor:
    """`1 - tanh²(z)`, without the cancellation that makes the tails 0.

    >>> float(sech_squared(tf.constant(12.0))) > 0
    True
    """
    return 4.0 * tf.sigmoid(2.0 * z) * tf.sigmoid(-2.0 * z)


@register
class Tanh(ParametricSurrogate):
    """The derivative of tanh, for the sign.

        d(x) = alpha (1 - tanh²(alpha x))        area 2, peak alpha

    R. Gong et al.: *Differentiable Soft Quantization*, arXiv:1908.05033, and others approach the
    sign by it; `EDE` is IR-Net's way, with a factor and a schedule.

    Args:
        alpha: the sharpness; positive: a number, a variable or a schedule.
        normalize: `None`, `"area"` or `"peak"`; see `ParametricSurrogate`.

    >>> Tanh(2.0)([0.0]).numpy().tolist()
    [2.0]
    """

    jump = 2.0

    def __init__(self, alpha: Any = 1.0, normalize: str | None = None):
        super().__init__(normalize, alpha=parameters.check("Tanh", "alpha", alpha, above=0))

    def _formula(self, x, alpha):
        return alpha * sech_squared(alpha * x)

    def _area(self, alpha):
        return 2.0

    def _peak(self, alpha):
        return alpha


@register(aliases=("error_decay_estimator",))
class EDE(ParametricSurrogate):
    """IR-Net's error decay estimator, for the sign.

        d(x) = k t (1 - tanh²(t x)),  k = max(1 / t, 1)        area 2 k, peak max(1, t)

    H. Qin et al.: *Forward and Backward Information Retention for Accurate Binary Neural Networks*,
    arXiv:1909.10788, where t goes from 0.1, almost the identity, to 10: give
    `EDE(schedules.EDESchedule())` and move it on with a callback of `keras_ste.training`.

    Args:
        t: the sharpness; positive: a number, a variable or a schedule. The default is the value in
            the middle of the published schedule.
        normalize: `None`, `"area"` or `"peak"`; see `ParametricSurrogate`.

    >>> EDE(0.5)([0.0]).numpy().tolist(), EDE(4.0)([0.0]).numpy().tolist()
    ([1.0], [4.0])
    """

    jump = 2.0

    def __init__(self, t: Any = 1.0, normalize: str | None = None):
        super().__init__(normalize, t=parameters.check("EDE", "t", t, above=0))

    def _formula(self, x, t):
        return parameters.maximum(1.0, t) * sech_squared(t * x)

    def _area(self, t):
        return 2.0 * parameters.maximum(1.0 / t, 1.0)

    def _peak(self, t):
        return parameters.maximum(1.0, t)


@register
class SwishSign(ParametricSurrogate):
    """BNN+'s derivative of the SignSwish function, for the sign; it becomes negative.

        d(x) = beta (2 - beta x tanh(beta x / 2)) / (1 + cosh(beta x))        area 2, peak beta

    S. Darabi et al.: *BNN+: Improved Binary Network Training*, arXiv:1812.11800. Larq's
    `swish_sign`.

    Args:
        beta: the sharpness; positive: a number, a variable or a schedule.
        normalize: `None`, `"area"` or `"peak"`; see `ParametricSurrogate`.

    >>> SwishSign()([0.0]).numpy().tolist()
    [5.0]
    """

    jump = 2.0

    def __init__(self, beta: Any = 5.0, normalize: str | None = None):
        super().__init__(normalize, beta=parameters.check("SwishSign", "beta", beta, above=0))

    def _formula(self, x, beta):
        # By e = exp(-|z|), tanh |z / 2| = (1 - e) / (1 + e) and 1 + cosh(z) = (1 + e)² / 2e, which neither
        # overflows nor, as 1 - tanh² does, loses its digits; beyond 100 the result is 0.
        z = tf.minimum(tf.abs(beta * x), 100.0)
        e = tf.exp(-z)
        return 2.0 * beta * (2.0 - z * (1.0 - e) / (1.0 + e)) * e / tf.square(1.0 + e)

    def _area(self, beta):
        return 2.0

    def _peak(self, beta):
        return beta


@register
class Sigmoid(ParametricSurrogate):
    """The derivative of the logistic function σ, for the step.

        d(x) = alpha σ(alpha x) (1 - σ(alpha x))        area 1, peak alpha / 4

    In SpikingJelly alpha is 4, in snnTorch 25.

    Args:
        alpha: the sharpness; positive: a number, a variable or a schedule.
        normalize: `None`, `"area"` or `"peak"`; see `ParametricSurrogate`.

    >>> Sigmoid()([0.0]).numpy().tolist()
    [1.0]
    """

    def __init__(self, alpha: Any = 4.0, normalize: str | None = None):
        super().__init__(normalize, alpha=parameters.check("Sigmoid", "alpha", alpha, above=0))

    def _formula(self, x, alpha):
        # σ(-z) is 1 - σ(z) without the cancellation.
        return alpha * tf.sigmoid(alpha * x) * tf.sigmoid(-alpha * x)

    def _area(self, alpha):
        return 1.0

    def _peak(self, alpha):
        return 0.25 * alpha
