"""Stochastic quantizers: drawn at random in training, rounded to the nearest otherwise."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_ste.estimators import forwards, straight_through, surrogates
from keras_ste.quantizers.base import VariableQuantizer, register
from keras_ste.quantizers.common import float_tensor, widened
from keras_ste.quantizers.computed_scale import integer_codes
from keras_ste.quantizers.spec import QuantSpec
from keras_ste.quantizers.ternary import _ternary


class _Drawn(VariableQuantizer):
    """What the two share: the generator's state is a variable, which is saved with the layer."""

    def __init__(
        self,
        surrogate: Any = "clipped_identity",
        seed: int | None = None,
        name: str | None = None,
    ):
        super().__init__(name=name)
        self.surrogate = surrogates.get(surrogate)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def factors(self, x: Any, training: bool = False) -> tuple[tf.Tensor, tf.Tensor | None]:
        x = float_tensor(x)

        def forward(x):
            wide = widened(x)
            if not training:
                return tf.cast(self._nearest(wide), x.dtype)
            # Of [0, 1), so that a probability of 0 is never drawn, and one of 1 always.
            noise = keras.random.uniform(
                tf.shape(wide), dtype=wide.dtype.name, seed=self.seed_generator
            )
            drawn = self._draw(wide, noise)
            return tf.cast(tf.where(tf.math.is_nan(wide), wide, drawn), x.dtype)

        return straight_through(forward, self.surrogate)(x), None

    # Keras saves no generator's state; with it, a training that is resumed draws what it would have.
    def save_own_variables(self, store: Any) -> None:
        store["state"] = self.seed_generator.state.numpy()

    def load_own_variables(self, store: Any) -> None:
        self.seed_generator.state.assign(store["state"])

    def _nearest(self, wide):
        """The values that are the most probable."""
        raise NotImplementedError

    def _draw(self, wide, noise):
        """The values, drawn by `noise`, which is uniform in [0, 1)."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        return {
            "surrogate": surrogates.serialize(self.surrogate),
            "seed": self.seed,
            **super().get_config(),
        }


@register
class StochasticBinary(_Drawn):
    """BinaryConnect's stochastic sign: +1 or -1, drawn in training.

        in training    q(x) = +1 with probability clip((x + 1) / 2, 0, 1), else -1
        otherwise      q(x) = sign(x)        sign(0) = +1
        dL/dx = dL/dq · d(x)

    The mean of q is `clip(x, -1, 1)`, so the clipped identity is d's exact value in the mean.
    M. Courbariaux et al., *BinaryConnect*, arXiv:1511.00363. `encode` gives the codes of the sign. A
    NaN stays a NaN; its code is that of -1.

    Args:
        surrogate: the derivative `d`: a name, a `Surrogate`, or a callable.
        seed: where the generator begins; by default different each time. Its state is a variable.
        name: by default `"stochastic_binary"`.

    Raises:
        ValueError: an unknown surrogate.
        TypeError: when called, an input that is not floating point.

    >>> quantizer = StochasticBinary(seed=1)
    >>> quantizer([-0.3, 0.0, 2.0]).numpy().tolist()
    [-1.0, 1.0, 1.0]
    >>> drawn = quantizer(tf.fill([10_000], 0.5), training=True)
    >>> round(float(tf.reduce_mean(drawn)), 1)
    0.5
    """

    @property
    def spec(self) -> QuantSpec:
        return QuantSpec(1, "bipolar")

    def sign_argument(self, x: Any) -> tf.Tensor:
        return x

    def encode(self, x: Any) -> tf.Tensor:
        return tf.cast(float_tensor(x) >= 0, tf.int8)

    def decode(self, codes: Any, dtype: Any = "float32") -> tf.Tensor:
        return 2 * tf.cast(codes, dtype) - 1

    def _nearest(self, wide):
        return forwards.sign(wide)

    def _draw(self, wide, noise):
        return 2 * tf.cast(2 * noise - 1 < wide, wide.dtype) - 1


@register
class StochasticTernary(_Drawn):
    """The stochastic ternary connection: -1, 0 or +1, drawn in training.

        in training    q(x) = sign(x) with probability min(|x|, 1), else 0
        otherwise      q(x) = sign(x) where |x| > 1/2, else 0
        dL/dx = dL/dq · d(x)

    The mean of q is `clip(x, -1, 1)`, so the clipped identity is d's exact value in the mean.
    Z. Lin et al., *Neural Networks with Few Multiplications*, arXiv:1510.03009. `encode` gives the
    codes of the values that are not drawn. A NaN stays a NaN; its code is 0.

    Args:
        surrogate: the derivative `d`: a name, a `Surrogate`, or a callable.
        seed: where the generator begins; by default different each time. Its state is a variable.
        name: by default `"stochastic_ternary"`.

    Raises:
        ValueError: an unknown surrogate.
        TypeError: when called, an input that is not floating point.

    >>> quantizer = StochasticTernary(seed=1)
    >>> quantizer([-0.7, 0.5, 2.0]).numpy().tolist()
    [-1.0, 0.0, 1.0]
    >>> drawn = quantizer(tf.fill([10_000], -0.2), training=True)
    >>> sorted(set(drawn.numpy().tolist())), round(float(tf.reduce_mean(drawn)), 1)
    ([-1.0, 0.0], -0.2)
    """

    @property
    def spec(self) -> QuantSpec:
        return QuantSpec(2, "ternary")

    def encode(self, x: Any) -> tf.Tensor:
        return integer_codes(self._nearest(widened(float_tensor(x))))

    def decode(self, codes: Any, dtype: Any = "float32") -> tf.Tensor:
        return tf.cast(codes, dtype)

    def _nearest(self, wide):
        return _ternary(wide, 0.5)

    def _draw(self, wide, noise):
        return _ternary(wide, noise)
