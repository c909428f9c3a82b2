"""The wrapper of a quantized layer: tensorflow-model-optimization's, which computes as the Keras 3 layers here do."""

from __future__ import annotations

import inspect
from typing import Any

import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras
from tensorflow_model_optimization.python.core.keras import utils as tfmot_utils

from keras_ste.estimators.schedules import Schedule
from keras_ste.layers import QuantActivation
from keras_ste.optimization.tfmot.configs import SteQuantizeConfig
from keras_ste.optimization.tfmot.counterparts import quantized_counterpart


@tf_keras.saving.register_keras_serializable(package="keras_ste")
class SteQuantizeWrapper(tfmot.quantization.keras.QuantizeWrapperV2):
    """tfmot's wrapper, whose call is that of the quantized Keras 3 layer: integers first, scales and bias behind them.

    `QuantizeScheme` puts it around layers in place of tfmot's own: it quantizes inputs too, is loaded from `.keras` files, computes what the device
    computes, bit for bit, emits the device's ops when the model is converted, leaves the latent weights where they were
    (`wrapper.layer.kernel` stays a variable), and is not trained where the layer is frozen.

    Args:
        layer: a layer of tf_keras.
        quantize_config: a `SteQuantizeConfig` for it.
        **kwargs: as for tfmot's.

    Raises:
        TypeError: the config is for another layer.
    """

    def build(self, input_shape: Any) -> None:
        config, layer = self.quantize_config, self.layer
        config.quantizes_inputs = True
        if not layer.built:
            # Before tfmot lists its weights, so that they have one order in a wrapper that is made and one that is loaded.
            layer.build(input_shape)
            layer.built = True
        super().build(input_shape)
        self._input_quantizer_vars = None
        if config.input_quantizer is not None:
            self._input_quantizer_vars = config.input_quantizer.build(input_shape, "input", self)
        # Keras 3 layers, which tf_keras is not to track: they have no variables of their own.
        self.__dict__["_counterpart"] = self._made_of_own_weights(input_shape) if config.weight_attributes else None
        self.__dict__["_output_counterpart"] = None
        if config.output_quantizer is not None:
            quantizer = config.output_quantizer.bound(self._output_quantizer_vars)
            self.__dict__["_output_counterpart"] = QuantActivation(quantizer, name=f"{layer.name}_output")

    def _made_of_own_weights(self, input_shape):
        config, layer = self.quantize_config, self.layer
        given = {}
        quantized = [argument for argument, value in config.weight_quantizers.items() if value is not None]
        for argument, (_, quantizer, variables) in zip(quantized, self._weight_vars, strict=True):
            given[argument] = quantizer.bound(variables)
        source = None
        if config.input_quantizer is not None:
            source = config.input_quantizer.bound(self._input_quantizer_vars)
        counterpart = quantized_counterpart(layer, config, given, source)

        def add_weight(*args, name=None, **kwargs):
            if name == "kernel" and not hasattr(layer, "kernel"):
                name = "depthwise_kernel"
            return getattr(layer, name)

        counterpart.add_weight = add_weight
        counterpart.build(tuple(input_shape))
        return counterpart

    @property
    def quantized_weights(self) -> dict[str, Any]:
        """What the layer computes with outside of training, scales included, by the names of the latent weights."""
        return {
            self._weight_name(weight.name): quantizer(weight, False, variables)
            for weight, quantizer, variables in self._weight_vars
        }

    # There is nothing to convert, and it takes long.
    @tf.autograph.experimental.do_not_convert
    def call(self, inputs: Any, training: Any = None) -> Any:
        if training is None:
            training = tf_keras.backend.learning_phase()
        return tfmot_utils.smart_cond(
            training, lambda: self._quantized_call(inputs, True), lambda: self._quantized_call(inputs, False)
        )

    def _quantized_call(self, inputs, training):
        if self._counterpart is None:
            outputs = self._plain_call(inputs, training)
        else:
            outputs = self._counterpart.call(inputs, training=training)
        return outputs if self._output_counterpart is None else self._output_counterpart.call(outputs, training=training)

    def _plain_call(self, inputs, training):
        takes_training = "training" in inspect.signature(self.layer.call).parameters
        return self.layer.call(inputs, training=training) if takes_training else self.layer.call(inputs)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return self.layer.compute_output_shape(input_shape)

    @property
    def trainable_weights(self) -> list:
        return super().trainable_weights if self.trainable else []

    @property
    def non_trainable_weights(self) -> list:
        weights = super().non_trainable_weights
        return weights if self.trainable else self._dedup_weights(super().trainable_weights + weights)


def schedules_of(model: Any) -> list[Schedule]:
    """The schedules of the surrogates in a model of tf_keras.

    `keras_ste.training.SurrogateScheduler` is for Keras 3. Here, set `schedule.progress`, from 0 to 1, in a
    `tf_keras.callbacks.LambdaCallback`.

    Args:
        model: a quantized model of tf_keras.
    """
    found = []
    for layer in model.layers:
        config = getattr(layer, "quantize_config", None)
        if isinstance(config, SteQuantizeConfig):
            given = (*config.weight_quantizers.values(), config.input_quantizer, config.output_quantizer)
            for quantizer in given:
                found += [] if quantizer is None else quantizer.schedules()
    return found
