"""ReActNet's block: a binary 3x3 and a binary 1x1 convolution, each with a shortcut and learned shifts.

Z. Liu, Z. Shen, M. Savvides, K.-T. Cheng, *ReActNet: Towards Precise Binary Neural Network with
Generalized Activation Functions*, arXiv:2003.03488.
"""

from __future__ import annotations

from typing import Any

import keras

from keras_ste.blocks.common import (
    batch_norm,
    binary_conv,
    channel_axis,
    channels_of,
    check_strides,
    halved,
)
from keras_ste.layers import RPReLU
from keras_ste.quantizers import RSign


def reactnet_block(
    x: Any,
    filters: int,
    strides: int = 1,
    kernel_quantizer: Any = "magnitude_aware_sign",
    input_quantizer: Any = "rsign",
    data_format: str | None = None,
) -> Any:
    """A block of ReActNet, which is MobileNet's with a shortcut round each of its convolutions.

        u = RPReLU(BN(conv3x3(x)) + s(x))        y = RPReLU(BN(conv1x1(u)) + u)

    The convolutions multiply signs by signs. s averages squares of 2 by 2 where `strides` is 2.
    Twice as many channels are two convolutions of size 1, side by side, and u is added to both.

    With both quantizers `None` it is the float twin, layer by layer.

    Args:
        x: Keras tensor of images.
        filters: number of output channels: those of `x`, or twice as many.
        strides: 1, or 2 to halve height and width.
        kernel_quantizer: of the weights of the convolutions; `None` for float weights.
        input_quantizer: of their inputs; by default signs with a threshold for each channel; `None`
            for float inputs.
        data_format: `"channels_last"`, `"channels_first"`, or `None` for Keras's default.

    Returns:
        Keras tensor of images.

    Raises:
        ValueError: `filters` or `strides` is another number than these, or `x` are no images.

    >>> reactnet_block(keras.Input((28, 28, 16)), 32, strides=2).shape
    (None, 14, 14, 32)
    """
    axis = channel_axis(data_format)
    channels = channels_of(x, data_format)
    check_strides(strides)
    if filters not in (channels, 2 * channels):
        raise ValueError(
            f"A ReActNet block keeps its {channels} channels or doubles them. "
            f"Received: filters={filters!r}."
        )
    arguments = {
        "kernel_quantizer": kernel_quantizer,
        "input_quantizer": RSign(axis=axis) if input_quantizer == "rsign" else input_quantizer,
        "data_format": data_format,
    }
    shortcut = halved(x, strides, data_format)
    x = batch_norm(binary_conv(x, channels, 3, strides=strides, **arguments), data_format)
    x = RPReLU(axis=axis)(keras.layers.Add()([x, shortcut]))
    halves = []
    for _ in range(filters // channels):
        half = batch_norm(binary_conv(x, channels, 1, **arguments), data_format)
        halves.append(keras.layers.Add()([half, x]))
    x = halves[0] if len(halves) == 1 else keras.layers.Concatenate(axis=axis)(halves)
    return RPReLU(axis=axis)(x)
