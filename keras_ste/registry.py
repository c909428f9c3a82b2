"""Objects by name: what lets an argument be an object, its name, its config or a plain function."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable
from typing import Any

import keras

PACKAGE = "keras_ste"


def snake_case(name: str) -> str:
    """`"SteSign"` -> `"ste_sign"`.

    >>> snake_case("ClippedIdentity")
    'clipped_identity'
    """
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


class Registry:
    """The classes of one kind, under their own name and its snake_case.

    Args:
        kind: what an object of this kind is called in error messages, e.g. `"quantizer"`.
        base: the class they all derive from.
    """

    def __init__(self, kind: str, base: type):
        self.kind = kind
        self.base = base
        self._classes: dict[str, type] = {}
        self._names: dict[type, tuple[str, ...]] = {}

    def register(
        self, cls: type | None = None, *, name: str | None = None, aliases: tuple[str, ...] = ()
    ) -> Callable:
        """Class decorator: makes `cls` known here and to Keras's own (de)serialization.

        Args:
            cls: the class.
            name: its name, where snake_case makes an ugly one of the class's.
            aliases: further names that `get` takes.

        Raises:
            ValueError: a name that is taken.
        """
        if cls is None:
            return functools.partial(self.register, name=name, aliases=aliases)
        self._names[cls] = (name or snake_case(cls.__name__), *aliases)
        for known in {cls.__name__, *self._names[cls]}:
            if known in self._classes:
                raise ValueError(f"There is a {self.kind} {known!r} already.")
            self._classes[known] = cls
        # A package for each kind: there is a quantizer ApproxSign and a surrogate of that name, and of
        # two classes registered as the same, Keras would silently keep the later one.
        return keras.saving.register_keras_serializable(package=f"{PACKAGE}.{self.kind}")(cls)

    def names(self) -> list[str]:
        """The names `get` knows, without the class names and aliases that mean the same."""
        return sorted(names[0] for names in self._names.values())

    def names_of(self, cls: type) -> tuple[str, ...]:
        """The name of a registered class, followed by its aliases."""
        return self._names[cls]

    def get(self, identifier: Any) -> Callable:
        """The object that `identifier` stands for.

        Args:
            identifier: a name (`"ste_sign"`, `"SteSign"`, or one that was registered with Keras), a
                config dict, a class of this kind, or a callable, which is returned as it is.

        Raises:
            ValueError: for a name that nobody registered.
            TypeError: for anything else that cannot be called.
        """
        if isinstance(identifier, str):
            found = self._classes.get(identifier)
            if found is None:
                found = keras.saving.get_registered_object(identifier)
            if found is None:
                raise ValueError(
                    f"Unknown {self.kind} {identifier!r}. Expected one of "
                    f"{', '.join(self.names())}, or the name of a registered Keras object."
                )
        elif isinstance(identifier, dict):
            found = self.from_config(identifier)
        else:
            found = identifier
        if inspect.isclass(found) and issubclass(found, self.base):
            found = found()
        if not callable(found) or inspect.isclass(found):
            raise TypeError(
                f"A {self.kind} must be a name ({', '.join(self.names())}), a config dict, an "
                "object or a callable. "
                f"Received: {identifier!r} of type {type(identifier).__name__}."
            )
        return found

    def serialize(self, value: Any) -> Any:
        """The config dict (or, for a plain function, Keras's description of it) of `value`."""
        return keras.saving.serialize_keras_object(value)

    def from_config(self, config: dict) -> Any:
        """The object that a config dict describes."""
        # The short form, written by hand: a class name of ours and its arguments.
        if "module" not in config and config.get("class_name") in self._classes:
            return self._classes[config["class_name"]](**config.get("config", {}))
        return keras.saving.deserialize_keras_object(config)
