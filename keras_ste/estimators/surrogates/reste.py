"""ReSTE: a surrogate between the identity and the sign."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from keras_ste.estimators import parameters
from keras_ste.estimators.surrogates.base import ParametricSurrogate, register


@register(name="reste", aliases=("re_ste",))
class ReSTE(ParametricSurrogate):
    """The derivative of the power function `sign(x) |x|^(1/o)`, for the sign.

        d(x) = m^(1/o - 1)               where |x| <= m
               (1/o) |x|^(1/o - 1)       where m < |x| <= t
               0                         else

    area `2 t^(1/o)`, peak `m^(1/o - 1)`. With o = 1 it is the clipped identity of width t; the
    larger o, the closer the power function is to the sign. Near 0, where its derivative is not
    bounded, stands the slope of the line from the origin to its value at m. X.-M. Wu et al.:
    *Estimator Meets Equilibrium Perspective: A Rectified Straight Through Estimator for Binary
    Neural Networks Training*, arXiv:2308.06689. There o grows in training from 1 to 3: give
    `ReSTE(o=schedules.Linear(1.0, 3.0))`.

    Args:
        o: at least 1: a number, a variable or a schedule.
        t: where the gradient ends; greater than m.
        m: up to where the slope is constant; positive.
        normalize: `None`, `"area"` or `"peak"`; see `ParametricSurrogate`.

    >>> ReSTE(o=2.0)([-2.0, 0.25, 1.0]).numpy().tolist()
    [0.0, 1.0, 0.5]
    """

    jump = 2.0

    def __init__(self, o: Any = 3.0, t: Any = 1.5, m: Any = 0.1, normalize: str | None = None):
        m = parameters.check("ReSTE", "m", m, above=0)
        super().__init__(
            normalize,
            o=parameters.check("ReSTE", "o", o, at_least=1),
            t=parameters.check("ReSTE", "t", t, above=m if isinstance(m, float) else 0),
            m=m,
        )

    def _formula(self, x, o, t, m):
        size = tf.abs(x)
        exponent = 1.0 / o - 1.0
        # Neither branch may see a 0, whose power has no finite derivative.
        power = tf.maximum(size, m) ** exponent
        power = tf.where(size > m, power / o, power)
        return tf.where(size <= t, power, tf.zeros_like(power))

    def _area(self, o, t, m):
        return 2.0 * t ** (1.0 / o)

    def _peak(self, o, t, m):
        return m ** (1.0 / o - 1.0)
