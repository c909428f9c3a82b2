"""`QuantizeScheme`: how `tfmot.quantization.keras.quantize_apply` makes a tf_keras model binary or k-bit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow_model_optimization as tfmot
import tf_keras
from tensorflow_model_optimization.python.core.clustering.keras.cluster_wrapper import ClusterWeights
from tensorflow_model_optimization.python.core.quantization.keras import quantize_wrapper
from tensorflow_model_optimization.python.core.sparsity.keras.pruning_wrapper import PruneLowMagnitude

from keras_ste.optimization import schemes
from keras_ste.optimization.counterparts import fresh
from keras_ste.optimization.tfmot import graph
from keras_ste.optimization.tfmot.configs import SteQuantizeConfig, config_class
from keras_ste.optimization.tfmot.counterparts import check_stripped
from keras_ste.optimization.tfmot.wrapper import SteQuantizeWrapper


class QuantizeScheme(tfmot.quantization.keras.QuantizeScheme):
    """A scheme for `tfmot.quantization.keras.quantize_apply`, in the quantizers of keras_ste.

    Of the annotated layers, those with a kernel are wrapped in `SteQuantizeWrapper`s: `Dense`, `Conv1D`, `Conv2D`,
    `Conv1DTranspose`, `Conv2DTranspose`, `DepthwiseConv1D`, `DepthwiseConv2D`, `SeparableConv1D` and `SeparableConv2D`.
    Layers that were annotated with a config keep theirs. Batch normalizations, activations, poolings and all that has no
    kernel stay as they are, and so does the graph: nothing is quantized but kernels and what they are multiplied by.

    Args:
        scheme: a scheme of `keras_ste.optimization`: its name, as `"lsq(4, 4)"`, a `Scheme`, or a `LayerScheme`. Classes
            that its rules name are those of tf_keras.
        preserve_sparsity: whether weights that are 0 stay 0, as behind `tfmot.sparsity.keras.strip_pruning`.
        clusters: their number, where weights that are equal are to stay so, as behind
            `tfmot.clustering.keras.strip_clustering`.

    Raises:
        ValueError: an unknown name, a rule for a Keras 3 class, or a scheme that folds batch normalizations, quantizes what
            layers merge, or has further arguments for layers; when it is applied, annotated layers with a kernel that
            cannot be quantized, weights that have not the clusters said, or as of `WeightQuantizer`.
        TypeError: no scheme.

    >>> import tensorflow_model_optimization as tfmot
    >>> import tf_keras
    >>> model = tf_keras.Sequential([tf_keras.layers.Dense(4, input_shape=(8,)), tf_keras.layers.Dense(2)])
    >>> annotated = tfmot.quantization.keras.quantize_annotate_model(model)
    >>> scheme = QuantizeScheme(schemes.binary(first=None))
    >>> quantized = tfmot.quantization.keras.quantize_apply(annotated, scheme=scheme)
    >>> [type(layer).__name__ for layer in quantized.layers]
    ['Dense', 'SteQuantizeWrapper']
    """

    def __init__(self, scheme: Any, preserve_sparsity: bool = False, clusters: int | None = None):
        self.scheme = schemes.get(scheme)
        self.preserve_sparsity, self.clusters = preserve_sparsity, clusters
        for field, meaning in (("merge", "quantizers for what layers merge"), ("fold_batch_norm", "folding")):
            if getattr(self.scheme, field):
                raise ValueError(
                    f"The scheme {self.scheme.name!r} has {field}={getattr(self.scheme, field)!r}: there is no {meaning} in "
                    "tf_keras models, only in Keras 3 (keras_ste.optimization.quantize_model)."
                )
        for rule in self.scheme.rules:
            classes = rule.match if isinstance(rule.match, tuple) else (rule.match,)
            if any(isinstance(cls, type) and issubclass(cls, keras.layers.Layer) for cls in classes):
                raise ValueError(f"A rule is for {rule.match!r} of Keras 3, which no layer of a tf_keras model is: name tf_keras's.")

    def get_layout_transformer(self) -> LayoutTransform:
        return LayoutTransform(self.get_quantize_registry())

    def get_quantize_registry(self) -> QuantizeRegistry:
        return QuantizeRegistry(self)


class QuantizeRegistry(tfmot.quantization.keras.QuantizeRegistry):
    """The configs of a scheme for layers.

    Args:
        scheme: a `QuantizeScheme`.

    >>> registry = QuantizeScheme("bitnet").get_quantize_registry()
    >>> type(registry.get_quantize_config(tf_keras.layers.Conv2D(2, 3))).__name__
    'ConvQuantizeConfig'
    >>> registry.get_quantize_config(tf_keras.layers.Flatten()) is None
    True
    """

    def __init__(self, scheme: QuantizeScheme):
        self.scheme = scheme

    def supports(self, layer: Any) -> bool:
        """Whether `quantize_apply` is to quantize what a layer gives that was not annotated: never.

        It asks for the layers before annotated ones. Here, those have quantizers for their inputs.
        """
        return False

    def get_quantize_config(
        self, layer: Any, first: bool = False, last: bool = False, nonnegative: bool = False
    ) -> SteQuantizeConfig | None:
        """The config of a layer, or `None` where it is not quantized.

        Args:
            layer: a layer of tf_keras.
            first, last: whether it stands next to inputs or outputs of the model.
            nonnegative: whether nothing that enters it is negative.
        """
        cls = config_class(layer)
        chosen = None if cls is None else self.scheme.scheme.of_layer(layer, layer.name, first, last)
        if chosen is None:
            return None
        if chosen.arguments:
            raise ValueError(
                f"The scheme has further arguments for layer '{layer.name}', {dict(chosen.arguments)!r}: in tf_keras, layers "
                "have quantizers for weights and inputs alone."
            )
        weights = {argument: fresh(chosen.weights, axis) for argument, axis in cls.output_axes.items()}
        return cls(
            **weights,
            input_quantizer=chosen.nonnegative_inputs if nonnegative else chosen.inputs,
            preserve_sparsity=self.scheme.preserve_sparsity,
            clusters=self.scheme.clusters,
        )


class LayoutTransform(tfmot.quantization.keras.QuantizeLayoutTransform):
    """Leaves the layout of a model as it is, and wraps its layers with a kernel in `SteQuantizeWrapper`s.

    Args:
        registry: a `QuantizeRegistry`.
    """

    def __init__(self, registry: QuantizeRegistry):
        self.registry = registry

    def apply(self, model: Any, layer_quantize_map: Mapping[str, Mapping[str, Any]]) -> tuple[Any, dict[str, Any]]:
        """The model with its layers wrapped, and the map of what `quantize_apply` is left to wrap.

        Raises:
            ValueError: layers with a kernel that cannot be quantized, or without the clusters that the scheme says.
            TypeError: a layer was annotated with a config for another one.
        """
        found = graph.Graph(model, set(layer_quantize_map))
        configs = {name: self._config(found, name, layer_quantize_map[name]) for name in found.annotated}
        lacking = [found.layers[name] for name, config in configs.items() if config is None and _has_other_kernel(found.layers[name])]
        if lacking:
            refused = ", ".join(f"'{layer.name}' ({type(layer).__name__})" for layer in lacking)
            raise ValueError(
                f"The scheme cannot quantize these annotated layers with weights: {refused}. Annotate only the "
                "others (tfmot.quantization.keras.quantize_annotate_layer), or annotate them with a QuantizeConfig."
            )

        def wrapped(layer):
            config = configs.get(layer.name)
            if not isinstance(config, SteQuantizeConfig):
                return layer
            config.check(layer)
            _check_clusters(layer, config)
            return SteQuantizeWrapper(layer, config)

        left = {
            name: {"quantize_config": config}
            for name, config in configs.items()
            if config is not None and not isinstance(config, SteQuantizeConfig)
        }
        return tf_keras.models.clone_model(model, clone_function=wrapped), left

    def _config(self, found, name, entry):
        layer, given = found.layers[name], entry.get("quantize_config")
        check_stripped(layer)
        if given is not None or isinstance(layer, quantize_wrapper.QuantizeWrapper):
            return given
        return self.registry.get_quantize_config(layer, found.is_first(name), found.is_last(name), found.nonnegative(name))


def _has_other_kernel(layer):
    """Whether the layer has weights of several axes, and no config."""
    if config_class(layer) is not None or isinstance(layer, tf_keras.layers.PReLU):
        return False
    return any(len(weight.shape) > 1 for weight in layer.trainable_weights)


def _check_clusters(layer, config):
    for attribute, quantizer in config.quantized(layer):
        count = len(np.unique(getattr(layer, attribute).numpy()))
        if quantizer.clusters and count > quantizer.clusters:
            raise ValueError(
                f"clusters={quantizer.clusters}, but {attribute} of layer '{layer.name}' has {count} different values: "
                "cluster it with tfmot.clustering.keras.cluster_weights and strip_clustering before."
            )


def quantize_scope(*args: Mapping[str, Any]) -> Any:
    """The scope in which quantized tf_keras models are applied, cloned and loaded: tfmot's, those of pruning and clustering too.

    What this package adds is registered with tf_keras, and known in any scope.

    Args:
        *args: further custom objects by their names, as for `tfmot.quantization.keras.quantize_scope`.

    >>> with quantize_scope():
    ...     tf_keras.utils.get_registered_object("keras_ste>SteQuantizeWrapper").__name__
    'SteQuantizeWrapper'
    """
    # So that a model that is not yet stripped is cloned, and then refused with a reason.
    wrappers = {"PruneLowMagnitude": PruneLowMagnitude, "ClusterWeights": ClusterWeights}
    return tfmot.quantization.keras.quantize_scope(wrappers, *args)
