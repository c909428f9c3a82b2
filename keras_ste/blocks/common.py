"""What the blocks for images share: their channels, the binary convolution, batch normalization."""

from __future__ import annotations

from typing import Any

import keras

from keras_ste.layers import QuantConv2D


def channel_axis(data_format: str | None) -> int:
    """The axis of the channels: -1, or 1 with the channels first; `None` is Keras's default."""
    return 1 if (data_format or keras.config.image_data_format()) == "channels_first" else -1


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
    """Raises ValueError where a block has to halve its images in another way than by 1 or 2."""
    if strides not in (1, 2):
        raise ValueError(f"strides must be 1 or 2. Received: strides={strides!r}.")


def binary_conv(
    x: Any,
    filters: int,
    kernel_size: int,
    strides: int,
    kernel_quantizer: Any,
    input_quantizer: Any,
    data_format: str | None,
) -> Any:
    """A convolution of signs by signs without a bias, padded with zeros."""
    return QuantConv2D(
        filters,
        kernel_size,
        strides=strides,
        padding="same",
        data_format=data_format,
        use_bias=False,
        kernel_quantizer=kernel_quantizer,
        input_quantizer=input_quantizer,
    )(x)


def batch_norm(x: Any, data_format: str | None) -> Any:
    """Batch normalization of the channels, with the momentum binary networks were published with."""
    axis = channel_axis(data_format)
    return keras.layers.BatchNormalization(axis=axis, momentum=0.9, epsilon=1e-5)(x)


def halved(x: Any, strides: int, data_format: str | None) -> Any:
    """The images, with strides=2 averaged over squares of 2 by 2: a shortcut without weights."""
    if strides == 1:
        return x
    return keras.layers.AveragePooling2D(2, padding="same", data_format=data_format)(x)
