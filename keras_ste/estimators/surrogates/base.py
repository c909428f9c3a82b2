"""Surrogates: derivatives that stand in for the one of a function that has none of use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from keras_ste.registry import Registry


class Surrogate:
    """A surrogate derivative `d(x)`, by which the upstream gradient is multiplied.

    Subclasses implement `derivative`, and `get_config` if they have arguments. A surrogate can be
    called like the function it is.
    """

    def derivative(self, x: tf.Tensor) -> tf.Tensor:
        """`d(x)`: a tensor of the shape and dtype of `x`."""
        raise NotImplementedError(f"{type(self).__name__} has to implement derivative(x).")

    def __call__(self, x: Any) -> tf.Tensor:
        return self.derivative(tf.convert_to_tensor(x))

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an equal surrogate."""
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Surrogate:
        return cls(**config)

    def __repr__(self) -> str:
        arguments = ", ".join(f"{key}={value!r}" for key, value in self.get_config().items())
        return f"{type(self).__name__}({arguments})"


_REGISTRY = Registry("surrogate", Surrogate)


@_REGISTRY.register
class Identity(Surrogate):
    """The straight-through estimator itself: `d(x) = 1`.

    Y. Bengio, N. Léonard, A. Courville: *Estimating or Propagating Gradients Through Stochastic
    Neurons for Conditional Computation*, arXiv:1308.3432, after G. Hinton's lectures of 2012.

    >>> Identity()([-3.0, 0.0, 3.0]).numpy().tolist()
    [1.0, 1.0, 1.0]
    """

    def derivative(self, x: tf.Tensor) -> tf.Tensor:
        return tf.ones_like(x)


@_REGISTRY.register
class ClippedIdentity(Surrogate):
    """The derivative of the hard tanh: `d(x) = 1` where `|x| <= width`, else 0.

    The gradient stops where a latent value has left the interval in which it could still change its
    sign soon. M. Courbariaux et al.: *Binarized Neural Networks*, arXiv:1602.02830.

    Args:
        width: the bound, included; a positive number.

    Raises:
        ValueError: `width` is not positive.

    >>> ClippedIdentity()([-1.5, -1.0, 0.0, 1.0, 1.5]).numpy().tolist()
    [0.0, 1.0, 1.0, 1.0, 0.0]
    """

    def __init__(self, width: float = 1.0):
        if not width > 0:
            raise ValueError(f"ClippedIdentity needs a positive width. Received: width={width!r}.")
        self.width = float(width)

    def derivative(self, x: tf.Tensor) -> tf.Tensor:
        return tf.cast(tf.abs(x) <= tf.cast(self.width, x.dtype), x.dtype)

    def get_config(self) -> dict[str, Any]:
        return {"width": self.width}


def names() -> list[str]:
    """The names `get` knows.

    >>> names()
    ['clipped_identity', 'identity']
    """
    return _REGISTRY.names()


def get(identifier: Any) -> Callable[[tf.Tensor], tf.Tensor]:
    """The surrogate that `identifier` stands for.

    Args:
        identifier: a name, a config dict, a `Surrogate`, or any callable that maps `x` to `d(x)`.

    Raises:
        ValueError: an unknown name.
        TypeError: something that cannot be called.

    >>> get("clipped_identity")
    ClippedIdentity(width=1.0)
    """
    return _REGISTRY.get(identifier)


def serialize(surrogate: Any) -> Any:
    """What `get` takes to make the surrogate again.

    >>> get(serialize(ClippedIdentity(0.5)))
    ClippedIdentity(width=0.5)
    """
    return _REGISTRY.serialize(surrogate)
