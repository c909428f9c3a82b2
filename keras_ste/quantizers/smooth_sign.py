"""The sign with the surrogates of Bi-Real Net and BNN+, and with Bi-Real Net's scale."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from keras_ste.estimators import forwards, straight_through, surrogates
from keras_ste.quantizers.base import register
from keras_ste.quantizers.common import float_tensor, widened
from keras_ste.quantizers.sign import SteSign, XnorSign


@register
class ApproxSign(SteSign):
    """Bi-Real Net's sign: the gradient is that of a piecewise polynomial close to the sign.

        q(x) = α · sign(x)            sign(0) = +1
        d(x) = max(0, 2 - 2|x|)       dL/dx = dL/dq · d(x) where α = 1

    Z. Liu et al., *Bi-Real Net*, arXiv:1808.00278, for activations. With `scale="mean_abs"` α is
    that of `SteSign`, and so is its part in the gradient.

    Args:
        scale, scale_axis: as for `SteSign`.
        name: by default `"approx_sign"`.

    Raises:
        ValueError: an unknown scale; and, when called, a `scale_axis` the input lacks.
        TypeError: when called, an input that is not floating point.

    >>> x = tf.constant([-0.75, 0.0, 2.0])
    >>> with tf.GradientTape() as tape:
    ...     tape.watch(x)
    ...     y = ApproxSign()(x)
    >>> y.numpy().tolist(), tape.gradient(y, x).numpy().tolist()
    ([-1.0, 1.0, 1.0], [0.5, 2.0, 0.0])
    """

    def __init__(
        self, scale: str | None = None, scale_axis: int | None = -1, name: str | None = None
    ):
        super().__init__("approx_sign", scale=scale, scale_axis=scale_axis, name=name)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["surrogate"]
        return config


@register
class SwishSign(SteSign):
    """BNN+'s sign: the gradient is that of SignSwish, which falls below zero around the step.

        q(x) = α · sign(x)                                       sign(0) = +1
        d(x) = β · (2 - βx · tanh(βx/2)) / (1 + cosh(βx))        dL/dx = dL/dq · d(x) where α = 1

    S. Darabi et al., *BNN+: Improved Binary Network Training*, arXiv:1812.11800. With
    `scale="mean_abs"` α is that of `SteSign`, and so is its part in the gradient.

    Args:
        beta: the steepness β, d(0) = β: a number, a variable or a schedule.
        scale, scale_axis: as for `SteSign`.
        name: by default `"swish_sign"`.

    Raises:
        ValueError: a `beta` that is not positive, an unknown scale; and, when called, a `scale_axis`
            the input lacks.
        TypeError: when called, an input that is not floating point.

    >>> x = tf.constant([-9.0, 0.0, 9.0])
    >>> with tf.GradientTape() as tape:
    ...     tape.watch(x)
    ...     y = SwishSign()(x)
    >>> y.numpy().tolist(), tape.gradient(y, x).numpy().round(6).tolist()
    ([-1.0, 1.0, 1.0], [-0.0, 5.0, -0.0])
    """

    def __init__(
        self,
        beta: Any = 5.0,
        scale: str | None = None,
        scale_axis: int | None = -1,
        name: str | None = None,
    ):
        super().__init__(surrogates.SwishSign(beta), scale=scale, scale_axis=scale_axis, name=name)

    @property
    def beta(self) -> Any:
        return self.surrogate.beta

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        beta = self.surrogate.get_config()["beta"]
        del config["surrogate"]
        return {"beta": beta, **config}


@register
class MagnitudeAwareSign(XnorSign):
    """Bi-Real Net's binary weights: the sign times the mean magnitude, through which no gradient goes.

        q(w) = α · sign(w)     α = Σ|w| / n, for each index of `scale_axis`     sign(0) = +1
        dL/dw = dL/dq · α · d(w)

    Z. Liu et al., *Bi-Real Net*, arXiv:1808.00278. `XnorSign` has the same values and the gradient
    through α besides.

    Args:
        surrogate: the derivative `d`: a name, a `Surrogate`, or a callable.
        scale_axis: the axis that keeps a scale of its own for each index (for a kernel -1, the
            output channels), or `None` for one scale.
        name: by default `"magnitude_aware_sign"`.

    Raises:
        ValueError: an unknown surrogate; and, when called, a `scale_axis` the input lacks.
        TypeError: when called, an input that is not floating point.

    >>> MagnitudeAwareSign()([[1.0, -3.0], [0.5, 1.0]]).numpy().tolist()
    [[0.75, -2.0], [0.75, 2.0]]
    """

    def factors(self, x: Any, training: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        x = float_tensor(x)
        scale = self._mean_abs(widened(x))
        return straight_through(forwards.sign, self.surrogate)(x), tf.cast(scale, x.dtype)
