"""The block of Real-to-Binary networks: the float input says how much each channel of the result counts.

B. Martinez, J. Yang, A. Bulat, G. Tzimiropoulos, *Training Binary Neural Networks with Real-to-Binary
Convolutions*, arXiv:2003.11535.
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
    image_axes,
    projected,
)


def real_to_binary_block(
    x: Any,
    filters: int,
    strides: int = 1,
    reduction: int = 8,
    kernel_quantizer: Any = "xnor_sign",
    input_quantizer: Any = "ste_sign",
    data_format: str | None = None,
    projection_kernel_quantizer: Any = None,
    projection_input_quantizer: Any = None,
) -> Any:
    """One convolution of a Real-to-Binary network, with its gate and its shortcut.

        u = BN(x)        y = PReLU(conv3x3(u) · gate(u)) + s(x)
        gate(u) = sigmoid(W₂ ReLU(W₁ mean(u))), a number for each channel

    The convolution multiplies signs by signs; the gate reads u before the sign, its mean over height
    and width. s is x itself, or, where channels or size change, `BN(conv1x1(average(x)))`, whose
    convolution is in float unless it is given quantizers.
    The paper learns a scale for each filter; here it is the kernel quantizer's.

    With both quantizers `None` it is the float twin, layer by layer.

    Args:
        x: Keras tensor of images.
        filters: number of output channels.
        strides: 1, or 2 to halve height and width.
        reduction: how many times fewer units the gate has in its middle than `x` has channels.
        kernel_quantizer: of the weights of the convolution; `None` for float weights.
        input_quantizer: of its input; `None` for float inputs.
        data_format: `"channels_last"`, `"channels_first"`, or `None` for Keras's default.
        projection_kernel_quantizer: of the weights of the shortcut's convolution, where it has one;
            `None` for float weights, as in the paper. At 8 bits it can be computed in integers.
        projection_input_quantizer: of what that convolution reads; `None` for float inputs.

    Returns:
        Keras tensor of images.

    Raises:
        ValueError: `strides` is neither 1 nor 2, `reduction` leaves no unit, or `x` are no images.

    >>> real_to_binary_block(keras.Input((28, 28, 16)), 32, strides=2).shape
    (None, 14, 14, 32)
    """
    channels = channels_of(x, data_format)
    check_strides(strides)
    if not 1 <= reduction <= channels:
        raise ValueError(
            f"reduction must be between 1 and the number of channels, {channels}. "
            f"Received: reduction={reduction!r}."
        )
    shortcut = projected(
        x,
        filters,
        strides,
        data_format,
        kernel_quantizer=projection_kernel_quantizer,
        input_quantizer=projection_input_quantizer,
    )
    x = batch_norm(x, data_format)
    gate = _gate(x, channels // reduction, filters, data_format)
    x = binary_conv(
        x,
        filters,
        3,
        strides=strides,
        kernel_quantizer=kernel_quantizer,
        input_quantizer=input_quantizer,
        data_format=data_format,
    )
    x = keras.layers.Multiply()([x, gate])
    x = keras.layers.PReLU(
        alpha_initializer=keras.initializers.Constant(0.25), shared_axes=image_axes(data_format)
    )(x)
    return keras.layers.Add()([x, shortcut])


def _gate(x, units, filters, data_format):
    """A number between 0 and 1 for each image and output channel, as it multiplies images."""
    gate = keras.layers.GlobalAveragePooling2D(data_format=data_format)(x)
    gate = keras.layers.Dense(units, activation="relu", use_bias=False)(gate)
    gate = keras.layers.Dense(filters, activation="sigmoid", use_bias=False)(gate)
    shape = (filters, 1, 1) if channel_axis(data_format) == 1 else (1, 1, filters)
    return keras.layers.Reshape(shape)(gate)
