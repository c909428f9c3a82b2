"""What a surrogate is, surrogates with parameters, and surrogates by name."""

from __future__ import annotations

import numbers
from collections.abc import Callable
from typing import Any, ClassVar

import keras
import tensorflow as tf

from keras_ste.estimators import schedules
from keras_ste.registry import Registry


class Surrogate:
    """A surrogate derivative `d(x)`, by which the upstream gradient is multiplied.

    Subclasses implement `derivative`, and `get_config` if they have arguments. A surrogate can be
    called like the function it is.

    Attributes:
        paper: where it comes from, in a few words.
        jump: the height of the jump it was published for: 2 for the sign, 1 for the step from 0
            to 1; `None` where it stands in for something else than one jump.
    """

    paper: ClassVar[str] = ""
    jump: float | None = None

    def derivative(self, x: tf.Tensor) -> tf.Tensor:
        """`d(x)`: a tensor of the shape and dtype of `x`."""
        raise NotImplementedError(f"{type(self).__name__} has to implement derivative(x).")

    def gradient(self, upstream: tf.Tensor, x: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
        """`dL/dx`, where `upstream` is `dL/dy` and `value` is `y`: `upstream · d(x)`.

        A surrogate overrides this where its gradient is not proportional to the upstream one.
        """
        return upstream * self(x)

    @property
    def area(self) -> float | None:
        """The integral of `d` over all real numbers, `inf` if `|d|` has none.

        `None` where it is not known: for a surrogate of one's own, or one that depends on the data.
        """
        return None

    @property
    def peak(self) -> float | None:
        """The least upper bound of `d`; `None` where it is not known."""
        return None

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
            f"{key}={value!r}"
            for key, value in self.get_config().items()
            if value is not None or key not in ("normalize", "jump")
        )
        return f"{type(self).__name__}({arguments})"


class ParametricSurrogate(Surrogate):
    """A surrogate given by a formula: with parameters, an area, a peak, and a normalization.

    A subclass implements `_derivative`, `_area` and `_peak` as functions of its parameters, which
    come as keywords: Python floats, or scalars of x's dtype for those that may change. `_area` and
    `_peak` use nothing but arithmetic, so that they take both.

    Args:
        normalize: what to scale `d` by. `None` leaves it as it was published; `"area"` makes its
            integral equal to `jump`, as it is for the derivative of a smooth function that
            climbs as high as the jump it stands in for; `"peak"` makes its peak 1.
        jump: what `"area"` makes of the area. By default the height of the jump that the surrogate
            was published for: 2 for the sign, 1 for the step from 0 to 1.
        **parameters: by name: a number, a variable, or a `Schedule`, whose variable is read. No
            gradient goes to a parameter. The config has the value that a variable has at the time.

    Raises:
        ValueError: an unknown normalization; `"area"` where the area is infinite; a parameter that
            is not positive.
        TypeError: a parameter that is none of these; or a variable where a number has to be known.
    """

    # Parameters that shape the formula itself, and so cannot be variables.
    _constant: ClassVar[tuple[str, ...]] = ()
    # Parameters that may be zero or negative.
    _any_sign: ClassVar[tuple[str, ...]] = ()
    # Comparisons and constants are exact in 16 bits; everything else is computed in 32.
    _exact_in_16_bits: ClassVar[bool] = False

    def __init__(
        self, normalize: str | None = None, jump: float | None = None, **parameters: Any
    ):
        if normalize not in (None, "area", "peak"):
            raise ValueError(
                f"{type(self).__name__}'s normalize must be None, 'area' or 'peak'. "
                f"Received: normalize={normalize!r}."
            )
        self.normalize = normalize
        self._jump_argument = None if jump is None else self._checked("jump", jump, constant=True)
        self.parameters = {
            name: self._checked(name, value, constant=name in self._constant)
            for name, value in parameters.items()
        }
        if jump is not None:
            self.jump = self._jump_argument
        if normalize == "area" and not _is_finite(self._area(**self._numbers())):
            raise ValueError(
                f"{type(self).__name__} cannot be normalized to an area: with "
                f"{self._numbers()}, its own is infinite."
            )

    def _derivative(self, x: tf.Tensor, **parameters: Any) -> tf.Tensor:
        raise NotImplementedError(f"{type(self).__name__} has to implement _derivative(x).")

    def _area(self, **parameters: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has to implement _area().")

    def _peak(self, **parameters: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has to implement _peak().")

    def derivative(self, x: tf.Tensor) -> tf.Tensor:
        wide = x
        if x.dtype.size < 4 and not self._exact_in_16_bits:
            wide = tf.cast(x, tf.float32)
        values = {name: self._value(value, wide.dtype) for name, value in self.parameters.items()}
        d = self._derivative(wide, **values)
        if self.normalize is not None:
            d = d * self._factor(values)
        return tf.cast(d, x.dtype)

    @property
    def area(self) -> float:
        return self._scaled(self._area)

    @property
    def peak(self) -> float:
        return self._scaled(self._peak)

    def get_config(self) -> dict[str, Any]:
        config = {
            name: schedules.serialize(value) if isinstance(value, schedules.Schedule) else number
            for (name, value), number in zip(
                self.parameters.items(), self._numbers().values(), strict=True
            )
        }
        return {**config, "normalize": self.normalize, "jump": self._jump_argument}

    def __repr__(self) -> str:
        arguments = {name: value for name, value in self.parameters.items()}
        arguments["normalize"], arguments["jump"] = self.normalize, self._jump_argument
        shown = (
            f"{name}={value!r}"
            for name, value in arguments.items()
            if value is not None or name not in ("normalize", "jump")
        )
        return f"{type(self).__name__}({', '.join(shown)})"

    def __getattr__(self, name: str) -> Any:
        # Only asked for what is nowhere else: the parameters are attributes too.
        parameters = self.__dict__.get("parameters", {})
        if name not in parameters:
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        return parameters[name]

    def _numbers(self):
        return {
            name: value if isinstance(value, int) else float(value)
            for name, value in self.parameters.items()
        }

    def _factor(self, values):
        """What `d` is multiplied by to be normalized."""
        if self.normalize == "area":
            return self.jump / self._area(**values)
        return 1 / self._peak(**values)

    def _scaled(self, measure):
        values = self._numbers()
        factor = 1.0 if self.normalize is None else self._factor(values)
        return float(measure(**values) * factor)

    def _checked(self, name, value, constant):
        if isinstance(value, dict):
            value = schedules.get(value)
        if isinstance(value, bool) or not isinstance(
            value, (numbers.Real, schedules.Schedule, tf.Variable, keras.Variable)
        ):
            raise TypeError(
                f"{type(self).__name__}'s {name} must be a number, a variable or a schedule. "
                f"Received: {name}={value!r} of type {type(value).__name__}."
            )
        if not isinstance(value, numbers.Real):
            if constant:
                raise TypeError(f"{type(self).__name__}'s {name} must be a number. Received: {value!r}.")
            return value
        if name not in self._any_sign and not (value > 0 and _is_finite(value)):
            raise ValueError(
                f"{type(self).__name__} needs a positive {name}. Received: {name}={value!r}."
            )
        return value if isinstance(value, int) and constant else float(value)

    @staticmethod
    def _value(value, dtype):
        if isinstance(value, numbers.Real):
            return value
        if isinstance(value, schedules.Schedule):
            value = value.variable
        return tf.cast(tf.stop_gradient(tf.convert_to_tensor(value)), dtype)


def _is_finite(value):
    return abs(value) < float("inf")


_REGISTRY = Registry("surrogate", Surrogate)
register = _REGISTRY.register


def names() -> list[str]:
    """The names `get` knows.

    >>> {"clipped_identity", "identity", "approx_sign"} <= set(names())
    True
    """
    return _REGISTRY.names()


def aliases(surrogate: Surrogate) -> list[str]:
    """Other names of a registered surrogate's class.

    >>> aliases(get("gaussian"))
    ['erf']
    """
    return list(_REGISTRY.names_of(type(surrogate))[1:])


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

    >>> get(serialize(get("sigmoid")))
    Sigmoid(alpha=4.0)
    """
    return _REGISTRY.serialize(surrogate)
