"""The Real-to-Binary network for small images.

B. Martinez, J. Yang, A. Bulat, G. Tzimiropoulos, *Training Binary Neural Networks with Real-to-Binary
Convolutions*, arXiv:2003.11535.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from keras_ste.blocks import real_to_binary_block
from keras_ste.models.common import classifier, image_input, stages, stem


def real_to_binary_net(
    input_shape: Sequence[int | None],
    classes: int,
    filters: int = 32,
    blocks: Sequence[int] = (4, 4, 4),
    reduction: int = 8,
    kernel_quantizer: Any = "xnor_sign",
    input_quantizer: Any = "ste_sign",
    data_format: str | None = None,
    name: str = "real_to_binary_net",
) -> keras.Model:
    """A network of `real_to_binary_block`s, between a float stem and a float classifier.

    The first block of each stage but the first doubles the channels and halves height and width.
    (The paper's network, for images of 224 by 224, has 64 `filters`, four stages of 4 blocks, and a
    stem that makes the images smaller.) With both quantizers `None` it is the float twin.

    Args:
        input_shape: of an image.
        classes: number of classes.
        filters: channels of the stem and of the first stage.
        blocks: number of blocks, each of one convolution, of each stage.
        reduction: of the blocks' gates.
        kernel_quantizer, input_quantizer, data_format: as for `real_to_binary_block`.
        name: of the model.

    Returns:
        A model from float images to the logits of the classes.

    Raises:
        ValueError: `input_shape` has not three axes, `blocks` are not positive, or `reduction`
            exceeds the number of channels.

    >>> real_to_binary_net((28, 28, 1), classes=10).output_shape
    (None, 10)
    """
    inputs = image_input(input_shape)
    x = keras.layers.ReLU()(stem(inputs, filters, data_format))
    for stage, strides in stages(blocks):
        x = real_to_binary_block(
            x,
            filters * 2**stage,
            strides,
            reduction,
            kernel_quantizer=kernel_quantizer,
            input_quantizer=input_quantizer,
            data_format=data_format,
        )
    return keras.Model(inputs, classifier(x, classes, data_format), name=name)
