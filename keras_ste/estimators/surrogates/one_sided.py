"""Surrogates that treat the two sides of the threshold differently, as rectifiers do."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from keras_ste.estimators.surrogates.base import ParametricSurrogate, Surrogate, register


@register(name="leaky_k_relu")
class LeakyKReLU(ParametricSurrogate):
    """The derivative of a leaky rectifier.

        d(x) = k if x >= 0 else leak

    Area `inf`, peak `max(k, leak)`.

    As in SpikingJelly, for the step from 0 to 1.

    Args:
        leak: the derivative below 0: a number that is not negative.
        k: the derivative from 0 on: a positive number.
        normalize: `None` or `"peak"`.
        jump: not used: the area is infinite.

    >>> LeakyKReLU(leak=0.25)([-1.0, 0.0, 1.0]).numpy().tolist()
    [0.25, 1.0, 1.0]
    """

    paper = "SpikingJelly"
    jump = 1.0
    _constant = ("leak", "k")
    _any_sign = ("leak",)

    def __init__(
        self,
        leak: float = 0.0,
        k: float = 1.0,
        normalize: str | None = None,
        jump: float | None = None,
    ):
        super().__init__(normalize, jump, leak=leak, k=k)

    def _derivative(self, x, leak, k):
        return tf.where(x >= 0, tf.constant(k, x.dtype), tf.constant(leak, x.dtype))

    def _area(self, leak, k):
        return float("inf")

    def _peak(self, leak, k):
        return max(k, leak)


@register(aliases=("lso",))
class LeakySpikeOperator(ParametricSurrogate):
    """The derivative of a leaky rectifier, as snnTorch has it.

        d(x) = 1 if x > 0 else slope

    Area `inf`, peak `max(1, slope)`.

    For the step from 0 to 1. At 0 itself it leaks, where `LeakyKReLU` does not.

    Args:
        slope: the derivative up to 0: a positive number, a variable or a schedule.
        normalize: `None` or `"peak"` (for a slope up to 1, the same).
        jump: not used: the area is infinite.

    >>> LeakySpikeOperator(slope=0.25)([-1.0, 0.0, 1.0]).numpy().tolist()
    [0.25, 0.25, 1.0]
    """

    paper = "snnTorch"
    jump = 1.0
    _constant = ("slope",)

    def __init__(self, slope: float = 0.1, normalize: str | None = None, jump: float | None = None):
        super().__init__(normalize, jump, slope=slope)

    def _derivative(self, x, slope):
        return tf.where(x > 0, tf.ones([], x.dtype), tf.constant(slope, x.dtype))

    def _area(self, slope):
        return float("inf")

    def _peak(self, slope):
        return max(1.0, slope)


@register(aliases=("heaviside",))
class HeavisideGradient(Surrogate):
    """The gradient goes where the output is 1.

        d(x) = 1 if x > 0 else 0

    Area `inf`, peak `1`.

    As in snnTorch, for the step from 0 to 1.

    >>> HeavisideGradient()([-1.0, 0.0, 1.0]).numpy().tolist()
    [0.0, 0.0, 1.0]
    """

    paper = "snnTorch"
    jump = 1.0

    def derivative(self, x: tf.Tensor) -> tf.Tensor:
        return tf.cast(x > 0, x.dtype)

    @property
    def area(self) -> float:
        return float("inf")

    @property
    def peak(self) -> float:
        return 1.0


@register
class Triangular(ParametricSurrogate):
    """snnTorch's `triangular`: the slopes of a triangle, not the triangle.

        d(x) = -threshold if x >= 0 else threshold

    Area `inf`, peak `threshold`.

    For the step from 0 to 1, as published, for whoever has to reproduce it: above the threshold the
    gradient points the wrong way. The triangle itself is `PiecewiseQuadratic`.

    Args:
        threshold: a positive number, a variable or a schedule.
        normalize: `None` or `"peak"`.
        jump: not used: the area is infinite.

    >>> Triangular()([-1.0, 0.0, 1.0]).numpy().tolist()
    [1.0, -1.0, -1.0]
    """

    paper = "snnTorch"
    jump = 1.0

    def __init__(
        self, threshold: Any = 1.0, normalize: str | None = None, jump: float | None = None
    ):
        super().__init__(normalize, jump, threshold=threshold)

    def _derivative(self, x, threshold):
        return threshold * tf.where(x >= 0, -tf.ones([], x.dtype), tf.ones([], x.dtype))

    def _area(self, threshold):
        return float("inf")

    def _peak(self, threshold):
        return threshold


@register(name="binary_sign_gradient", aliases=("abs_binary_sign_grad",))
class BinarySignGradient(Surrogate):
    """The derivative of the absolute value, which is not 0 at 0.

        d(x) = 1 if x >= 0 else -1

    Area `inf`, peak `1`.

    As Brevitas's `abs_binary_sign_grad`, where the forward function is the absolute value.

    >>> BinarySignGradient()([-2.0, 0.0, 2.0]).numpy().tolist()
    [-1.0, 1.0, 1.0]
    """

    paper = "Brevitas"

    def derivative(self, x: tf.Tensor) -> tf.Tensor:
        return tf.where(x >= 0, tf.ones([], x.dtype), -tf.ones([], x.dtype))

    @property
    def area(self) -> float:
        return float("inf")

    @property
    def peak(self) -> float:
        return 1.0


@register(name="log_tailed_relu")
class LogTailedReLU(ParametricSurrogate):
    """The derivative of a rectifier that grows like a logarithm from 1 on.

        d(x) = alpha if x <= 0 else 1 / max(x, 1)

    Area `inf`, peak `max(1, alpha)`.

    Z. Cai et al.: *Deep Learning with Low Precision by Half-wave Gaussian Quantization*,
    arXiv:1702.00953; with a leak alpha, for the step from 0 to 1, as in SpikingJelly.

    Args:
        alpha: the derivative up to 0: a number that is not negative.
        normalize: `None` or `"peak"`.
        jump: not used: the area is infinite.

    >>> LogTailedReLU()([-1.0, 0.0, 0.5, 4.0]).numpy().tolist()
    [0.0, 0.0, 1.0, 0.25]
    """

    paper = "arXiv:1702.00953"
    jump = 1.0
    _constant = ("alpha",)
    _any_sign = ("alpha",)

    def __init__(self, alpha: float = 0.0, normalize: str | None = None, jump: float | None = None):
        super().__init__(normalize, jump, alpha=alpha)

    def _derivative(self, x, alpha):
        return tf.where(x <= 0, tf.constant(alpha, x.dtype), 1 / tf.maximum(x, 1))

    def _area(self, alpha):
        return float("inf")

    def _peak(self, alpha):
        return max(1.0, alpha)


@register(name="s2nn")
class S2NN(ParametricSurrogate):
    """A sigmoid's derivative below the threshold, a logarithm's above.

        d(x) = alpha s (1 - s) if x < 0 else beta / (x + 1),  s = 1 / (1 + exp(-alpha x))

    Area `inf`, peak `max(alpha / 4, beta)`.

    K. Suetake et al.: *S2NN: Time Step Reduction of Spiking Surrogate Gradients for Training Energy
    Efficient Single-Step Neural Networks*, arXiv:2201.10879, for the step from 0 to 1; this form as
    computed in SpikingJelly.

    Args:
        alpha: the sharpness below 0: a positive number.
        beta: the derivative at 0: a positive number.
        normalize: `None` or `"peak"`.
        jump: not used: the area is infinite.

    >>> S2NN()([0.0, 1.0]).numpy().tolist()
    [1.0, 0.5]
    """

    paper = "arXiv:2201.10879"
    jump = 1.0
    _constant = ("alpha", "beta")

    def __init__(
        self,
        alpha: float = 4.0,
        beta: float = 1.0,
        normalize: str | None = None,
        jump: float | None = None,
    ):
        super().__init__(normalize, jump, alpha=alpha, beta=beta)

    def _derivative(self, x, alpha, beta):
        below = alpha * tf.sigmoid(alpha * x) * tf.sigmoid(-alpha * x)
        return tf.where(x < 0, below, beta / (tf.nn.relu(x) + 1))

    def _area(self, alpha, beta):
        return float("inf")

    def _peak(self, alpha, beta):
        return max(alpha / 4, beta)
