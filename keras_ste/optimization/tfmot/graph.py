"""Where in a tf_keras model its layers stand, and what enters them."""

from __future__ import annotations

import functools
from typing import Any

import tf_keras

from keras_ste.optimization.tfmot.configs import PRODUCTS

_L = tf_keras.layers
_NONNEGATIVE = ("relu", "relu6", "sigmoid", "hard_sigmoid", "softmax", "softplus", "exponential")
# What they give is not negative where nothing of what they get is.
_KEEPING = (
    _L.Flatten, _L.Reshape, _L.Permute, _L.Dropout, _L.SpatialDropout1D, _L.SpatialDropout2D, _L.Add, _L.Average, _L.Maximum,
    _L.Multiply, _L.Concatenate, _L.ZeroPadding1D, _L.ZeroPadding2D, _L.Cropping1D, _L.Cropping2D, _L.UpSampling1D,
    _L.UpSampling2D, _L.MaxPooling1D, _L.MaxPooling2D, _L.AveragePooling1D, _L.AveragePooling2D, _L.GlobalMaxPooling1D,
    _L.GlobalMaxPooling2D, _L.GlobalAveragePooling1D, _L.GlobalAveragePooling2D,
)  # fmt: skip


class Graph:
    """A Sequential or functional model of tf_keras.

    Args:
        model: the model, with weights.
        annotated: the names of layers; those that the model has are kept in its order.

    Attributes:
        layers: by name.
        annotated: the names of annotated layers.
    """

    def __init__(self, model: Any, annotated: set[str]):
        self.layers = {layer.name: layer for layer in model.layers if not isinstance(layer, _L.InputLayer)}
        self.annotated = [name for name in self.layers if name in annotated]
        self._before: dict[str, list[str]] = {name: [] for name in self.layers}
        self._behind: dict[str, list[str]] = {name: [] for name in self.layers}
        for nodes in model._nodes_by_depth.values():
            for node in nodes:
                for parent in node.parent_nodes:
                    if node.layer.name in self.layers and parent.layer.name in self.layers:
                        self._before[node.layer.name].append(parent.layer.name)
                        self._behind[parent.layer.name].append(node.layer.name)

    def is_first(self, name: str) -> bool:
        """Whether no product of another layer comes into this one."""
        return not self._reaches_product(name, self._before)

    def is_last(self, name: str) -> bool:
        """Whether no product of another layer comes after this one."""
        return not self._reaches_product(name, self._behind)

    def _reaches_product(self, name, neighbours):
        seen, waiting = set(), list(neighbours[name])
        while waiting:
            other = waiting.pop()
            if isinstance(self.layers[other], _PRODUCT_TYPES):
                return True
            if other not in seen:
                seen.add(other)
                waiting += neighbours[other]
        return False

    def nonnegative(self, name: str) -> bool:
        """Whether nothing that enters the layer is negative."""
        before = self._before[name]
        return bool(before) and all(self._gives_nonnegative(other) for other in before)

    @functools.cache  # noqa: B019: lives as long as a call of quantize_apply
    def _gives_nonnegative(self, name):
        layer = self.layers[name]
        if isinstance(layer, _L.ReLU):
            return not layer.negative_slope and layer.threshold >= 0
        if getattr(getattr(layer, "activation", None), "__name__", None) in _NONNEGATIVE:
            return True
        return isinstance(layer, (_L.Softmax, *_KEEPING)) and (isinstance(layer, _L.Softmax) or self.nonnegative(name))


_PRODUCT_TYPES = tuple(kind for config in PRODUCTS for kind in config.layer_types)
