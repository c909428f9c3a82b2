"""QuickNet for small images.

T. Bannink, A. Bakhtiari, A. Hillier, L. Geiger, T. de Bruin, L. Overweel, J. Neeven, K. Helwegen,
*Larq Compute Engine: Design, Benchmark, and Deploy State-of-the-Art Binarized Neural Networks*,
arXiv:2011.09398.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from keras_ste.blocks import quicknet_block, quicknet_transition
from keras_ste.models.common import classifier, image_input, stages, stem


def quicknet(
    input_shape: Sequence[int | None],
    classes: int,
    filters: int = 32,
    blocks: Sequence[int] = (4, 4, 4),
    kernel_quantizer: Any = "ste_sign",
    input_quantizer: Any = "ste_sign",
    data_format: str | None = None,
    name: str = "quicknet",
) -> keras.Model:
    """A network of `quicknet_block`s, between a float stem and a float classifier.

    Before each stage but the first a `quicknet_transition` doubles the channels and halves height and
    width. (The paper's network, for images of 224 by 224, has 64 `filters`, four stages of 4 blocks,
    and a stem that makes the images smaller.) With both quantizers `None` it is the float twin.

    Args:
        input_shape: of an image.
        classes: number of classes.
        filters: channels of the stem and of the first stage.
        blocks: number of blocks of each stage.
        kernel_quantizer, input_quantizer, data_format: as for `quicknet_block`.
        name: of the model.

    Returns:
        A model from float images to the logits of the classes.

    Raises:
        ValueError: `input_shape` has not three axes, or `blocks` are not positive.

    >>> quicknet((28, 28, 1), classes=10).output_shape
    (None, 10)
    """
    inputs = image_input(input_shape)
    x = stem(inputs, filters, data_format)
    for stage, strides in stages(blocks):
        if strides == 2:
            x = quicknet_transition(x, filters * 2**stage, data_format=data_format)
        x = quicknet_block(
            x,
            kernel_quantizer=kernel_quantizer,
            input_quantizer=input_quantizer,
            data_format=data_format,
        )
    x = keras.layers.ReLU()(x)
    return keras.Model(inputs, classifier(x, classes, data_format), name=name)
