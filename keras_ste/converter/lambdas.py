"""Finds quantizers inside Lambda layers, where no converter can see them."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Iterator
from typing import Any

from keras_ste.quantizers import Quantizer


def check_lambdas(layers: Any) -> None:
    """Refuses Lambda layers that call a quantizer: its values would be floats on the device, and nothing would say so.

    Args:
      layers: those of the model, of Keras 3 or of tf_keras.

    Raises:
      ValueError: there is one; names it, and what to write instead.
    """
    for layer in layers:
        if type(layer).__name__ == "Lambda":
            found = next(_quantizers(layer.function, set()), None)
            if found is not None:
                raise ValueError(
                    f"the Lambda layer '{layer.name}' calls the quantizer {found.name}, which the converter cannot pack there: "
                    f"give it to the layer that reads it as its input_quantizer, or use keras_ste.QuantActivation({found.name!r})"
                )


def _quantizers(value: Any, seen: set[int]) -> Iterator[Quantizer]:
    """The quantizers that a function is, holds or names."""
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, Quantizer):
        yield value
    elif isinstance(value, functools.partial):
        for part in (value.func, *value.args, *value.keywords.values()):
            yield from _quantizers(part, seen)
    elif isinstance(value, types.MethodType):
        owner = value.__self__
        for part in (owner, value.__func__, *vars(type(owner)).values(), *getattr(owner, "__dict__", {}).values()):
            yield from _quantizers(part, seen)
    elif isinstance(value, types.FunctionType) and not value.__module__.startswith(("keras.", "tensorflow.", "numpy.")):
        named = inspect.getclosurevars(value)
        defaults = (*(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values())
        for part in (*named.nonlocals.values(), *named.globals.values(), *defaults):
            yield from _quantizers(part, seen)
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _quantizers(part, seen)
    elif isinstance(value, dict):
        for part in value.values():
            yield from _quantizers(part, seen)
