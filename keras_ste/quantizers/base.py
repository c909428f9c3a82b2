"""The quantizer contract, and quantizers by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from keras_ste.quantizers.spec import QuantSpec
from keras_ste.registry import Registry, snake_case


class Quantizer:
    """A function with a surrogate gradient whose values are small integers times a scale.

    A subclass implements `spec`, `factors`, `encode` and `decode`, and `get_config` where it has
    arguments of its own. For every float tensor `x`

    * `q(x) == q.decode(q.encode(x), dtype=x.dtype)`, bit for bit;
    * `integers * scale == q(x)` for `integers, scale = q.factors(x)`.

    A quantizer with variables, a learned scale for example, is a `VariableQuantizer`.

    Args:
        name: by default the class's name in snake_case.
    """

    def __init__(self, name: str | None = None):
        self.name = name or snake_case(type(self).__name__)

    @property
    def spec(self) -> QuantSpec:
        """What the codes look like."""
        raise NotImplementedError(f"{type(self).__name__} has to implement the property spec.")

    def build(self, shape: Any) -> None:
        """Makes the quantizer's variables, where it has any, for inputs of this shape."""

    def factors(self, x: Any, training: bool = False) -> tuple[tf.Tensor, tf.Tensor | None]:
        """The quantized `x`, taken apart: a layer multiplies integers, and scales afterwards.

        Args:
            x: float tensor.
            training: whether the values are to be trained with: where that makes a difference, a
                stochastic quantizer draws, and a learned scale may be set from the first data.

        Returns:
            `(integers, scale)`, both in x's dtype and differentiable with respect to `x`: the exact
            integers, of x's shape, and the scale, which broadcasts against `x` (`None` means 1).
            For any linear `f`, the gradient through `f(integers) * scale` is the one through
            `f(q(x))`. Where the values are no multiples of one scale, as with an offset or a table
            of levels, they are returned themselves, with `None`.
        """
        raise NotImplementedError(f"{type(self).__name__} has to implement factors(x).")

    def encode(self, x: Any) -> tf.Tensor | tuple[tf.Tensor, tf.Tensor]:
        """The integer codes of `x`, in x's shape; `(codes, scale)` if `spec.dynamic_scale`.

        They are int8; uint8 for unsigned codes of 8 bits; int32 for codes of more bits.
        """
        raise NotImplementedError(f"{type(self).__name__} has to implement encode(x).")

    def decode(self, codes: Any, dtype: Any = "float32") -> tf.Tensor:
        """The values that codes stand for: takes what `encode` returns."""
        raise NotImplementedError(f"{type(self).__name__} has to implement decode(codes).")

    def sign_argument(self, x: Any) -> Any:
        """What the values are the signs of, for those that are nothing but signs.

        A quantizer whose values are `sign(f(x))`, with `sign(0) = +1` and no scale, returns `f(x)`:
        that is what the converter puts in front of the op that packs signs. By default `None`:
        how the codes of an input are made, the converter finds from the values.
        """
        return None

    def __call__(self, x: Any, training: bool = False) -> tf.Tensor:
        """The quantized `x`: x's shape and dtype, differentiable by the surrogate."""
        integers, scale = self.factors(x, training=training)
        return integers if scale is None else integers * scale

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an equal quantizer."""
        return {"name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Quantizer:
        return cls(**config)

    def __repr__(self) -> str:
        arguments = ", ".join(f"{key}={getattr(self, key)!r}" for key in self.get_config())
        return f"{type(self).__name__}({arguments})"


class VariableQuantizer(Quantizer, keras.layers.Layer):
    """A quantizer with variables: a learned scale, learned thresholds, the state of a generator.

    It is a Keras layer, so that the layer it is given to tracks, saves and trains its variables.
    A subclass makes them in `build(shape)` with `add_weight`, where they are float32 unless it says
    otherwise, and calls `_ensure_built(x)` before it uses them. Called by itself, a quantizer makes
    its variables for the first input it gets. A second layer that is given it makes a copy.

    Args:
        name: by default the class's name in snake_case.
    """

    def __init__(self, name: str | None = None):
        keras.layers.Layer.__init__(
            self, name=name or snake_case(type(self).__name__), dtype="float32", autocast=False
        )
        self._taken = False

    def for_layer(self) -> VariableQuantizer:
        """This quantizer for the first layer that asks, a copy with variables of its own for others.

        So one quantizer can be among the arguments of many layers, and every layer learns a scale
        of its own.
        """
        if self._taken:
            return type(self).from_config(self.get_config())
        self._taken = True
        return self

    def add_weight(self, *args: Any, **kwargs: Any) -> Any:
        # Half precision would round the scale that the device computes with.
        return super().add_weight(*args, **{"autocast": False, **kwargs})

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def _ensure_built(self, x: tf.Tensor) -> None:
        if not self.built:
            with tf.init_scope():
                self.build(tuple(x.shape))


_REGISTRY = Registry("quantizer", Quantizer)
register = _REGISTRY.register


def names() -> list[str]:
    """The names `get` knows.

    >>> {"ste_sign", "xnor_sign"} <= set(names())
    True
    """
    return _REGISTRY.names()


def get(identifier: Any) -> Callable[[tf.Tensor], tf.Tensor] | None:
    """The quantizer that `identifier` stands for.

    Args:
        identifier: `None`, a name (`"ste_sign"` or `"SteSign"`), a config dict, a `Quantizer`, or
            any callable that maps a tensor to one of the same shape and dtype. A plain callable has
            no code book: it trains, and is left in float when the model is converted.

    Raises:
        ValueError: an unknown name.
        TypeError: something that cannot be called.

    >>> get("ste_sign").spec.bits
    1
    """
    return None if identifier is None else _REGISTRY.get(identifier)


def serialize(quantizer: Any) -> Any:
    """What `get` takes to make the quantizer again; `None` for `None`.

    >>> get(serialize(get("xnor_sign"))).spec.scale_axis
    -1
    """
    config = None if quantizer is None else _REGISTRY.serialize(quantizer)
    if isinstance(config, dict):
        # Built from its config, it would have its variables before the layer can name and place them.
        config.pop("build_config", None)
    return config
