"""Every block for images and every network, as small as they can be: what tests/test_blocks.py walks through.

One that is exported and has no case here makes the walk fail.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_ste import QuantConv2D, QuantDense, RPReLU


class Layers:
    """The layers of a block, one after the other as they were made, and what a paper says they compute."""

    def __init__(self, model):
        # Keras numbers the layers of a class by their names.
        self.layers = sorted(model.layers, key=lambda layer: (len(layer.name), layer.name))

    def next(self, cls):
        layer = next(layer for layer in self.layers if type(layer) is cls)
        self.layers.remove(layer)
        return layer

    def signs(self, x, strides=1, outside=0):
        """The next convolution of signs by signs, scaled where its quantizer scales; an odd kernel."""
        layer = self.next(QuantConv2D)
        kernel = layer.kernel.numpy()
        scale = 1 if layer.kernel_quantizer.spec.scale_axis is None else np.abs(kernel).mean((0, 1, 2))
        signs = np.where(x >= getattr(layer.input_quantizer, "threshold", 0), 1, -1)
        size = kernel.shape[0]
        # As TensorFlow pads images of even height and width.
        before = (size - strides) // 2
        around = (before, size - strides - before)
        signs = np.pad(signs, [(0, 0), around, around, (0, 0)], constant_values=outside)
        filters = np.where(kernel >= 0, 1, -1)
        return tf.nn.conv2d(signs.astype("float32"), filters.astype("float32"), strides, "VALID") * scale

    def mix(self, x):
        """The next float convolution of size 1."""
        return x @ self.next(keras.layers.Conv2D).kernel[0, 0]

    def norm(self, x):
        layer = self.next(keras.layers.BatchNormalization)
        deviation = np.sqrt(layer.moving_variance.numpy() + 1e-5)
        return (x - layer.moving_mean.numpy()) / deviation * layer.gamma + layer.beta

    def rprelu(self, x):
        layer = self.next(RPReLU)
        x = x - layer.shift
        return np.where(x > 0, x, layer.slope * x) + layer.offset


def average(x):
    return (x[:, ::2, ::2] + x[:, 1::2, ::2] + x[:, ::2, 1::2] + x[:, 1::2, 1::2]) / 4


def relu(x):
    return np.maximum(x, 0)


def bireal(layers, x):
    shortcut = layers.norm(layers.mix(average(x)))
    return layers.norm(layers.signs(x, 2)) + shortcut


def reactnet(layers, x):
    u = layers.rprelu(layers.norm(layers.signs(x, 2)) + average(x))
    halves = [layers.norm(layers.signs(u)) + u for _ in range(2)]
    return layers.rprelu(np.concatenate(halves, -1))


def quicknet(layers, x):
    return layers.norm(relu(layers.signs(x, outside=1))) + x


def quicknet_transition(layers, x):
    x = relu(x)
    largest = np.max([x[:, i : x.shape[1] - 1 + i, j : x.shape[2] - 1 + j] for i in (0, 1) for j in (0, 1)], 0)
    x = np.pad(largest, [(0, 0), (1, 1), (1, 1), (0, 0)])
    x = (x[:, :-2:2] + 2 * x[:, 1:-1:2] + x[:, 2::2]) / 4
    x = (x[:, :, :-2:2] + 2 * x[:, :, 1:-1:2] + x[:, :, 2::2]) / 4
    return layers.norm(layers.mix(x))


def melius_dense(layers, x):
    return np.concatenate([x, layers.signs(layers.norm(x))], -1)


def melius_improvement(layers, x):
    change = layers.signs(layers.norm(x))
    kept = x.shape[-1] - change.shape[-1]
    return np.concatenate([x[..., :kept], x[..., kept:] + change], -1)


def meliusnet(layers, x):
    return melius_improvement(layers, melius_dense(layers, x))


def melius_transition(layers, x):
    x = layers.norm(x)
    pairs = np.maximum(x[:, ::2], x[:, 1::2])
    return layers.mix(relu(np.maximum(pairs[:, :, ::2], pairs[:, :, 1::2])))


def real_to_binary(layers, x):
    shortcut = layers.norm(layers.mix(average(x)))
    u = layers.norm(x)
    hidden = relu(u.mean((1, 2)) @ layers.next(keras.layers.Dense).kernel)
    gate = 1 / (1 + np.exp(-hidden @ layers.next(keras.layers.Dense).kernel))
    y = layers.signs(u, 2) * gate[:, None, None]
    return np.where(y > 0, y, layers.next(keras.layers.PReLU).alpha * y) + shortcut


@dataclasses.dataclass(frozen=True)
class Block:
    """What a block is called with, on images of 8 channels.

    Attributes:
        arguments: of the block.
        computes: what its paper says that it computes, from its `Layers` and the images.
        filters: number of output channels.
        halves: whether height and width become half.
        binary: whether there are quantizers in it.
    """

    arguments: dict[str, Any]
    computes: Callable
    filters: int
    halves: bool = False
    binary: bool = True


BLOCKS = {
    "bireal_block": Block({"filters": 16, "strides": 2}, bireal, 16, halves=True),
    "meliusnet_block": Block({"growth": 4}, meliusnet, 12),
    "meliusnet_dense_block": Block({"growth": 4}, melius_dense, 12),
    "meliusnet_improvement_block": Block({"growth": 4}, melius_improvement, 8),
    "meliusnet_transition": Block({"filters": 4}, melius_transition, 4, halves=True, binary=False),
    "quicknet_block": Block({}, quicknet, 8),
    "quicknet_transition": Block({"filters": 4}, quicknet_transition, 4, halves=True, binary=False),
    "reactnet_block": Block({"filters": 16, "strides": 2}, reactnet, 16, halves=True),
    "real_to_binary_block": Block(
        {"filters": 16, "strides": 2, "reduction": 2}, real_to_binary, 16, halves=True
    ),
}

_IMAGES = {"input_shape": (6, 6, 2), "classes": 3, "filters": 8, "blocks": (1, 1)}


@dataclasses.dataclass(frozen=True)
class Network:
    """What a network is made with.

    Attributes:
        arguments: of the function that makes it.
        quantized: how many of its layers multiply quantized inputs by quantized weights.
        in_float: how many layers multiply in float: stem, shortcuts, transitions, gates, classifier.
        packed: whether the converter leaves no products in float that could be quantized, as those of attention.
    """

    arguments: dict[str, Any]
    quantized: int
    in_float: int
    packed: bool = True


NETWORKS = {
    "bireal_net": Network(_IMAGES, quantized=2, in_float=3),
    "bitnet_transformer": Network(
        {"vocabulary": 11, "context": 6, "channels": 8, "heads": 2, "hidden": 12, "blocks": 1},
        quantized=7,
        in_float=1,
        packed=False,
    ),
    "meliusnet": Network({**_IMAGES, "growth": 8}, quantized=4, in_float=3),
    "quicknet": Network(_IMAGES, quantized=2, in_float=4),
    "reactnet": Network(_IMAGES, quantized=6, in_float=2),
    "real_to_binary_net": Network({**_IMAGES, "reduction": 2}, quantized=2, in_float=7),
}

FLOAT_TWIN = {"kernel_quantizer": None, "input_quantizer": None}


def shaken(model, seed=0):
    """The model with weights as training may leave them: no normalization or threshold does nothing."""
    rng = np.random.default_rng(seed)
    for variable in model.variables:
        name = variable.path.split("/")[-1]
        if name == "moving_variance":
            variable.assign(rng.uniform(0.3, 3, variable.shape))
        elif name != "kernel" and variable.trainable:
            variable.assign(variable + rng.normal(0, 0.3, variable.shape))
    return model


def quantized_layers(model):
    return [
        layer
        for layer in model.layers
        if isinstance(layer, (QuantConv2D, QuantDense)) and layer.kernel_quantizer is not None
    ]
