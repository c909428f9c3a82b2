"""The Heaviside step: one bit that stands for 0 and 1."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from keras_ste.estimators import straight_through, surrogates
from keras_ste.quantizers.base import Quantizer, register
from keras_ste.quantizers.common import float_tensor
from keras_ste.quantizers.spec import QuantSpec


def _step(x):
    # The last choice takes what is neither: a NaN, which stays one.
    return tf.where(x > 0, tf.ones_like(x), tf.where(x <= 0, tf.zeros_like(x), x))


@register
class SteHeaviside(Quantizer):
    """The Heaviside step with a surrogate gradient.

        q(x) = 1 where x > 0, else 0       q(0) = 0
        dL/dx = dL/dq · d(x)

    The straight-through gradient is that of Y. Bengio et al., arXiv:1308.3432; the clipped one that
    of M. Courbariaux et al., *Binarized Neural Networks*, arXiv:1602.02830. A NaN stays a NaN; its
    code is 0.

    Args:
        surrogate: the derivative `d`: a name, a `Surrogate`, or a callable.
        name: by default `"ste_heaviside"`.

    Raises:
        ValueError: an unknown surrogate.
        TypeError: when called, an input that is not floating point.

    >>> SteHeaviside()([-0.3, 0.0, 2.0]).numpy().tolist()
    [0.0, 0.0, 1.0]
    """

    def __init__(self, surrogate: Any = "clipped_identity", name: str | None = None):
        super().__init__(name=name)
        self.surrogate = surrogates.get(surrogate)

    @property
    def spec(self) -> QuantSpec:
        return QuantSpec(bits=1, encoding="unsigned")

    def factors(self, x: Any, training: bool = False) -> tuple[tf.Tensor, None]:
        return straight_through(_step, self.surrogate)(float_tensor(x)), None

    def encode(self, x: Any) -> tf.Tensor:
        return tf.cast(float_tensor(x) > 0, tf.int8)

    def decode(self, codes: Any, dtype: Any = "float32") -> tf.Tensor:
        return tf.cast(codes, dtype)

    def get_config(self) -> dict[str, Any]:
        return {"surrogate": surrogates.serialize(self.surrogate), **super().get_config()}
