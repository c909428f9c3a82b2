"""`QuantizeConfig`s: which weights, inputs and outputs of a tf_keras layer are quantized, and how."""

from __future__ import annotations

from typing import Any

import tensorflow_model_optimization as tfmot
import tf_keras

from keras_ste import layers, quantizers
from keras_ste.optimization.tfmot.quantizers import ActivationQuantizer, WeightQuantizer


class SteQuantizeConfig(tfmot.quantization.keras.QuantizeConfig):
    """What the configs share.

    Attributes:
        layer_types: the tf_keras layers it is for.
        weight_attributes: the quantizer arguments, and the attribute of the layer that each is for.
        counterparts: the Keras 3 layer that computes the same, by the class of the tf_keras layer.
        output_axes: of each, the axis that counts the output channels.
    """

    layer_types: tuple[type, ...] = (tf_keras.layers.Layer,)
    weight_attributes: dict[str, str] = {}
    counterparts: dict[type, type] = {}
    output_axes: dict[str, int] = {}

    def __init__(
        self,
        weights: dict[str, Any],
        input_quantizer: Any = None,
        output_quantizer: Any = None,
        preserve_sparsity: bool = False,
        clusters: int | None = None,
    ):
        self.weight_quantizers = {
            argument: None if value is None else WeightQuantizer(value, preserve_sparsity, clusters)
            for argument, value in weights.items()
        }
        self.input_quantizer = None if input_quantizer is None else ActivationQuantizer(input_quantizer)
        self.output_quantizer = None if output_quantizer is None else ActivationQuantizer(output_quantizer)
        self.preserve_sparsity, self.clusters = preserve_sparsity, clusters
        # Set by the wrapper that quantizes inputs.
        self.quantizes_inputs = False

    def quantized(self, layer: Any) -> list[tuple[str, WeightQuantizer]]:
        """The attributes of the weights that are quantized, and their quantizers."""
        return [
            (self.weight_attributes[argument], quantizer)
            for argument, quantizer in self.weight_quantizers.items()
            if quantizer is not None
        ]

    def get_weights_and_quantizers(self, layer: Any) -> list[tuple[Any, WeightQuantizer]]:
        """Raises: TypeError: the config is for other layers. ValueError: it has an input quantizer, and the scheme that
        `quantize_apply` was given quantizes no inputs."""
        self.check(layer)
        if self.input_quantizer is not None and not self.quantizes_inputs:
            raise ValueError(
                f"The config of layer '{layer.name}' has an input_quantizer, which tensorflow-model-optimization knows "
                "nothing of: quantize_apply(model, scheme=keras_ste.optimization.tfmot.QuantizeScheme(...)) does."
            )
        return [(getattr(layer, attribute), quantizer) for attribute, quantizer in self.quantized(layer)]

    def check(self, layer: Any) -> None:
        """Raises: TypeError: the config is for other layers."""
        if not isinstance(layer, self.layer_types):
            names = ", ".join(cls.__name__ for cls in self.layer_types)
            raise TypeError(
                f"{type(self).__name__} is for {names} of tf_keras. Received: layer '{layer.name}' of class "
                f"{type(layer).__name__}."
            )

    def set_quantize_weights(self, layer: Any, quantize_weights: list) -> None:
        for (attribute, _), values in zip(self.quantized(layer), quantize_weights, strict=True):
            setattr(layer, attribute, values)

    # In tensorflow-model-optimization's QuantizeAwareActivation, a quantizer does not learn the shape of what it
    # quantizes, and stands before some activations. What a layer gives is quantized as its output instead.
    def get_activations_and_quantizers(self, layer: Any) -> list:
        return []

    def set_quantize_activations(self, layer: Any, quantize_activations: list) -> None:
        pass

    def get_output_quantizers(self, layer: Any) -> list[ActivationQuantizer]:
        return [] if self.output_quantizer is None else [self.output_quantizer]

    def get_config(self) -> dict[str, Any]:
        own = {argument: _serialized(value) for argument, value in self.weight_quantizers.items()}
        own["input_quantizer"] = _serialized(self.input_quantizer)
        own["output_quantizer"] = _serialized(self.output_quantizer)
        return {**own, "preserve_sparsity": self.preserve_sparsity, "clusters": self.clusters}


def _serialized(quantizer):
    return None if quantizer is None else quantizers.serialize(quantizer.quantizer)


class _KernelConfig(SteQuantizeConfig):
    weight_attributes = {"kernel_quantizer": "kernel"}
    output_axes = {"kernel_quantizer": -1}

    def __init__(
        self,
        kernel_quantizer: Any,
        input_quantizer: Any = None,
        output_quantizer: Any = None,
        preserve_sparsity: bool = False,
        clusters: int | None = None,
    ):
        weights = {"kernel_quantizer": kernel_quantizer}
        super().__init__(weights, input_quantizer, output_quantizer, preserve_sparsity, clusters)


@tf_keras.saving.register_keras_serializable(package="keras_ste")
class DenseQuantizeConfig(_KernelConfig):
    """Quantizes a `tf_keras.layers.Dense`.

    Args:
        kernel_quantizer: the name, config or object of a `keras_ste.quantizers.Quantizer`.
        input_quantizer: the same for what the kernel is multiplied by, or `None`. Needs `QuantizeScheme`.
        output_quantizer: the same for the layer's output, behind its activation, or `None`.
        preserve_sparsity, clusters: as of `WeightQuantizer`.

    Raises:
        ValueError, TypeError: as `WeightQuantizer`; when it is applied, `TypeError` for another layer.

    >>> import tensorflow_model_optimization as tfmot
    >>> config = DenseQuantizeConfig("ste_sign", input_quantizer="ste_sign")
    >>> layer = tfmot.quantization.keras.quantize_annotate_layer(tf_keras.layers.Dense(2), config)
    """

    layer_types = (tf_keras.layers.Dense,)
    counterparts = {tf_keras.layers.Dense: layers.QuantDense}


@tf_keras.saving.register_keras_serializable(package="keras_ste")
class ConvQuantizeConfig(_KernelConfig):
    """Quantizes a `tf_keras.layers.Conv1D` or `Conv2D`; arguments as of `DenseQuantizeConfig`.

    >>> ConvQuantizeConfig("bitnet_ternary").get_config()["clusters"] is None
    True
    """

    layer_types = (tf_keras.layers.Conv1D, tf_keras.layers.Conv2D)
    counterparts = {tf_keras.layers.Conv1D: layers.QuantConv1D, tf_keras.layers.Conv2D: layers.QuantConv2D}

    def check(self, layer):
        super().check(layer)
        # Subclasses of Conv2D that compute something else.
        if isinstance(layer, (*ConvTransposeQuantizeConfig.layer_types, *DepthwiseConvQuantizeConfig.layer_types)):
            other = ConvTransposeQuantizeConfig if "Transpose" in type(layer).__name__ else DepthwiseConvQuantizeConfig
            raise TypeError(f"Layer '{layer.name}' is a {type(layer).__name__}: that takes a {other.__name__}.")


@tf_keras.saving.register_keras_serializable(package="keras_ste")
class ConvTransposeQuantizeConfig(_KernelConfig):
    """Quantizes a `tf_keras.layers.Conv1DTranspose` or `Conv2DTranspose`; arguments as of `DenseQuantizeConfig`.

    The kernel's output channels are its axis -2.

    >>> ConvTransposeQuantizeConfig("ste_sign").output_axes
    {'kernel_quantizer': -2}
    """

    layer_types = (tf_keras.layers.Conv1DTranspose, tf_keras.layers.Conv2DTranspose)
    counterparts = {
        tf_keras.layers.Conv1DTranspose: layers.QuantConv1DTranspose,
        tf_keras.layers.Conv2DTranspose: layers.QuantConv2DTranspose,
    }
    output_axes = {"kernel_quantizer": -2}


@tf_keras.saving.register_keras_serializable(package="keras_ste")
class DepthwiseConvQuantizeConfig(SteQuantizeConfig):
    """Quantizes a `tf_keras.layers.DepthwiseConv1D` or `DepthwiseConv2D`.

    Args:
        depthwise_quantizer: for the depthwise kernel, whose channels are its axis -2.
        input_quantizer, output_quantizer, preserve_sparsity, clusters: as of `DenseQuantizeConfig`.

    Raises:
        ValueError, TypeError: as `DenseQuantizeConfig`.

    >>> DepthwiseConvQuantizeConfig("ste_sign").weight_attributes
    {'depthwise_quantizer': 'depthwise_kernel'}
    """

    layer_types = (tf_keras.layers.DepthwiseConv1D, tf_keras.layers.DepthwiseConv2D)
    weight_attributes = {"depthwise_quantizer": "depthwise_kernel"}
    counterparts = {
        tf_keras.layers.DepthwiseConv1D: layers.QuantDepthwiseConv1D,
        tf_keras.layers.DepthwiseConv2D: layers.QuantDepthwiseConv2D,
    }
    output_axes = {"depthwise_quantizer": -2}

    def __init__(
        self,
        depthwise_quantizer: Any,
        input_quantizer: Any = None,
        output_quantizer: Any = None,
        preserve_sparsity: bool = False,
        clusters: int | None = None,
    ):
        weights = {"depthwise_quantizer": depthwise_quantizer}
        super().__init__(weights, input_quantizer, output_quantizer, preserve_sparsity, clusters)


@tf_keras.saving.register_keras_serializable(package="keras_ste")
class SeparableConvQuantizeConfig(SteQuantizeConfig):
    """Quantizes a `tf_keras.layers.SeparableConv1D` or `SeparableConv2D`.

    Args:
        depthwise_quantizer, pointwise_quantizer: for the two kernels, either of which may be `None`.
        input_quantizer, output_quantizer, preserve_sparsity, clusters: as of `DenseQuantizeConfig`.

    Raises:
        ValueError, TypeError: as `DenseQuantizeConfig`.

    >>> list(SeparableConvQuantizeConfig("ste_sign", "ste_sign").weight_attributes.values())
    ['depthwise_kernel', 'pointwise_kernel']
    """

    layer_types = (tf_keras.layers.SeparableConv1D, tf_keras.layers.SeparableConv2D)
    weight_attributes = {"depthwise_quantizer": "depthwise_kernel", "pointwise_quantizer": "pointwise_kernel"}
    counterparts = {
        tf_keras.layers.SeparableConv1D: layers.QuantSeparableConv1D,
        tf_keras.layers.SeparableConv2D: layers.QuantSeparableConv2D,
    }
    output_axes = {"depthwise_quantizer": -2, "pointwise_quantizer": -1}

    def __init__(
        self,
        depthwise_quantizer: Any,
        pointwise_quantizer: Any,
        input_quantizer: Any = None,
        output_quantizer: Any = None,
        preserve_sparsity: bool = False,
        clusters: int | None = None,
    ):
        weights = {"depthwise_quantizer": depthwise_quantizer, "pointwise_quantizer": pointwise_quantizer}
        super().__init__(weights, input_quantizer, output_quantizer, preserve_sparsity, clusters)


class _OutputConfig(SteQuantizeConfig):
    def __init__(self, output_quantizer: Any = None):
        super().__init__({}, output_quantizer=output_quantizer)

    def get_config(self):
        return {"output_quantizer": _serialized(self.output_quantizer)}


@tf_keras.saving.register_keras_serializable(package="keras_ste")
class ActivationQuantizeConfig(_OutputConfig):
    """Quantizes what an activation, or any layer with one output, gives.

    Args:
        output_quantizer: the name, config or object of a `keras_ste.quantizers.Quantizer`; `None` leaves the layer as
            it is.

    Raises:
        ValueError, TypeError: as `ActivationQuantizer`.

    >>> ActivationQuantizeConfig("dorefa_activation").get_weights_and_quantizers(tf_keras.layers.ReLU())
    []
    """


@tf_keras.saving.register_keras_serializable(package="keras_ste")
class BatchNormQuantizeConfig(_OutputConfig):
    """For a `tf_keras.layers.BatchNormalization`, whose weights stay in float: the converter folds them into its neighbours.

    Args:
        output_quantizer: as of `ActivationQuantizeConfig`.

    >>> BatchNormQuantizeConfig().get_output_quantizers(tf_keras.layers.BatchNormalization())
    []
    """

    layer_types = (tf_keras.layers.BatchNormalization,)


PRODUCTS: tuple[type[SteQuantizeConfig], ...] = (
    DenseQuantizeConfig,
    ConvTransposeQuantizeConfig,
    DepthwiseConvQuantizeConfig,
    SeparableConvQuantizeConfig,
    ConvQuantizeConfig,
)


def config_class(layer: Any) -> type[SteQuantizeConfig] | None:
    """The config of a layer of exactly one of the classes that have a counterpart, or `None`."""
    return next((config for config in PRODUCTS if type(layer) in config.counterparts), None)
