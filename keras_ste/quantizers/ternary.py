"""Ternary quantizers: -1, 0 and +1 by a threshold, with no scale, one scale or two."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_ste.estimators import straight_through, surrogates
from keras_ste.quantizers.base import Quantizer, VariableQuantizer, register
from keras_ste.quantizers.common import float_tensor, shared_axes, widened, with_gradient
from keras_ste.quantizers.computed_scale import ScaledIntegers, integer_codes
from keras_ste.quantizers.spec import QuantSpec


def _ternary(x, threshold):
    """+1 where x > threshold, -1 where x < -threshold, and 0 between; a NaN stays one."""
    return tf.where(tf.abs(x) <= threshold, tf.zeros_like(x), tf.sign(x))


def _choose(signs, positive, zero, negative):
    """`positive`, `zero` or `negative`, by the sign of `signs`."""
    return tf.where(signs > 0, positive, tf.where(signs < 0, negative, zero))


def _twn_threshold(x, axes, factor=0.7):
    return factor * tf.reduce_mean(tf.abs(x), axis=axes, keepdims=True)


@register
class SteTern(Quantizer):
    """-1, 0 or +1 by a threshold Δ, with a surrogate gradient.

        q(x) = +1  where x > Δ        q(x) = -1  where x < -Δ        q(x) = 0  elsewhere
        dL/dx = dL/dq · d(x)

    where d is the clipped identity, and Δ is `threshold_value`, or `0.7 · mean |x|` of the whole
    tensor with `ternary_weight_networks`: F. Li, B. Liu, *Ternary Weight Networks*, arXiv:1605.04711.
    As `larq.quantizers.SteTern` is documented (whose code makes ±1 of |x| = Δ, and takes the mean of
    what is clipped to ±1). With that paper's scale, it is `TWN`. A NaN stays a NaN; its code is 0.

    Args:
        threshold_value: Δ, not negative; unused with `ternary_weight_networks`.
        ternary_weight_networks: whether Δ is computed from the tensor.
        surrogate: the derivative `d`: a name, a `Surrogate`, or a callable.
        name: by default `"ste_tern"`.

    Raises:
        ValueError: a negative threshold, or an unknown surrogate.
        TypeError: when called, an input that is not floating point.

    >>> SteTern()([-0.3, -0.05, 0.0, 0.06]).numpy().tolist()
    [-1.0, 0.0, 0.0, 1.0]
    """

    def __init__(
        self,
        threshold_value: float = 0.05,
        ternary_weight_networks: bool = False,
        surrogate: Any = "clipped_identity",
        name: str | None = None,
    ):
        super().__init__(name=name)
        if not threshold_value >= 0:
            raise ValueError(
                "SteTern's threshold_value must not be negative. "
                f"Received: threshold_value={threshold_value!r}."
            )
        self.threshold_value = float(threshold_value)
        self.ternary_weight_networks = bool(ternary_weight_networks)
        self.surrogate = surrogates.get(surrogate)

    @property
    def spec(self) -> QuantSpec:
        return QuantSpec(2, "ternary")

    def factors(self, x: Any, training: bool = False) -> tuple[tf.Tensor, tf.Tensor | None]:
        return straight_through(self._integers, self.surrogate)(float_tensor(x)), None

    def encode(self, x: Any) -> tf.Tensor:
        return integer_codes(self._integers(float_tensor(x)))

    def decode(self, codes: Any, dtype: Any = "float32") -> tf.Tensor:
        return tf.cast(codes, dtype)

    def _integers(self, x):
        wide = widened(x)
        threshold = tf.cast(self.threshold_value, wide.dtype)
        if self.ternary_weight_networks:
            threshold = _twn_threshold(wide, None)
        return tf.cast(_ternary(wide, threshold), x.dtype)

    def get_config(self) -> dict[str, Any]:
        return {
            "threshold_value": self.threshold_value,
            "ternary_weight_networks": self.ternary_weight_networks,
            "surrogate": surrogates.serialize(self.surrogate),
            **super().get_config(),
        }


@register
class TWN(ScaledIntegers):
    """Ternary weight networks: -1, 0 or +1, scaled by the mean of the weights that are not 0.

        Δ = t · mean |x|        α = mean of |x| where |x| > Δ
        q(x) = +α  where x > Δ        q(x) = -α  where x < -Δ        q(x) = 0  elsewhere
        dL/dx = dL/dq · d(x)

    with t = 0.7 and d = 1, the straight-through estimator itself. F. Li, B. Liu, *Ternary Weight
    Networks*, arXiv:1605.04711, where a layer has one Δ and one α.

    Where no |x| exceeds Δ, α and the gradient are 0. A NaN makes all values NaN that share its α; its
    code is 0.

    Args:
        threshold: t, not negative.
        surrogate: the derivative `d`: a name, a `Surrogate`, or a callable.
        scale_axis: `None` for one Δ and one α, or the axis that keeps its own for each index (for a
            kernel -1, the output channels).
        name: by default `"twn"`.

    Raises:
        ValueError: a negative threshold, an unknown surrogate; and, when called, a `scale_axis` the
            input lacks.
        TypeError: when called, an input that is not floating point.

    >>> TWN()([-0.5, 0.1, 0.2, 1.0]).numpy().tolist()
    [-0.75, 0.0, 0.0, 0.75]
    """

    def __init__(
        self,
        threshold: float = 0.7,
        surrogate: Any = "identity",
        scale_axis: int | None = None,
        name: str | None = None,
    ):
        super().__init__(surrogate, scale_axis, name=name)
        if not threshold >= 0:
            raise ValueError(f"TWN's threshold must not be negative. Received: {threshold!r}.")
        self.threshold = float(threshold)

    @property
    def spec(self) -> QuantSpec:
        return QuantSpec(2, "ternary", scale_axis=self.scale_axis, dynamic_scale=True)

    def _parts(self, x):
        wide = widened(tf.stop_gradient(x))
        axes = shared_axes(self, wide, self.scale_axis)
        integers = _ternary(wide, _twn_threshold(wide, axes, self.threshold))
        total = tf.reduce_sum(wide * integers, axis=axes, keepdims=True)
        count = tf.reduce_sum(tf.abs(integers), axis=axes, keepdims=True)
        return integers, tf.cast(tf.math.divide_no_nan(total, count), tf.float32)

    def get_config(self) -> dict[str, Any]:
        return {"threshold": self.threshold, **super().get_config()}


@register
class TTQ(VariableQuantizer):
    """Trained ternary quantization: two learned values, Wp and -Wn, and 0.

        Δ = t · max |x|
        q(x) = Wp  where x > Δ        q(x) = -Wn  where x < -Δ        q(x) = 0  elsewhere
        dL/dx  = dL/dq · d(x) · (Wp | 1 | Wn)     above Δ | between | below -Δ
        dL/dWp = Σ dL/dq  over x > Δ              dL/dWn = -Σ dL/dq  over x < -Δ

    with t = 0.05 and d = 1. C. Zhu et al., *Trained Ternary Quantization*, arXiv:1612.01064 (which
    writes the last sum without the sign that q's -Wn gives it).

    The codes are 0, 1, 2 for -Wn, 0 and Wp. A NaN stays a NaN; its code is that of 0.

    Args:
        threshold: t, from 0 to less than 1.
        surrogate: the derivative `d`: a name, a `Surrogate`, or a callable.
        scale_axis: `None` for one Δ, Wp and Wn, or the axis that keeps its own for each index (for a
            kernel -1, the output channels).
        scale_initializer: the initializer of Wp and Wn.
        name: by default `"ttq"`.

    Raises:
        ValueError: a threshold outside of [0, 1), an unknown surrogate; and, when built, a
            `scale_axis` the input lacks.
        TypeError: an `UpstreamSurrogate`, such as EWGS; and, when called, an input that is not floating
            point.

    >>> TTQ()([-0.5, 0.01, 0.2, 1.0]).numpy().tolist()
    [-1.0, 0.0, 1.0, 1.0]
    """

    def __init__(
        self,
        threshold: float = 0.05,
        surrogate: Any = "identity",
        scale_axis: int | None = None,
        scale_initializer: Any = "ones",
        name: str | None = None,
    ):
        super().__init__(name=name)
        if not 0 <= threshold < 1:
            raise ValueError(f"TTQ's threshold must be in [0, 1). Received: {threshold!r}.")
        self.threshold = float(threshold)
        self.surrogate = surrogates.get(surrogate)
        if isinstance(self.surrogate, surrogates.UpstreamSurrogate):
            raise TypeError(
                "TTQ needs a surrogate of x alone: its values are learned, and no roundings that x could be "
                f"measured against. Received: surrogate={self.surrogate!r}."
            )
        self.scale_axis = scale_axis
        self.scale_initializer = keras.initializers.get(scale_initializer)

    @property
    def spec(self) -> QuantSpec:
        return QuantSpec(2, "lookup", scale_axis=self.scale_axis)

    def build(self, shape: Any) -> None:
        size = ()
        if self.scale_axis is not None:
            if not -len(shape) <= self.scale_axis < len(shape) or shape[self.scale_axis] is None:
                raise ValueError(
                    f"TTQ has scale_axis={self.scale_axis}, whose size has to be known. Its input has "
                    f"the shape {tuple(shape)}."
                )
            size = [1] * len(shape)
            size[self.scale_axis] = shape[self.scale_axis]
        self.positive_scale, self.negative_scale = (
            self.add_weight(shape=size, initializer=self.scale_initializer, name=name)
            for name in ("positive_scale", "negative_scale")
        )
        self.built = True

    def factors(self, x: Any, training: bool = False) -> tuple[tf.Tensor, tf.Tensor | None]:
        x = float_tensor(x)
        self._ensure_built(x)
        wide = widened(x)
        signs = self._signs(wide)
        positive, negative = self._scales(wide.dtype)
        values = _choose(signs, positive, tf.zeros_like(positive), -negative)
        values = tf.where(tf.math.is_nan(wide), wide, values)
        slopes = tf.stop_gradient(_choose(signs, positive, tf.ones_like(positive), negative))
        values = with_gradient(values, wide, lambda w: self.surrogate(w) * slopes)
        return tf.cast(values, x.dtype), None

    def encode(self, x: Any) -> tf.Tensor:
        return integer_codes(self._signs(widened(float_tensor(x)))) + 1

    def decode(self, codes: Any, dtype: Any = "float32") -> tf.Tensor:
        if not self.built:
            raise ValueError(f"{self.name} has no scales yet: call it on data, or build it.")
        positive, negative = self._scales(dtype)
        signs = tf.convert_to_tensor(codes) - 1
        return _choose(signs, positive, tf.zeros_like(positive), -negative)

    def _signs(self, wide):
        wide = tf.stop_gradient(wide)
        axes = shared_axes(self, wide, self.scale_axis)
        largest = tf.reduce_max(tf.abs(wide), axis=axes, keepdims=True)
        return _ternary(wide, self.threshold * largest)

    def _scales(self, dtype):
        scales = (self.positive_scale, self.negative_scale)
        return [tf.cast(tf.convert_to_tensor(scale), dtype) for scale in scales]

    def get_config(self) -> dict[str, Any]:
        return {
            "threshold": self.threshold,
            "surrogate": surrogates.serialize(self.surrogate),
            "scale_axis": self.scale_axis,
            "scale_initializer": keras.initializers.serialize(self.scale_initializer),
            **super().get_config(),
        }
