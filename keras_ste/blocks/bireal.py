"""Bi-Real Net's block: one binary convolution with a shortcut of its own.

Z. Liu, B. Wu, W. Luo, X. Yang, W. Liu, K.-T. Cheng, *Bi-Real Net: Enhancing the Performance of 1-bit
CNNs With Improved Representational Capability and Advanced Training Algorithm*, arXiv:1808.00278.
"""

from __future__ import annotations

from typing import Any

import keras

from keras_ste.blocks.common import batch_norm, binary_conv, channels_of, check_strides, projected


def bireal_block(
    x: Any,
    filters: int,
    strides: int = 1,
    kernel_quantizer: Any = "magnitude_aware_sign",
    input_quantizer: Any = "approx_sign",
    data_format: str | None = None,
    projection_kernel_quantizer: Any = None,
    projection_input_quantizer: Any = None,
) -> Any:
    """A block of Bi-Real Net, whose shortcut carries the float values round every convolution.

        y = BN(conv3x3(x)) + s(x)

    The convolution multiplies signs by signs. s is x itself, or, where channels or size change,
    `BN(conv1x1(average(x)))`, the average over squares of 2 by 2 where `strides` is 2; its convolution
    is in float unless it is given quantizers.

    With both quantizers `None` it is the float twin, with a ReLU in place of the input's sign.

    Args:
        x: Keras tensor of images.
        filters: number of output channels.
        strides: 1, or 2 to halve height and width.
        kernel_quantizer: of the weights of the convolution; `None` for float weights.
        input_quantizer: of its input; `None` for a ReLU instead.
        data_format: `"channels_last"`, `"channels_first"`, or `None` for Keras's default.
        projection_kernel_quantizer: of the weights of the shortcut's convolution, where it has one;
            `None` for float weights, as in the paper. At 8 bits it can be computed in integers.
        projection_input_quantizer: of what that convolution reads; `None` for float inputs.

    Returns:
        Keras tensor of images.

    Raises:
        ValueError: `strides` is neither 1 nor 2, or `x` are no images.

    >>> bireal_block(keras.Input((28, 28, 16)), 32, strides=2).shape
    (None, 14, 14, 32)
    """
    channels_of(x, data_format)
    check_strides(strides)
    shortcut = projected(
        x,
        filters,
        strides,
        data_format,
        kernel_quantizer=projection_kernel_quantizer,
        input_quantizer=projection_input_quantizer,
    )
    if input_quantizer is None:
        x = keras.layers.ReLU()(x)
    x = binary_conv(
        x,
        filters,
        3,
        strides=strides,
        kernel_quantizer=kernel_quantizer,
        input_quantizer=input_quantizer,
        data_format=data_format,
    )
    return keras.layers.Add()([batch_norm(x, data_format), shortcut])
