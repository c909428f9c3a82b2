"""MeliusNet for small images.

J. Bethge, C. Bartz, H. Yang, Y. Chen, C. Meinel, *MeliusNet: Can Binary Neural Networks Achieve
MobileNet-level Accuracy?*, arXiv:2001.05936.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from keras_ste.blocks import meliusnet_block, meliusnet_transition
from keras_ste.blocks.common import batch_norm, channels_of
from keras_ste.models.common import classifier, image_input, stages, stem


def meliusnet(
    input_shape: Sequence[int | None],
    classes: int,
    filters: int = 32,
    blocks: Sequence[int] = (3, 3, 3),
    growth: int = 32,
    kernel_quantizer: Any = "ste_sign",
    input_quantizer: Any = "ste_sign",
    data_format: str | None = None,
    name: str = "meliusnet",
) -> keras.Model:
    """A network of `meliusnet_block`s, between a float stem and a float classifier.

    Before each stage but the first a `meliusnet_transition` halves the channels, height and width.
    (The paper's MeliusNet-22, for images of 224 by 224, has 64 `filters`, a `growth` of 64, stages of
    4, 5, 4 and 4 blocks, and a stem of grouped convolutions that makes the images smaller.) With both
    quantizers `None` it is the float twin.

    Args:
        input_shape: of an image.
        classes: number of classes.
        filters: channels of the stem.
        blocks: number of blocks of each stage.
        growth: channels that each block adds.
        kernel_quantizer, input_quantizer, data_format: as for `meliusnet_block`.
        name: of the model.

    Returns:
        A model from float images to the logits of the classes.

    Raises:
        ValueError: `input_shape` has not three axes, or `blocks` are not positive.

    >>> meliusnet((28, 28, 1), classes=10).output_shape
    (None, 10)
    """
    inputs = image_input(input_shape)
    x = stem(inputs, filters, data_format)
    for _, strides in stages(blocks):
        if strides == 2:
            x = meliusnet_transition(x, channels_of(x, data_format) // 2, data_format)
        x = meliusnet_block(
            x,
            growth,
            kernel_quantizer=kernel_quantizer,
            input_quantizer=input_quantizer,
            data_format=data_format,
        )
    x = keras.layers.ReLU()(batch_norm(x, data_format))
    return keras.Model(inputs, classifier(x, classes, data_format), name=name)
