"""A language model of BitNet's blocks.

H. Wang et al., *BitNet: Scaling 1-bit Transformers for Large Language Models*, arXiv:2310.11453;
S. Ma et al., *The Era of 1-bit LLMs: All Large Language Models are in 1.58 Bits*, arXiv:2402.17764.
"""

from __future__ import annotations

from typing import Any

import keras

from keras_ste.blocks import bitnet_block


def bitnet_transformer(
    vocabulary: int,
    context: int,
    channels: int = 160,
    heads: int = 5,
    hidden: int = 432,
    blocks: int = 4,
    kernel_quantizer: Any = "bitnet_ternary",
    input_quantizer: Any = "bitnet_activation",
    name: str = "bitnet_transformer",
) -> keras.Model:
    """A causal transformer of `bitnet_block`s: what comes next, after each code of a text.

    The embeddings of codes and places, and the last layer, are in float; what stands for a place is
    drawn once and not trained. With both quantizers `None` it is the float twin.

    Args:
        vocabulary: number of different codes.
        context: number of codes that are read at once.
        channels: numbers that stand for a code inside.
        heads: number of attention heads, a divisor of the channels.
        hidden: size of the MLPs between their two ends.
        blocks: number of blocks.
        kernel_quantizer, input_quantizer: as for `bitnet_block`.
        name: of the model.

    Returns:
        A model from codes, integers `(batch, context)` below `vocabulary`, to the logits of the next
        ones, `(batch, context, vocabulary)`.

    Raises:
        ValueError: the channels cannot be divided among the heads, or there is no block.

    >>> bitnet_transformer(vocabulary=65, context=128, blocks=1).output_shape
    (None, 128, 65)
    """
    if blocks < 1:
        raise ValueError(f"blocks must be positive. Received: blocks={blocks!r}.")
    codes = keras.Input((context,), dtype="int32", name="codes")
    # Made from the codes, or Keras would take the embedded places for a constant and not save them.
    places = keras.ops.add(keras.ops.arange(context, dtype="int32"), keras.ops.zeros_like(codes))
    embedded = [
        keras.layers.Embedding(vocabulary, channels)(codes),
        keras.layers.Embedding(context, channels, trainable=False)(places),
    ]
    x = keras.layers.Add()(embedded)
    for _ in range(blocks):
        x = bitnet_block(
            x,
            heads,
            hidden,
            kernel_quantizer=kernel_quantizer,
            input_quantizer=input_quantizer,
        )
    x = keras.layers.RMSNormalization()(x)
    return keras.Model(codes, keras.layers.Dense(vocabulary, name="logits")(x), name=name)
