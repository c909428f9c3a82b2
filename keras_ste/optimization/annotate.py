"""`quantize_annotate_layer`: marks the layers of a model that `quantize_apply` is to quantize."""

from __future__ import annotations

from typing import Any

import keras

from keras_ste.optimization.schemes import LayerScheme


@keras.saving.register_keras_serializable(package="keras_ste")
class QuantizeAnnotate(keras.layers.Wrapper):
    """A layer with a mark: it computes what the layer does, until `quantize_apply` replaces it.

    Args:
        layer: the layer.
        layer_scheme: what is to quantize it, or `None` for what the scheme says that is applied.
    """

    def __init__(self, layer: keras.layers.Layer, layer_scheme: LayerScheme | None = None, **kwargs: Any):
        super().__init__(layer, **{"name": f"annotated_{layer.name}", **kwargs})
        self.layer_scheme = layer_scheme

    def call(self, inputs, *args, **kwargs):
        return self.layer(inputs, *args, **kwargs)

    def compute_output_shape(self, input_shape):
        return self.layer.compute_output_shape(input_shape)

    def get_config(self) -> dict[str, Any]:
        scheme = None if self.layer_scheme is None else self.layer_scheme.get_config()
        return {**super().get_config(), "layer_scheme": scheme}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> QuantizeAnnotate:
        config = dict(config)
        layer = keras.saving.deserialize_keras_object(config.pop("layer"), custom_objects=custom_objects)
        scheme = config.pop("layer_scheme")
        return cls(layer, None if scheme is None else LayerScheme(**scheme), **config)


def quantize_annotate_layer(layer: keras.layers.Layer, layer_scheme: LayerScheme | None = None) -> QuantizeAnnotate:
    """Marks a layer for `quantize_apply`, as `tfmot.quantization.keras.quantize_annotate_layer` does.

    Args:
        layer: a layer, built or not, which goes into the model in this form.
        layer_scheme: what is to quantize it; by default what the scheme says that is applied.

    Raises:
        TypeError: not a Keras layer, or not a `LayerScheme`.

    >>> from keras_ste.optimization import quantize_apply
    >>> model = keras.Sequential([
    ...     keras.Input((4,)), quantize_annotate_layer(keras.layers.Dense(8)), keras.layers.Dense(2)])
    >>> [type(layer).__name__ for layer in quantize_apply(model, "int8").layers]
    ['QuantDense', 'Dense']
    """
    if not isinstance(layer, keras.layers.Layer):
        raise TypeError(f"quantize_annotate_layer marks Keras layers. Received: {layer!r}.")
    if not (layer_scheme is None or isinstance(layer_scheme, LayerScheme)):
        raise TypeError(f"A layer_scheme must be a LayerScheme or None. Received: {layer_scheme!r}.")
    return QuantizeAnnotate(layer, layer_scheme)
