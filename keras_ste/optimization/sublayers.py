"""Layers and models that hold quantized layers as parts of their own, and can still be saved and loaded."""

from __future__ import annotations

import functools
import types
from collections.abc import Iterator
from typing import Any

import keras

from keras_ste.quantizers import Quantizer

# Where a layer is within another one: names of attributes, places in lists, keys of dictionaries.
Path = tuple[str | int, ...]


def sublayers(layer: keras.layers.Layer) -> Iterator[tuple[Path, keras.layers.Layer]]:
    """The layers that another one has as attributes, or in lists and dictionaries among them; quantizers left out."""
    for name, value in vars(layer).items():
        # Keras and TensorFlow keep lists of their own.
        if name not in ("_layers", "_functional") and not name.startswith("_self_unconditional"):
            yield from _layers_in((name,), value)


def _layers_in(path, value):
    if isinstance(value, keras.layers.Layer):
        if not isinstance(value, Quantizer):
            yield path, value
    elif isinstance(value, (list, tuple)):
        for place, each in enumerate(value):
            yield from _layers_in((*path, place), each)
    elif isinstance(value, dict):
        for key, each in value.items():
            if isinstance(key, str):
                yield from _layers_in((*path, key), each)


def replace_sublayer(owner: keras.layers.Layer, path: Path, new: keras.layers.Layer) -> None:
    """Puts a layer in the place of another one, in a layer that may be built already."""
    (name, *rest) = path
    value = vars(owner)[name]
    old, tracked, locked = _at(value, rest), list(owner._layers), owner._tracker.locked
    # A layer that is built takes no new parts; this one is as good as one that it has.
    owner._tracker.unlock()
    setattr(owner, name, _with(value, rest, new))
    owner._layers[:] = [new if each is old else each for each in tracked]
    if locked:
        owner._lock_state()


def _at(value, path):
    for step in path:
        value = value[step]
    return value


def _with(value, path, new):
    if not path:
        return new
    (step, *rest) = path
    changed = _with(value[step], rest, new)
    if isinstance(value, tuple):
        return (*value[:step], changed, *value[step + 1 :])
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[step] = changed
    return copy


def layer_at(owner: keras.layers.Layer, path: tuple[Path, ...]) -> keras.layers.Layer:
    """The layer that several steps from layer to layer lead to."""
    for step in path:
        owner = _at(vars(owner)[step[0]], step[1:])
    return owner


class _WithQuantizedSublayers:
    """Mixed in before `Layer` or `Model`: another one, parts of which are replaced.

    Args:
        layer: a layer or a model, as its class makes it; or its config, as Keras serializes it.
        replacements: a dict for each part: `path`, the steps that lead there from `layer`, and `layer`, what stands
            there instead, or its config.
    """

    def __init__(self, layer: Any, replacements: Any = (), **kwargs: Any):
        # In a namespace, because Keras would track what is in dictionaries.
        parts = types.SimpleNamespace(
            layer=_serialized(layer),
            replacements=[{"path": each["path"], "layer": _serialized(each["layer"])} for each in replacements],
        )
        layer = keras.saving.deserialize_keras_object(parts.layer)

        # With the signature of the layer's: by it Keras tells which arguments there are.
        @functools.wraps(layer.call)
        def call(*arguments, **options):
            return layer(*arguments, **options)

        object.__setattr__(self, "call", call)
        super().__init__(**{"name": layer.name, "dtype": layer.dtype_policy, **kwargs})
        self._parts = parts
        replaced: dict[int, tuple] = {}
        for each in parts.replacements:
            steps = tuple(tuple(step) for step in each["path"])
            owner = layer_at(layer, steps[:-1])
            old = layer_at(owner, steps[-1:])
            if id(old) not in replaced:
                # The old one is kept, so that its id stays its own.
                replaced[id(old)] = (old, keras.saving.deserialize_keras_object(each["layer"]))
            replace_sublayer(owner, steps[-1], replaced[id(old)][1])
        self.layer = layer
        self.supports_masking = layer.supports_masking
        # By this Keras and the converter know the inputs.
        object.__setattr__(self, "_build_shapes_dict", layer._build_shapes_dict)
        self.built = True

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """What the layer computes."""
        return self.layer(*args, **kwargs)

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        return self.layer.compute_output_spec(*args, **kwargs)

    def compute_mask(self, *args: Any, **kwargs: Any) -> Any:
        return self.layer.compute_mask(*args, **kwargs)

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "trainable": self.trainable, **vars(self._parts)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        return cls(**config)


def _serialized(layer):
    """The config of a layer, with what it was built with."""
    if isinstance(layer, dict):
        return layer
    config = keras.saving.serialize_keras_object(layer)
    config.pop("compile_config", None)
    return config


@keras.saving.register_keras_serializable(package="keras_ste")
class QuantizedSublayers(_WithQuantizedSublayers, keras.layers.Layer):
    """A layer of someone else's whose parts are quantized: `layer` is the one itself.

    `quantize_model` makes it of layers that hold others, such as those of keras_hub. It is called as the layer is.

    >>> from keras_ste.optimization import quantize_model
    >>> class Twice(keras.layers.Layer):
    ...     def __init__(self, **kwargs):
    ...         super().__init__(**kwargs)
    ...         self.dense = keras.layers.Dense(3, name="dense")
    ...     def build(self, shape):
    ...         self.dense.build(shape)
    ...     def call(self, x):
    ...         return self.dense(self.dense(x))
    >>> model = keras.Sequential([keras.Input((3,)), Twice()])
    >>> quantize_model(model, "xnor").layers[0].layer.dense
    <QuantDense name=dense, built=True>
    """


@keras.saving.register_keras_serializable(package="keras_ste")
class QuantizedSubclassedModel(_WithQuantizedSublayers, keras.Model):
    """The same of a subclassed model: `layer` is the model itself, whose layers are quantized."""
