"""BitNet's quantizers: ternary and binary weights, and activations scaled for each token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from keras_ste.estimators import forwards
from keras_ste.quantizers.base import register
from keras_ste.quantizers.common import shared_axes, widened
from keras_ste.quantizers.computed_scale import ScaledIntegers
from keras_ste.quantizers.spec import QuantSpec


def _rounded(x, low, high):
    """`x` rounded to integers between `low` and `high`, halves to even; all zeros are +0.0."""
    integers = tf.clip_by_value(tf.round(x), low, high)
    return tf.where(tf.equal(integers, 0), tf.zeros_like(integers), integers)


class _MeanScaled(ScaledIntegers):
    """What the two quantizers of weights share: the scale γ = mean |x|, and their arguments."""

    def __init__(
        self, surrogate: Any = "identity", scale_axis: int | None = None, name: str | None = None
    ):
        super().__init__(surrogate, scale_axis, name=name)

    def _parts(self, x):
        wide = widened(tf.stop_gradient(x))
        axes = shared_axes(self, wide, self.scale_axis)
        scale = tf.cast(tf.reduce_mean(tf.abs(wide), axis=axes, keepdims=True), tf.float32)
        return self._integers(wide, scale), scale

    def _integers(self, wide, scale):
        """The integers of `wide`, which is float32 at least, given γ."""
        raise NotImplementedError


@register
class BitnetTernary(_MeanScaled):
    """BitNet b1.58's weights: -1, 0 or +1, scaled by the mean of the absolute weights.

        γ = mean |x|        q(x) = γ · clip(round(x / (γ + ε)), -1, 1)        dL/dx = dL/dq · d(x)

    with d = 1, the straight-through estimator itself, and halves rounded to even, so that a
    quotient of exactly 0.5 becomes 0. S. Ma et al., *The Era of 1-bit LLMs: All Large Language
    Models are in 1.58 Bits*, arXiv:2402.17764, where one γ is the whole matrix's.

    Where γ is 0, so is the gradient. A NaN makes all values NaN that share its γ; its code is 0.

    Args:
        surrogate: the derivative `d`: a name, a `Surrogate`, or a callable.
        scale_axis: `None` for one γ, or the axis that keeps a γ of its own for each index (for a
            kernel -1, the output channels).
        epsilon: ε, a positive number.
        name: by default `"bitnet_ternary"`.

    Raises:
        ValueError: an `epsilon` that is not positive, an unknown surrogate; and, when called, a
            `scale_axis` the input lacks.
        TypeError: when called, an input that is not floating point.

    >>> BitnetTernary()([[0.25, -1.0], [0.0, 2.75]]).numpy().tolist()
    [[0.0, -1.0], [0.0, 1.0]]
    """

    def __init__(
        self,
        surrogate: Any = "identity",
        scale_axis: int | None = None,
        epsilon: float = 1e-5,
        name: str | None = None,
    ):
        super().__init__(surrogate, scale_axis, name=name)
        if not epsilon > 0:
            raise ValueError(f"BitnetTernary's epsilon must be positive. Received: {epsilon!r}.")
        self.epsilon = float(epsilon)

    @property
    def spec(self) -> QuantSpec:
        return QuantSpec(2, "ternary", scale_axis=self.scale_axis, dynamic_scale=True)

    def _integers(self, wide, scale):
        return _rounded(wide / tf.cast(scale + self.epsilon, wide.dtype), -1.0, 1.0)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "epsilon": self.epsilon}


@register
class BitnetBinary(_MeanScaled):
    """BitNet b1's weights: the sign of the centred weights, scaled by the mean absolute weight.

        γ = mean |x|        q(x) = γ · sign(x - mean x)        dL/dx = dL/dq · d(x)

    with d = 1, the straight-through estimator itself, and sign(0) = +1 as everywhere here (the paper
    has -1). H. Wang et al., *BitNet: Scaling 1-bit Transformers for Large Language Models*,
    arXiv:2310.11453, where one γ is the whole matrix's.

    Where γ is 0, so is the gradient. A NaN makes all values NaN that share its γ; their codes are 0.

    Args:
        surrogate: the derivative `d`: a name, a `Surrogate`, or a callable.
        scale_axis: `None` for one mean and one γ, or the axis that keeps its own for each index
            (for a kernel -1, the output channels).
        name: by default `"bitnet_binary"`.

    Raises:
        ValueError: an unknown surrogate; and, when called, a `scale_axis` the input lacks.
        TypeError: when called, an input that is not floating point.

    >>> BitnetBinary()([[1.0, 2.0], [3.0, 6.0]]).numpy().tolist()
    [[-3.0, -3.0], [3.0, 3.0]]
    """

    @property
    def spec(self) -> QuantSpec:
        return QuantSpec(1, "bipolar", scale_axis=self.scale_axis, dynamic_scale=True)

    def _integers(self, wide, scale):
        axes = shared_axes(self, wide, self.scale_axis)
        return forwards.sign(wide - tf.reduce_mean(wide, axis=axes, keepdims=True))

    def _codes(self, integers):
        return tf.cast(integers >= 0, tf.int8)

    def _values(self, codes):
        return 2 * codes - 1


@register
class BitnetActivation(ScaledIntegers):
    """BitNet's activations: small integers, scaled by the largest absolute value of each token.

        a = max(max |x|, ε)        Q = 2^(bits - 1) - 1
        c = clip(round(x · (Q / a)), -Q - 1, Q)        q(x) = c · (a · (1 / Q))
        dL/dx = dL/dq · d(x)

    with d = 1, the straight-through estimator itself, and halves rounded to even. With 8 bits, Q is
    127. Everything is computed in float32, in this order. H. Wang et al., *BitNet: Scaling 1-bit
    Transformers for Large Language Models*, arXiv:2310.11453; S. Ma et al., *The Era of 1-bit LLMs*,
    arXiv:2402.17764. In both, the layer normalizes its inputs before.

    Where a scale is infinite or NaN, so are the values, or they are NaN; the code of a NaN is 0.

    Args:
        surrogate: the derivative `d`: a name, a `Surrogate`, or a callable.
        bits: width of a code, 2 to 8.
        axis: the axis, or the axes, whose values share a scale: -1, the channels of a token.
        epsilon: ε, a positive number: below it, the scale does not shrink any further.
        name: by default `"bitnet_activation"`.

    Raises:
        ValueError: `bits` outside of 2 to 8, an `epsilon` that is not positive, an unknown surrogate.
        TypeError: when called, an input that is not floating point.

    >>> codes, scale = BitnetActivation().encode([[0.5, -2.0, 1.0], [0.0, 0.0, 4.0]])
    >>> codes.numpy().tolist(), (127 * scale).numpy().tolist()
    ([[32, -127, 64], [0, 0, 127]], [[2.0], [4.0]])
    """

    def __init__(
        self,
        surrogate: Any = "identity",
        bits: int = 8,
        axis: int | Sequence[int] = -1,
        epsilon: float = 1e-5,
        name: str | None = None,
    ):
        super().__init__(surrogate, None, name=name)
        if bits not in range(2, 9):
            raise ValueError(f"BitnetActivation's bits must be 2 to 8. Received: bits={bits!r}.")
        if not epsilon > 0:
            raise ValueError(f"BitnetActivation's epsilon must be positive. Received: {epsilon!r}.")
        self.bits = int(bits)
        self.axis = axis if isinstance(axis, int) else tuple(axis)
        self.epsilon = float(epsilon)

    @property
    def spec(self) -> QuantSpec:
        return QuantSpec(self.bits, "signed", dynamic_scale=True)

    def _parts(self, x):
        wide = widened(tf.stop_gradient(x))
        largest = tf.reduce_max(tf.abs(wide), axis=self.axis, keepdims=True)
        largest = tf.maximum(largest, tf.cast(self.epsilon, wide.dtype))
        limit = 2.0 ** (self.bits - 1) - 1
        # With 2 bits limit is 1, and 1 / largest is another number in a graph than eagerly.
        inverse = tf.math.divide_no_nan(tf.constant(limit, wide.dtype), largest)
        integers = _rounded(wide * inverse, -limit - 1, limit)
        # Times 1 / Q: what graph optimizers make of a division by a constant, and eager does not.
        return integers, tf.cast(largest * (1 / limit), tf.float32)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["scale_axis"]
        return {"bits": self.bits, "axis": self.axis, "epsilon": self.epsilon, **config}
