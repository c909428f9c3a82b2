"""What the quantizers share that have a surrogate, and a scale that is computed from what is quantized."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from keras_ste.estimators import surrogates
from keras_ste.quantizers.base import Quantizer
from keras_ste.quantizers.common import float_tensor, scaled


def integer_codes(integers: tf.Tensor) -> tf.Tensor:
    """Integers as int8 codes; a NaN, which no code stands for, as 0."""
    return tf.cast(tf.where(tf.math.is_nan(integers), tf.zeros_like(integers), integers), tf.int8)


class ComputedScale(Quantizer):
    """A quantizer with a surrogate, and a scale for each index of `scale_axis`."""

    def __init__(self, surrogate: Any, scale_axis: int | None, name: str | None = None):
        super().__init__(name=name)
        self.surrogate = surrogates.get(surrogate)
        self.scale_axis = scale_axis

    def get_config(self) -> dict[str, Any]:
        return {
            "surrogate": surrogates.serialize(self.surrogate),
            "scale_axis": self.scale_axis,
            **super().get_config(),
        }


class ScaledIntegers(ComputedScale):
    """The same for integers that are their own codes; a subclass implements `_parts`."""

    def _parts(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The integers, in the dtype of `widened(x)`, and the scale, float32."""
        raise NotImplementedError

    def factors(self, x: Any, training: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        x = float_tensor(x)
        return scaled(x, *self._parts(x), self.surrogate)

    def encode(self, x: Any) -> tuple[tf.Tensor, tf.Tensor]:
        integers, scale = self._parts(float_tensor(x))
        return self._codes(integers), scale

    def decode(self, codes: Any, dtype: Any = "float32") -> tf.Tensor:
        codes, scale = codes
        return self._values(tf.cast(codes, dtype)) * tf.cast(scale, dtype)

    def _codes(self, integers: tf.Tensor) -> tf.Tensor:
        return integer_codes(integers)

    def _values(self, codes: tf.Tensor) -> tf.Tensor:
        """The integers that codes, as floats, stand for."""
        return codes
