"""AdaBin's adaptive binary sets: two values that need not lie around zero."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_ste.estimators import forwards, straight_through, surrogates
from keras_ste.quantizers.base import VariableQuantizer, register
from keras_ste.quantizers.common import float_tensor, shared_axes, widened
from keras_ste.quantizers.computed_scale import ComputedScale
from keras_ste.quantizers.spec import QuantSpec


def _centred(wide, center, distance):
    """`(x - β) / α`: what the sign is taken of; 0 where α is 0."""
    return tf.math.divide_no_nan(wide - center, distance)


def _values(wide, center, distance, surrogate):
    """`α · sign((x - β) / α) + β`, with the gradients of `x`, `β` and `α`."""
    return distance * straight_through(forwards.sign, surrogate)(_centred(wide, center, distance)) + center


def _chosen(codes, center, distance, dtype):
    """β + α for the code 1, β - α for 0."""
    high, low = tf.cast(center + distance, dtype), tf.cast(center - distance, dtype)
    return tf.where(tf.cast(codes, tf.bool), high, low)


@register
class AdaBin(ComputedScale):
    """AdaBin's binary weights: `β - α` and `β + α`, from the weights' mean and deviation.

        β = mean x        α = sqrt(mean (x - β)²)        u = (x - β) / α
        q(x) = α · sign(u) + β        sign(0) = +1

    Where dL/dq is g, and over the n values that share an α, with r = sign(u) - u · d(u),

        dL/dx = g · d(u)  +  mean (g · (1 - d(u)))  +  u · mean (g · r)

    that is, the derivative of all of it, with `d` for that of the sign. Z. Tu et al., *AdaBin*,
    arXiv:2208.08084.

    Where α is 0, q is β. `encode` gives codes, 1 for `β + α`, and both numbers: α and β, stacked on
    a new last axis. A NaN makes all values NaN that share its α; their codes are 0.

    Args:
        surrogate: the derivative `d`: a name, a `Surrogate`, or a callable.
        scale_axis: the axis that keeps its own α and β for each index (for a kernel -1, the output
            channels), or `None` for one of each.
        name: by default `"ada_bin"`.

    Raises:
        ValueError: an unknown surrogate; and, when called, a `scale_axis` the input lacks.
        TypeError: when called, an input that is not floating point.

    >>> AdaBin()([[1.0, 0.0], [3.0, 0.0], [3.0, 4.0], [1.0, 4.0]]).numpy().tolist()
    [[1.0, 0.0], [3.0, 0.0], [3.0, 4.0], [1.0, 4.0]]
    """

    def __init__(
        self,
        surrogate: Any = "clipped_identity",
        scale_axis: int | None = -1,
        name: str | None = None,
    ):
        super().__init__(surrogate, scale_axis, name=name)

    @property
    def spec(self) -> QuantSpec:
        return QuantSpec(1, "lookup", scale_axis=self.scale_axis, dynamic_scale=True)

    def factors(self, x: Any, training: bool = False) -> tuple[tf.Tensor, tf.Tensor | None]:
        x = float_tensor(x)
        wide = widened(x)
        center, distance = self._statistics(wide)
        return tf.cast(_values(wide, center, distance, self.surrogate), x.dtype), None

    def encode(self, x: Any) -> tuple[tf.Tensor, tf.Tensor]:
        wide = widened(float_tensor(x))
        center, distance = self._statistics(wide)
        codes = tf.cast(_centred(wide, center, distance) >= 0, tf.int8)
        return codes, tf.stack([distance, center], axis=-1)

    def decode(self, codes: Any, dtype: Any = "float32") -> tf.Tensor:
        codes, scale = codes
        distance, center = tf.unstack(scale, axis=-1)
        return _chosen(codes, center, distance, dtype)

    def _statistics(self, wide):
        """β and α, with the axes of the input kept."""
        axes = shared_axes(self, wide, self.scale_axis)
        center = tf.reduce_mean(wide, axis=axes, keepdims=True)
        variance = tf.reduce_mean(tf.square(wide - center), axis=axes, keepdims=True)
        # The derivative of the root is infinite at 0.
        positive = variance > 0
        root = tf.sqrt(tf.where(positive, variance, tf.ones_like(variance)))
        return center, tf.where(positive, root, variance)


@register
class AdaBinActivation(VariableQuantizer):
    """AdaBin's binary activations: `β - α` and `β + α`, with both numbers learned.

        u = (x - β) / α        q(x) = α · sign(u) + β        sign(0) = +1
        dL/dx = dL/dq · d(u)
        dL/dβ = Σ dL/dq · (1 - d(u))        dL/dα = Σ dL/dq · (sign(u) - u · d(u))

    Z. Tu et al., *AdaBin*, arXiv:2208.08084, where α begins as 1, β as 0, and d is Bi-Real Net's.
    Where α is 0, q is β. A NaN stays a NaN; its code is 0.

    Args:
        surrogate: the derivative `d`: a name, a `Surrogate`, or a callable.
        center_initializer: the initializer of β.
        distance_initializer: the initializer of α.
        name: by default `"ada_bin_activation"`.

    Raises:
        ValueError: an unknown surrogate or initializer; `decode` before there are variables.
        TypeError: when called, an input that is not floating point.

    >>> quantizer = AdaBinActivation(center_initializer=keras.initializers.Constant(0.5))
    >>> quantizer([-1.0, 0.25, 0.75]).numpy().tolist()
    [-0.5, -0.5, 1.5]
    """

    def __init__(
        self,
        surrogate: Any = "approx_sign",
        center_initializer: Any = "zeros",
        distance_initializer: Any = "ones",
        name: str | None = None,
    ):
        super().__init__(name=name)
        self.surrogate = surrogates.get(surrogate)
        self.center_initializer = keras.initializers.get(center_initializer)
        self.distance_initializer = keras.initializers.get(distance_initializer)

    def build(self, shape: Any) -> None:
        self.center = self.add_weight(shape=(), initializer=self.center_initializer, name="center")
        self.distance = self.add_weight(
            shape=(), initializer=self.distance_initializer, name="distance"
        )
        self.built = True

    @property
    def spec(self) -> QuantSpec:
        return QuantSpec(1, "lookup")

    def factors(self, x: Any, training: bool = False) -> tuple[tf.Tensor, tf.Tensor | None]:
        x = float_tensor(x)
        self._ensure_built(x)
        wide = widened(x)
        values = _values(wide, *self._parameters(wide.dtype), self.surrogate)
        return tf.cast(values, x.dtype), None

    def encode(self, x: Any) -> tf.Tensor:
        x = float_tensor(x)
        self._ensure_built(x)
        wide = widened(x)
        return tf.cast(_centred(wide, *self._parameters(wide.dtype)) >= 0, tf.int8)

    def decode(self, codes: Any, dtype: Any = "float32") -> tf.Tensor:
        if not self.built:
            raise ValueError(f"{self.name} has no variables yet: call it on data, or build it.")
        dtype = tf.as_dtype(dtype)
        return _chosen(codes, *self._parameters(tf.float64 if dtype == tf.float64 else tf.float32), dtype)

    def _parameters(self, dtype):
        """β and α."""
        parameters = (self.center, self.distance)
        return [tf.cast(tf.convert_to_tensor(p), dtype) for p in parameters]

    def get_config(self) -> dict[str, Any]:
        return {
            "surrogate": surrogates.serialize(self.surrogate),
            "center_initializer": keras.initializers.serialize(self.center_initializer),
            "distance_initializer": keras.initializers.serialize(self.distance_initializer),
            **super().get_config(),
        }
