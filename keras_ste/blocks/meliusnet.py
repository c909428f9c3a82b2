"""MeliusNet's blocks: one adds channels, the next improves them.

J. Bethge, C. Bartz, H. Yang, Y. Chen, C. Meinel, *MeliusNet: Can Binary Neural Networks Achieve
MobileNet-level Accuracy?*, arXiv:2001.05936.
"""

from __future__ import annotations

from typing import Any

import keras

from keras_ste.blocks.common import batch_norm, binary_conv, channel_axis, channels_of


def meliusnet_dense_block(
    x: Any,
    growth: int = 64,
    kernel_quantizer: Any = "ste_sign",
    input_quantizer: Any = "ste_sign",
    data_format: str | None = None,
) -> Any:
    """Adds channels, as DenseNet does.

        y = concat(x, conv3x3(BN(x)))

    The convolution multiplies signs by signs. With both quantizers `None` it is the float twin, with
    a ReLU in place of the input's sign.

    Args:
        x: Keras tensor of images.
        growth: number of channels that are added.
        kernel_quantizer: of the weights of the convolution; `None` for float weights.
        input_quantizer: of its input; `None` for a ReLU instead.
        data_format: `"channels_last"`, `"channels_first"`, or `None` for Keras's default.

    Returns:
        Keras tensor of images with `growth` channels more.

    Raises:
        ValueError: `x` are no images.

    >>> meliusnet_dense_block(keras.Input((28, 28, 16)), growth=8).shape
    (None, 28, 28, 24)
    """
    channels_of(x, data_format)
    new = _normalized_conv(x, growth, kernel_quantizer, input_quantizer, data_format)
    return keras.layers.Concatenate(axis=channel_axis(data_format))([x, new])


def meliusnet_improvement_block(
    x: Any,
    growth: int = 64,
    kernel_quantizer: Any = "ste_sign",
    input_quantizer: Any = "ste_sign",
    data_format: str | None = None,
) -> Any:
    """Improves the last channels, those that a dense block before has added.

        y = x, with conv3x3(BN(x)) added to its last `growth` channels

    Args:
        x: Keras tensor of images.
        growth: number of channels that are improved.
        kernel_quantizer, input_quantizer, data_format: as for `meliusnet_dense_block`.

    Returns:
        Keras tensor of x's shape.

    Raises:
        ValueError: `growth` exceeds the number of channels, or `x` are no images.

    >>> meliusnet_improvement_block(keras.Input((28, 28, 24)), growth=8).shape
    (None, 28, 28, 24)
    """
    unchanged = channels_of(x, data_format) - growth
    if unchanged < 0:
        raise ValueError(
            f"growth cannot exceed the {growth + unchanged} channels of the images. "
            f"Received: growth={growth!r}."
        )
    change = _normalized_conv(x, growth, kernel_quantizer, input_quantizer, data_format)
    paddings = [(0, 0)] * 4
    paddings[channel_axis(data_format)] = (unchanged, 0)
    return keras.layers.Add()([x, keras.ops.pad(change, paddings)])


def meliusnet_block(
    x: Any,
    growth: int = 64,
    kernel_quantizer: Any = "ste_sign",
    input_quantizer: Any = "ste_sign",
    data_format: str | None = None,
) -> Any:
    """A block of MeliusNet: a dense block, and behind it an improvement block.

    Args:
        x: Keras tensor of images.
        growth: number of channels that are added and then improved.
        kernel_quantizer, input_quantizer, data_format: as for `meliusnet_dense_block`.

    Returns:
        Keras tensor of images with `growth` channels more.

    Raises:
        ValueError: `x` are no images.

    >>> meliusnet_block(keras.Input((28, 28, 16)), growth=8).shape
    (None, 28, 28, 24)
    """
    arguments = (growth, kernel_quantizer, input_quantizer, data_format)
    return meliusnet_improvement_block(meliusnet_dense_block(x, *arguments), *arguments)


def meliusnet_transition(x: Any, filters: int, data_format: str | None = None) -> Any:
    """What is between two stages of MeliusNet, in float: fewer channels, and half the size.

        y = conv1x1(ReLU(max(BN(x)))), max over squares of 2 by 2

    Args:
        x: Keras tensor of images.
        filters: number of output channels.
        data_format: `"channels_last"`, `"channels_first"`, or `None` for Keras's default.

    Returns:
        Keras tensor of images.

    Raises:
        ValueError: `x` are no images.

    >>> meliusnet_transition(keras.Input((28, 28, 24)), 16).shape
    (None, 14, 14, 16)
    """
    channels_of(x, data_format)
    x = batch_norm(x, data_format)
    x = keras.layers.MaxPooling2D(2, padding="same", data_format=data_format)(x)
    x = keras.layers.ReLU()(x)
    return keras.layers.Conv2D(filters, 1, data_format=data_format, use_bias=False)(x)


def _normalized_conv(x, filters, kernel_quantizer, input_quantizer, data_format):
    x = batch_norm(x, data_format)
    if input_quantizer is None:
        x = keras.layers.ReLU()(x)
    return binary_conv(
        x,
        filters,
        3,
        kernel_quantizer=kernel_quantizer,
        input_quantizer=input_quantizer,
        data_format=data_format,
    )
