"""What every surrogate is, and surrogates by name."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from keras_ste.estimators import parameters
from keras_ste.registry import Registry


class Surrogate:
    """A surrogate derivative `d(x)`, by which the upstream gradient is multiplied.

    Subclasses implement `derivative`, and `get_config` if they have arguments. A surrogate can be
    called like the function it is.

    Attributes:
        area: the integral of `d`; NaN where there is none, or where the class does not say.
        peak: the largest value of `d`; NaN where the class does not say.
    """

    area: float = math.nan
    peak: float = math.nan

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
        arguments = ", ".join(
            f"{key}={getattr(self, key, value)!r}" for key, value in self.get_config().items()
        )
        return f"{type(self).__name__}({arguments})"


class UpstreamSurrogate(Surrogate):
    """A surrogate whose gradient is not a multiple of the upstream gradient.

    Subclasses implement `gradient`, which `straight_through` calls in place of `derivative`.
    """

    def gradient(self, upstream: tf.Tensor, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        """`dL/dx` for `upstream = dL/dy` and `y`, the forward value of `x`."""
        raise NotImplementedError(
            f"{type(self).__name__} has to implement gradient(upstream, x, y)."
        )

    def derivative(self, x: tf.Tensor) -> tf.Tensor:
        raise TypeError(
            f"{type(self).__name__} has no derivative of x alone: its gradient depends on the "
            "upstream gradient and on the forward value. Use it with straight_through."
        )


class ParametricSurrogate(Surrogate):
    """A surrogate with parameters, whose area and peak are known.

    A parameter is a number, a `tf.Variable` or `keras.Variable`, or a schedule of
    `keras_ste.estimators.schedules`; variables are read at every step, so that nothing is traced
    again when they change. In a config a variable is its present value.

    `normalize=None` leaves `d` as published. `"area"` multiplies it by `jump / area`, where `jump`
    is the height of the step that it was published for: 2 for a sign (-1, +1), 1 for a Heaviside
    step (0, 1) or a rounding. `"peak"` multiplies it by `1 / peak`. The attributes `area` and
    `peak` are those of the function as it is, normalized or not.

    Subclasses pass their parameters to `__init__`, and implement `_formula`, `_area` and `_peak`,
    which get the parameters by name: floats, or scalar tensors for variables. 16-bit floats are
    computed with in float32, so that `d` is rounded once.

    Raises:
        ValueError: another `normalize`, or one by an area or peak that is not finite.
    """

    jump: float = 1.0
    # The interval that `area` is the integral over. Only a periodic function has bounds here.
    support: tuple[float, float] = (-math.inf, math.inf)

    def __init__(self, normalize: str | None = None, **values: Any):
        if normalize not in (None, "area", "peak"):
            raise ValueError(
                f"{type(self).__name__}'s normalize must be None, 'area' or 'peak'. "
                f"Received: normalize={normalize!r}."
            )
        self._parameters = values
        for name, value in values.items():
            setattr(self, name, value)
        self.normalize = None
        if normalize is not None and not math.isfinite(getattr(self, normalize)):
            raise ValueError(
                f"{type(self).__name__} cannot be normalized by its {normalize}, which is "
                f"{getattr(self, normalize)}."
            )
        self.normalize = normalize

    def _formula(self, x: tf.Tensor, **values: Any) -> tf.Tensor:
        raise NotImplementedError

    def _area(self, **values: Any) -> Any:
        raise NotImplementedError

    def _peak(self, **values: Any) -> Any:
        raise NotImplementedError

    def _factor(self, values):
        if self.normalize == "area":
            return self.jump / self._area(**values)
        return 1.0 / self._peak(**values)

    def _present(self):
        return {name: parameters.present(value) for name, value in self._parameters.items()}

    def _scaled(self, quantity):
        values = self._present()
        return float(quantity(**values) * (1.0 if self.normalize is None else self._factor(values)))

    @property
    def area(self) -> float:
        return self._scaled(self._area)

    @property
    def peak(self) -> float:
        return self._scaled(self._peak)

    def derivative(self, x: tf.Tensor) -> tf.Tensor:
        wide = tf.cast(x, tf.float32) if x.dtype.size < 4 else x
        values = {
            name: parameters.in_dtype(value, wide.dtype) for name, value in self._parameters.items()
        }
        d = self._formula(wide, **values)
        if self.normalize is not None:
            d *= self._factor(values)
        return tf.cast(d, x.dtype)

    def get_config(self) -> dict[str, Any]:
        config = {name: parameters.serialize(value) for name, value in self._parameters.items()}
        return {**config, "normalize": self.normalize}


_REGISTRY = Registry("surrogate", Surrogate)
register = _REGISTRY.register


def names() -> list[str]:
    """The names `get` knows, each surrogate's once.

    >>> 'clipped_identity' in names()
    True
    """
    return _REGISTRY.names()


def names_of(surrogate: type) -> tuple[str, ...]:
    """The name of a registered class, followed by its aliases."""
    return _REGISTRY.names_of(surrogate)


def get(identifier: Any) -> Callable[[tf.Tensor], tf.Tensor]:
    """The surrogate that `identifier` stands for.

    Args:
        identifier: a name, a config dict, a `Surrogate`, or any callable that maps `x` to `d(x)`.

    Raises:
        ValueError: an unknown name.
        TypeError: something that cannot be called.

    >>> get("clipped_identity")
    ClippedIdentity(width=1.0, normalize=None)
    """
    return _REGISTRY.get(identifier)


def serialize(surrogate: Any) -> Any:
    """What `get` takes to make the surrogate again.

    >>> from keras_ste.estimators import ClippedIdentity
    >>> get(serialize(ClippedIdentity(0.5))).width
    0.5
    """
    return _REGISTRY.serialize(surrogate)
