"""Batch normalization folded into the kernel before it is quantized: what the layers that do so share."""

from __future__ import annotations

import math
from typing import Any

import keras
import tensorflow as tf

from keras_ste.layers.common import QuantizedLayer
from keras_ste.quantizers import VariableQuantizer
from keras_ste.quantizers.common import widened

FOLDINGS = ("moving", "batch")


class BatchNormFolding:
    """Mixed in before a quantized layer of one product: batch normalization as a part of kernel and bias.

    With a mean and a variance for each output channel

        folded_kernel = kernel · γ / √(variance + ε)
        folded_bias = β + (bias - mean) · γ / √(variance + ε)
        y = activation(product(integers(x), integers(folded_kernel)) · scales + folded_bias)

    so that what is quantized in training is the kernel that the device has. Outside of training, mean and
    variance are the moving ones. In training they are those of the product of quantized inputs and float
    kernel over the batch, which makes a second product; gradients go through them as in Keras's
    `BatchNormalization`. `folding` says what the kernel is folded with meanwhile:

    * `"moving"`: the moving variance, as it was before the step, so that the quantized kernel does not
      jump from batch to batch. Its product is multiplied by √((moving variance + ε) / (batch variance + ε)),
      which makes it the batch's again: R. Krishnamoorthi, *Quantizing deep convolutional networks for
      efficient inference*, arXiv:1806.08342, section 3.2.2.
    * `"batch"`: the batch's variance: B. Jacob et al., *Quantization and Training of Neural Networks for
      Efficient Integer-Arithmetic-Only Inference*, arXiv:1712.05877, figure C.8.

    From the training step `freeze_after` on, mean and variance are the moving ones in training too, and
    stay as they are: training then computes what the device computes.

    All of it is computed in float32 at least. Like Keras's `BatchNormalization`, a layer that is not
    trainable uses the moving statistics and leaves them alone.

    Args:
        *args, **kwargs: of the quantized layer.
        folding: `"moving"` or `"batch"`.
        freeze_after: a number of training steps, or `None` for never. `steps` counts them.
        momentum, epsilon, ..., gamma_constraint: as for `keras.layers.BatchNormalization`.

    Attributes:
        plain_class: the quantized layer without the normalization.
    """

    plain_class: type
    quantized_weights = {"kernel_quantizer": "folded_kernel"}

    def __init__(
        self,
        *args: Any,
        folding: str = "moving",
        freeze_after: int | None = None,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        moving_mean_initializer: Any = "zeros",
        moving_variance_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        **kwargs: Any,
    ):
        super().__init__(*args, **kwargs)
        name = type(self).__name__
        if folding not in FOLDINGS:
            raise ValueError(f"{name}'s folding must be 'moving' or 'batch'. Received: {folding!r}.")
        if freeze_after is not None and not (isinstance(freeze_after, int) and freeze_after >= 0):
            raise ValueError(
                f"{name}'s freeze_after must be a number of steps or None. Received: {freeze_after!r}."
            )
        self.folding = folding
        self.freeze_after = freeze_after
        self.momentum = float(momentum)
        self.epsilon = float(epsilon)
        self.center = center
        self.scale = scale
        self.beta_initializer = keras.initializers.get(beta_initializer)
        self.gamma_initializer = keras.initializers.get(gamma_initializer)
        self.moving_mean_initializer = keras.initializers.get(moving_mean_initializer)
        self.moving_variance_initializer = keras.initializers.get(moving_variance_initializer)
        self.beta_regularizer = keras.regularizers.get(beta_regularizer)
        self.gamma_regularizer = keras.regularizers.get(gamma_regularizer)
        self.beta_constraint = keras.constraints.get(beta_constraint)
        self.gamma_constraint = keras.constraints.get(gamma_constraint)
        self.gamma = self.beta = None

    def build(self, input_shape):
        # Kernel and bias; their quantizers get the folded kernel, which there is not yet.
        super(QuantizedLayer, self).build(input_shape)
        if self.scale:
            rules = {"regularizer": self.gamma_regularizer, "constraint": self.gamma_constraint}
            self.gamma = self._add_vector("gamma", self.gamma_initializer, **rules)
        if self.center:
            rules = {"regularizer": self.beta_regularizer, "constraint": self.beta_constraint}
            self.beta = self._add_vector("beta", self.beta_initializer, **rules)
        self.moving_mean = self._add_vector("moving_mean", self.moving_mean_initializer, trainable=False)
        self.moving_variance = self._add_vector(
            "moving_variance", self.moving_variance_initializer, trainable=False
        )
        self.steps = self.add_weight(
            name="steps", shape=(), dtype="int64", initializer="zeros", trainable=False
        )
        self._build_quantizers({"input_quantizer": input_shape})

    def _add_vector(self, name, initializer, **arguments):
        """A variable with a number for each output channel."""
        channels = math.prod(self.kernel.shape[axis] for axis in self.output_axes)
        return self.add_weight(name=name, shape=(channels,), initializer=initializer, **arguments)

    def add_weight(self, *args, **kwargs):
        # Cast to half precision, the weights would be folded in half precision.
        return super().add_weight(*args, **{"autocast": False, **kwargs})

    # Keras's Dense and convolutions save kernel and bias, and nothing else.
    def save_own_variables(self, store):
        if self.built:
            for index, values in enumerate([self.kernel, *self._other_variables()]):
                store[str(index)] = values

    def load_own_variables(self, store):
        super().load_own_variables(store)
        if self.built:
            for index, variable in enumerate(self._other_variables(), 1):
                variable.assign(store[str(index)])

    def _other_variables(self):
        """All variables but the kernel."""
        variables = (self.bias, self.gamma, self.beta, self.moving_mean, self.moving_variance, self.steps)
        return [variable for variable in variables if variable is not None]

    @property
    def folded_kernel(self) -> tf.Tensor:
        """The kernel folded with the moving statistics, before it is quantized."""
        return self._fold_kernel(self._moving_statistics()[1])

    @property
    def folded_bias(self) -> tf.Tensor:
        """What is added to the product, with the moving statistics: one number for each output channel."""
        return self._fold_bias(*self._moving_statistics())

    @property
    def _added_bias(self):
        return tf.cast(self.folded_bias, self.compute_dtype)

    def _compute(self, inputs, training):
        if not (training and self.trainable):
            return super()._compute(inputs, training)
        x, x_scale = self._operand(inputs, training)
        _, moving_variance = self._moving_statistics()
        mean, variance = self._training_statistics(x, x_scale)
        fold_variance = moving_variance if self.folding == "moving" else variance
        (argument,) = self.quantized_weights
        kernel = self._fold_kernel(fold_variance)
        kernel, kernel_scale = self._weight_factors(argument, kernel, training, self.output_axes)
        outputs = self._scaled(self._product(x, kernel), kernel_scale, x_scale)
        # 1 exactly where the two are the same.
        correction = tf.sqrt((fold_variance + self.epsilon) / (variance + self.epsilon))
        outputs = outputs * self._along_channels(tf.cast(correction, outputs.dtype))
        return self._with_bias(outputs, tf.cast(self._fold_bias(mean, variance), outputs.dtype))

    def _training_statistics(self, x, x_scale):
        """Mean and variance that a training step uses; counts the step and moves the moving statistics."""
        moving = self._moving_statistics()
        if self.freeze_after is None:
            used = self._batch_statistics(x, x_scale)
            moved = self._moved(moving, used)
        else:
            frozen = tf.convert_to_tensor(self.steps) >= self.freeze_after
            used = tf.cond(frozen, lambda: moving, lambda: self._batch_statistics(x, x_scale))
            moved = [tf.where(frozen, *pair) for pair in zip(moving, self._moved(moving, used), strict=True)]
        self.moving_mean.assign(moved[0])
        self.moving_variance.assign(moved[1])
        self.steps.assign_add(1)
        return used

    def _moved(self, moving, batch):
        pairs = zip(moving, batch, strict=True)
        return [old * self.momentum + new * (1.0 - self.momentum) for old, new in pairs]

    def _batch_statistics(self, x, x_scale):
        """Mean and variance over the batch of what the float kernel and the bias make of quantized inputs."""
        kernel = tf.cast(tf.convert_to_tensor(self.kernel), self.compute_dtype)
        outputs = widened(self._scaled(self._product(x, kernel), None, x_scale))
        channels = 1 if getattr(self, "data_format", None) == "channels_first" else outputs.shape.rank - 1
        axes = [axis for axis in range(outputs.shape.rank) if axis != channels]
        mean, variance = keras.ops.moments(outputs, axes=axes)
        return (mean if self.bias is None else mean + _wide(self.bias)), variance

    def _moving_statistics(self):
        return _wide(self.moving_mean), _wide(self.moving_variance)

    def _gain(self, variance):
        """What the kernel is multiplied by, for each output channel."""
        gain = tf.math.rsqrt(variance + self.epsilon)
        return gain if self.gamma is None else gain * _wide(self.gamma)

    def _fold_kernel(self, variance):
        kernel = _wide(self.kernel)
        outputs = {axis % kernel.shape.rank for axis in self.output_axes}
        shape = [size if axis in outputs else 1 for axis, size in enumerate(kernel.shape)]
        return kernel * tf.reshape(self._gain(variance), shape)

    def _fold_bias(self, mean, variance):
        shift = -mean if self.bias is None else _wide(self.bias) - mean
        bias = shift * self._gain(variance)
        return bias if self.beta is None else bias + _wide(self.beta)

    def folded(self) -> QuantizedLayer:
        """The quantized layer without the normalization, whose kernel and bias are the folded ones.

        Outside of training it computes what this layer computes. Learned quantizers are copied.

        Raises:
            ValueError: the layer has no weights yet.
        """
        _check_built(self)
        config = {**super().get_config(), "use_bias": True}
        config.update({name: getattr(self, name) for name in self.quantizer_arguments})
        return _filled(self.plain_class, config, self, kernel=self.folded_kernel, bias=self.folded_bias)

    @classmethod
    def from_layers(
        cls, layer: keras.layers.Layer, batch_norm: keras.layers.BatchNormalization, **arguments: Any
    ) -> BatchNormFolding:
        """The layer that stands for a trained layer and the normalization behind it, with their weights.

        Args:
            layer: the Keras layer or the quantized one, without an activation.
            batch_norm: the normalization of its channels.
            **arguments: of the new layer, where they are to be others: quantizers, `activation`, `folding`.

        Raises:
            TypeError: layers of other classes.
            ValueError: one of them has no weights yet, something stands between them, or `batch_norm` has
                another axis or batch renormalization.
        """
        if isinstance(layer, BatchNormFolding) or not issubclass(cls, type(layer)):
            raise TypeError(f"{cls.__name__} does not stand for a {type(layer).__name__}.")
        if type(batch_norm) is not keras.layers.BatchNormalization:
            raise TypeError(
                f"from_layers needs a keras.layers.BatchNormalization. Received: {type(batch_norm).__name__}."
            )
        _check_pair(layer, batch_norm)
        config = {**layer.get_config(), **{name: getattr(batch_norm, name) for name in _BATCH_NORM}}
        del config["name"]
        for name in getattr(layer, "quantizer_arguments", ()):
            config[name] = getattr(layer, name)
        weights = {name: getattr(batch_norm, name) for name in ("gamma", "beta", "moving_mean", "moving_variance")}
        return _filled(cls, {**config, **arguments}, layer, kernel=layer.kernel, bias=layer.bias, **weights)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "folding": self.folding,
            "freeze_after": self.freeze_after,
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "center": self.center,
            "scale": self.scale,
            "beta_initializer": keras.initializers.serialize(self.beta_initializer),
            "gamma_initializer": keras.initializers.serialize(self.gamma_initializer),
            "moving_mean_initializer": keras.initializers.serialize(self.moving_mean_initializer),
            "moving_variance_initializer": keras.initializers.serialize(self.moving_variance_initializer),
            "beta_regularizer": keras.regularizers.serialize(self.beta_regularizer),
            "gamma_regularizer": keras.regularizers.serialize(self.gamma_regularizer),
            "beta_constraint": keras.constraints.serialize(self.beta_constraint),
            "gamma_constraint": keras.constraints.serialize(self.gamma_constraint),
        }


_BATCH_NORM = (
    "momentum",
    "epsilon",
    "center",
    "scale",
    "beta_initializer",
    "gamma_initializer",
    "moving_mean_initializer",
    "moving_variance_initializer",
    "beta_regularizer",
    "gamma_regularizer",
    "beta_constraint",
    "gamma_constraint",
)


def _wide(variable):
    return widened(tf.convert_to_tensor(variable))


def _check_built(layer):
    if not layer.built:
        raise ValueError(f"Layer '{layer.name}' has no weights yet: call it on data before it is folded.")


def _check_pair(layer, batch_norm):
    """Raises a ValueError where the two are no product and its normalization."""
    _check_built(layer)
    _check_built(batch_norm)
    if layer.activation is not keras.activations.linear or layer.activity_regularizer is not None:
        raise ValueError(
            f"Layer '{layer.name}' has an activation or an activity_regularizer, which stands between the product "
            "and its normalization. An activation behind them is an argument of the new layer."
        )
    axes = batch_norm.input_spec.ndim
    channels = 1 if getattr(layer, "data_format", None) == "channels_first" else axes - 1
    if batch_norm.axis % axes != channels or batch_norm.renorm:
        raise ValueError(
            f"Layer '{batch_norm.name}' must normalize axis {channels}, without batch renormalization. "
            f"Received: axis={batch_norm.axis}, renorm={batch_norm.renorm}."
        )


def _filled(cls, config, source, **weights):
    """A layer of this config, built as `source` was, with these weights and the source's quantizers' own."""
    for name in ("lora_rank", "lora_alpha"):
        config.pop(name, None)
    layer = cls.from_config(config)
    layer.build_from_config(source.get_build_config())
    for name, values in weights.items():
        if values is not None:
            getattr(layer, name).assign(values)
    for name in getattr(source, "quantizer_arguments", ()):
        quantizer, copy = getattr(source, name), getattr(layer, name)
        if isinstance(quantizer, VariableQuantizer) and type(copy) is type(quantizer):
            copy.set_weights(quantizer.get_weights())
    return layer
