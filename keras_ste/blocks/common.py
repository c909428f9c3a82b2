"""What the blocks for images share: their channels, the binary convolution, the shortcut round it."""

from __future__ import annotations

from typing import Any

import keras

from keras_ste.layers import QuantConv2D


def channel_axis(data_format: str | None) -> int:
    """The axis of the channels: -1, or 1 with the channels first; `None` is Keras's default."""
    return 1 if (data_format or keras.config.image_data_format()) == "channels_first" else -1


def image_axes(data_format: str | None) -> list[int]:
    """The axes of height and width."""
    return [2, 3] if channel_axis(data_format) == 1 else [1, 2]


def channels_of(x: Any, data_format: str | None) -> int:
    """The number of channels of images.

    Raises:
        ValueError: the tensor has not four axes, or its channels are not known.
    """
    axis = channel_axis(data_format)
    if len(x.shape) != 4 or x.shape[axis] is None:
        raise ValueError(
            "A block takes images, a tensor with four axes and a known number of channels. "
            f"Received: shape={tuple(x.shape)}."
        )
    return x.shape[axis]


def check_strides(strides: int) -> None:
    """Raises ValueError where images would be made smaller in another way than by half."""
    if strides not in (1, 2):
        raise ValueError(f"strides must be 1 or 2. Received: strides={strides!r}.")


def binary_conv(x: Any, filters: int, kernel_size: int, **arguments: Any) -> Any:
    """A `QuantConv2D` with padding "same" and without a bias, with further `arguments` of it."""
    return QuantConv2D(filters, kernel_size, padding="same", use_bias=False, **arguments)(x)


def batch_norm(x: Any, data_format: str | None) -> Any:
    """Batch normalization of the channels, with the momentum binary networks were published with."""
    axis = channel_axis(data_format)
    return keras.layers.BatchNormalization(axis=axis, momentum=0.9, epsilon=1e-5)(x)


def halved(x: Any, strides: int, data_format: str | None) -> Any:
    """The images, with strides=2 averaged over squares of 2 by 2: a shortcut without weights."""
    if strides == 1:
        return x
    return keras.layers.AveragePooling2D(2, padding="same", data_format=data_format)(x)


def mixed(x: Any, filters: int, data_format: str | None, **quantizers: Any) -> Any:
    """A convolution of size 1 without a bias; in float where the `quantizers` of a `QuantConv2D` are all None."""
    layer = keras.layers.Conv2D if all(q is None for q in quantizers.values()) else QuantConv2D
    chosen = {} if layer is keras.layers.Conv2D else quantizers
    return layer(filters, 1, data_format=data_format, use_bias=False, **chosen)(x)


def projected(x: Any, filters: int, strides: int, data_format: str | None, **quantizers: Any) -> Any:
    """The shortcut of a ResNet: x itself, or halved and `mixed`, with its quantizers."""
    if strides == 1 and filters == channels_of(x, data_format):
        return x
    x = mixed(halved(x, strides, data_format), filters, data_format, **quantizers)
    return batch_norm(x, data_format)
