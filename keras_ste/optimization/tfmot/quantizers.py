"""The package's quantizers as tensorflow-model-optimization's, with variables that are weights of tf_keras layers."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras

from keras_ste import quantizers
from keras_ste.estimators.schedules import Schedule
from keras_ste.estimators.surrogates import Surrogate
from keras_ste.layers import export
from keras_ste.optimization.tfmot.preserved import Preserved
from keras_ste.quantizers.integers import RANDOM


class SteQuantizer(tfmot.quantization.keras.quantizers.Quantizer):
    """What the two below share: a `keras_ste` quantizer, copied for each tensor that it is built for.

    A copy is a Keras 3 object, and tf_keras would neither train nor save what it has: so all its variables are made
    by the tf_keras layer's `add_weight`.
    """

    def __init__(self, quantizer: Any):
        found = quantizers.get(quantizer)
        if not isinstance(found, quantizers.Quantizer):
            raise TypeError(
                f"{type(self).__name__} takes a quantizer of keras_ste: its name, config or object. Received: {quantizer!r}."
            )
        self.quantizer = found
        self._built: dict[Any, quantizers.Quantizer] = {}

    def build(self, tensor_shape: Any, name: str, layer: Any) -> dict[str, tf.Variable]:
        """Makes a copy of the quantizer, whose variables are weights of `layer`.

        Raises:
            ValueError: the quantizer has a variable for each channel, and the shape is not known; or the layer
                computes in another type than float32.
        """
        if layer.compute_dtype != "float32":
            raise ValueError(
                f"Layer '{layer.name}' computes in {layer.compute_dtype}, which would round weights before they are "
                "quantized: quantize a float32 model of tf_keras."
            )
        _list_layer_weights(layer)
        bound, variables = _bound_copy(self.quantizer, self._shape(tensor_shape), name, layer)
        bound, more = self._finished(bound, tensor_shape, name, layer)
        variables |= more
        self._built[_key(variables)] = bound
        return variables

    def __call__(self, inputs: Any, training: bool, weights: dict[str, tf.Variable], **kwargs: Any) -> tf.Tensor:
        """The quantized tensor. `weights` is what `build` returned.

        Raises:
            ValueError: `keras_ste.convert` is at work, which packs nothing of tfmot's own wrapper.
        """
        if export.is_exporting():
            raise ValueError(
                f"A layer with the quantizer {self.quantizer.name} is in tensorflow-model-optimization's own wrapper, which "
                "keras_ste.convert cannot pack: convert keras_ste.optimization.tfmot.to_keras3(model), or apply the configs "
                "with keras_ste.optimization.tfmot.QuantizeScheme."
            )
        return self.bound(weights)(tf.convert_to_tensor(inputs), training=training)

    def bound(self, weights: dict[str, tf.Variable]) -> quantizers.Quantizer:
        """The copy that was built with these weights."""
        return self._built[_key(weights)]

    def schedules(self) -> Iterator[Schedule]:
        """The schedules of the surrogates of all copies."""
        for bound in self._built.values():
            yield from (value for _, _, value in _held_by(bound) if isinstance(value, Schedule))

    def get_config(self) -> dict[str, Any]:
        return {"quantizer": quantizers.serialize(self.quantizer)}

    def _shape(self, tensor_shape):
        """The shape that the quantizer's variables are made for."""
        raise NotImplementedError

    def _finished(self, bound, tensor_shape, name, layer):
        """The copy as it is called, and the further variables that takes."""
        return bound, {}


@tf_keras.saving.register_keras_serializable(package="keras_ste")
class ActivationQuantizer(SteQuantizer):
    """A quantizer of keras_ste for activations in tensorflow-model-optimization.

    A `QuantizeConfig` gives it in `get_output_quantizers`, or a `QuantizeLayer` takes it. In
    `get_activations_and_quantizers` the shape of what is quantized is not known, so quantizers with a variable for each
    channel are refused there.

    Args:
        quantizer: the name, config or object of a `keras_ste.quantizers.Quantizer`.

    Raises:
        ValueError: an unknown name.
        TypeError: anything else, a plain function included.

    >>> ActivationQuantizer("dorefa_activation").quantizer.spec.encoding
    'unsigned'
    """

    def _shape(self, tensor_shape):
        # The batch: a quantizer must not come to depend on the size of the first one.
        return (None, *([] if tensor_shape is None else tf.TensorShape(tensor_shape).as_list()[1:]))


@tf_keras.saving.register_keras_serializable(package="keras_ste")
class WeightQuantizer(SteQuantizer):
    """A quantizer of keras_ste for weights in tensorflow-model-optimization.

    Args:
        quantizer: the name, config or object of a `keras_ste.quantizers.Quantizer`.
        preserve_sparsity: whether weights that are 0 when the layer is quantized, as those that
            `tfmot.sparsity.keras.prune_low_magnitude` leaves, stay 0.
        clusters: the number of clusters that `tfmot.clustering.keras.cluster_weights` has made: weights that are
            equal when the layer is quantized stay equal. `None` for weights without clusters.

    Raises:
        ValueError: an unknown name; zeros are to stay with a quantizer that has no zero, or clusters with one whose
            scale changes along an axis.
        TypeError: no quantizer of keras_ste, a plain function included; or a number of clusters that is none.

    >>> WeightQuantizer("twn", preserve_sparsity=True).get_config()["preserve_sparsity"]
    True
    """

    def __init__(self, quantizer: Any, preserve_sparsity: bool = False, clusters: int | None = None):
        super().__init__(quantizer)
        if clusters is not None and (isinstance(clusters, bool) or not isinstance(clusters, int) or clusters < 2):
            raise TypeError(f"WeightQuantizer's clusters must be a number of at least 2, or None. Received: {clusters!r}.")
        self.preserve_sparsity = bool(preserve_sparsity)
        self.clusters = clusters
        axis = self.quantizer.spec.scale_axis
        if clusters is not None and axis is not None:
            raise ValueError(
                f"clusters={clusters} needs a quantizer with one scale for all weights: {self.quantizer.name} has "
                f"scale_axis={axis}, which takes equal weights apart. Give it scale_axis=None."
            )

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "preserve_sparsity": self.preserve_sparsity, "clusters": self.clusters}

    def _shape(self, tensor_shape):
        return tuple(tf.TensorShape(tensor_shape).as_list())

    def _finished(self, bound, tensor_shape, name, layer):
        if not (self.preserve_sparsity or self.clusters):
            return bound, {}
        add = functools.partial(layer.add_weight, shape=tensor_shape, trainable=False)
        values = getattr(layer.layer, name).numpy()
        variables = {}
        if self.preserve_sparsity:
            _check_zero(bound, values.shape)
            kept = (values != 0).astype(np.float32)
            variables["kept"] = add(f"{name}_kept", initializer=lambda *_, **__: tf.constant(kept))
        if self.clusters:
            members = _members(values, self.clusters)
            variables["members"] = add(
                f"{name}_members", dtype=tf.int32, initializer=lambda *_, **__: tf.constant(members)
            )
        return Preserved(bound, variables.get("kept"), variables.get("members"), self.clusters), variables


def _key(variables):
    """What a quantizer that was built is found by."""
    for variable in variables.values():
        return variable.ref()
    return None


def _list_layer_weights(layer):
    """Puts the wrapped layer's weights before the quantizers', in a wrapper that was made anew as in one that was loaded.

    Files tell weights by their order, and tfmot's wrapper has it by whether the layer had been built before it was
    wrapped.
    """
    inner = getattr(layer, "layer", None)
    listed = layer._trainable_weights
    listed += [w for w in (inner.trainable_weights if inner is not None else ()) if all(w is not own for own in listed)]


def _bound_copy(quantizer, shape, name, layer):
    """A copy whose variables are weights of the tf_keras layer; and those, by name."""
    copied = type(quantizer).from_config(quantizer.get_config())
    variables: dict[str, tf.Variable] = {}
    # tfmot's wrapper does not ask for losses of its own.
    losses = getattr(layer, "layer", layer)

    def add_weight(shape=(), initializer="zeros", dtype="float32", trainable=True, regularizer=None, constraint=None, name=None):
        variable = layer.add_weight(
            f"{prefix}_{name}",
            shape=shape,
            dtype=dtype,
            initializer=keras.initializers.get(initializer),
            trainable=trainable,
            constraint=constraint,
        )
        if regularizer is not None:
            losses.add_loss(functools.partial(regularizer, variable))
        variables[name] = variable
        return variable

    prefix = name
    if isinstance(copied, quantizers.VariableQuantizer):
        copied.add_weight = add_weight
        # A loss that is added in a call would be lost; that of the learned width depends on variables alone.
        copied.add_loss = lambda loss: None
    if getattr(copied, "rounding", None) in RANDOM and copied._generator is None:
        copied._generator = keras.random.SeedGenerator()
    for number, (owner, attribute, value) in enumerate(_held_by(copied)):
        if isinstance(value, Schedule):
            start = float(value.variable.numpy())
            value.variable = add_weight(
                trainable=False, initializer=keras.initializers.Constant(start), name=f"schedule_{number}"
            )
        else:
            state = add_weight(
                shape=(2,),
                dtype="int64",
                trainable=False,
                initializer=lambda *_, state=value.state.numpy(), **__: tf.constant(state, tf.int64),
                name=f"generator_{number}",
            )
            setattr(owner, attribute, _Generator(state))
    if not getattr(copied, "built", False):
        copied.build(shape)
    if getattr(copied, "penalty", 0):
        losses.add_loss(lambda: copied.penalty * tf.nn.relu(copied.bit_width() - copied.target_bits))
    return copied, variables


def _held_by(quantizer):
    """Generators and schedules of a quantizer and its surrogates: owner, attribute and value."""
    if isinstance(quantizer, Preserved):
        quantizer = quantizer.inner
    found, owners = [], [quantizer]
    for owner in owners:
        for attribute, value in list(vars(owner).items()):
            if isinstance(value, Surrogate):
                owners.append(value)
            elif isinstance(value, (Schedule, keras.random.SeedGenerator)):
                found.append((owner, attribute, value))
    return found


class _Generator(keras.random.SeedGenerator):
    """A generator whose state is a weight of a tf_keras layer."""

    def __init__(self, state: tf.Variable):
        self.state = state

    def next(self, ordered: bool = True) -> tf.Tensor:
        seed = tf.identity(self.state)
        self.state.assign_add(tf.constant([0, 1], tf.int64))
        return seed


def _check_zero(quantizer, shape):
    """Zeros among other weights are quantized to 0.

    Raises:
        ValueError: they are not.
    """
    probe = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    probe.flat[::2] = 0
    if np.any(quantizer(tf.constant(probe)).numpy().flat[::2]):
        raise ValueError(
            f"preserve_sparsity needs a quantizer that makes 0 of 0, and {quantizer.name} does not: take a ternary one, or "
            "one of two bits or more."
        )


def _members(values, clusters):
    """The cluster of each weight; -1 for all where there are more values, as in a layer whose weights are yet to be loaded."""
    found, members = np.unique(values, return_inverse=True)
    if len(found) > clusters:
        return np.full(values.shape, -1, np.int32)
    return members.reshape(values.shape).astype(np.int32)
