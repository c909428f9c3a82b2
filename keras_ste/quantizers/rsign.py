"""ReActNet's sign with learned thresholds."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_ste.estimators import forwards, straight_through, surrogates
from keras_ste.quantizers.base import VariableQuantizer, register
from keras_ste.quantizers.common import float_tensor, widened
from keras_ste.quantizers.spec import QuantSpec


@register
class RSign(VariableQuantizer):
    """The sign of what exceeds a threshold, which is learned for each channel.

        q(x) = sign(x - t)             sign(0) = +1
        dL/dx = dL/dq · d(x - t)       dL/dt = -Σ dL/dq · d(x - t), over all x that share a t

    Z. Liu et al., *ReActNet*, arXiv:2003.03488, for activations. The difference is computed in
    float32. A NaN stays a NaN; its code is that of -1.

    Args:
        surrogate: the derivative `d`: a name, a `Surrogate`, or a callable.
        axis: the axis that has a threshold for each index, or `None` for one threshold.
        threshold_initializer: a Keras initializer.
        name: by default `"rsign"`.

    Raises:
        ValueError: an unknown surrogate or initializer; an `axis` that the input lacks, or whose size
            is not known.
        TypeError: when called, an input that is not floating point.

    >>> quantizer = RSign(threshold_initializer=keras.initializers.Constant(1.0))
    >>> quantizer([[0.5, 1.0, 1.5]]).numpy().tolist()
    [[-1.0, 1.0, 1.0]]
    >>> tuple(quantizer.threshold.shape)
    (3,)
    """

    def __init__(
        self,
        surrogate: Any = "approx_sign",
        axis: int | None = -1,
        threshold_initializer: Any = "zeros",
        name: str | None = None,
    ):
        super().__init__(name=name)
        self.surrogate = surrogates.get(surrogate)
        self.axis = axis
        self.threshold_initializer = keras.initializers.get(threshold_initializer)

    def build(self, shape: Any) -> None:
        size = ()
        if self.axis is not None:
            if not -len(shape) <= self.axis < len(shape) or shape[self.axis] is None:
                raise ValueError(
                    f"RSign has axis={self.axis}, whose size has to be known. Its input has the shape "
                    f"{tuple(shape)}."
                )
            size = (shape[self.axis],)
        self.threshold = self.add_weight(
            shape=size, initializer=self.threshold_initializer, name="threshold"
        )
        self.built = True

    @property
    def spec(self) -> QuantSpec:
        return QuantSpec(bits=1, encoding="bipolar")

    def sign_argument(self, x: Any) -> tf.Tensor:
        x = float_tensor(x)
        self._ensure_built(x)
        wide = widened(x)
        threshold = tf.cast(tf.convert_to_tensor(self.threshold), wide.dtype)
        if self.axis is not None:
            behind = x.shape.rank - 1 - self.axis % x.shape.rank
            threshold = tf.reshape(threshold, [-1] + [1] * behind)
        return wide - threshold

    def factors(self, x: Any, training: bool = False) -> tuple[tf.Tensor, None]:
        x = float_tensor(x)
        signs = straight_through(forwards.sign, self.surrogate)(self.sign_argument(x))
        return tf.cast(signs, x.dtype), None

    def encode(self, x: Any) -> tf.Tensor:
        return tf.cast(self.sign_argument(x) >= 0, tf.int8)

    def decode(self, codes: Any, dtype: Any = "float32") -> tf.Tensor:
        return 2 * tf.cast(codes, dtype) - 1

    def get_config(self) -> dict[str, Any]:
        return {
            "surrogate": surrogates.serialize(self.surrogate),
            "axis": self.axis,
            "threshold_initializer": keras.initializers.serialize(self.threshold_initializer),
            "name": self.name,
        }
