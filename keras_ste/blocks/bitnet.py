"""BitNet's transformer block: attention and a gated MLP, every product with ternary weights.

H. Wang et al., *BitNet: Scaling 1-bit Transformers for Large Language Models*, arXiv:2310.11453;
S. Ma et al., *The Era of 1-bit LLMs: All Large Language Models are in 1.58 Bits*, arXiv:2402.17764.
"""

from __future__ import annotations

from typing import Any

import keras

from keras_ste.layers import QuantDense


def bit_linear(
    x: Any,
    units: int,
    kernel_quantizer: Any = "bitnet_ternary",
    input_quantizer: Any = "bitnet_activation",
    name: str | None = None,
) -> Any:
    """A linear layer that normalizes its inputs, and multiplies integers.

        y = QuantDense(RMSNorm(x)), without a bias

    Args:
        x: Keras tensor `(batch, ..., channels)`.
        units: number of outputs.
        kernel_quantizer: of the weights; `None` for float weights.
        input_quantizer: of the normalized inputs; `None` for float inputs.
        name: of the layer.

    Returns:
        Keras tensor `(batch, ..., units)`.

    >>> bit_linear(keras.Input((10, 32)), 16).shape
    (None, 10, 16)
    """
    x = keras.layers.RMSNormalization(epsilon=1e-6)(x)
    return QuantDense(
        units,
        use_bias=False,
        kernel_quantizer=kernel_quantizer,
        input_quantizer=input_quantizer,
        name=name,
    )(x)


def bitnet_attention(x: Any, heads: int, causal: bool = True, **quantizers: Any) -> Any:
    """Self-attention whose four projections are `bit_linear` layers.

    Args:
        x: Keras tensor `(batch, tokens, channels)`.
        heads: number of heads, a divisor of the channels.
        causal: whether a token sees only itself and those before.
        **quantizers: `kernel_quantizer` and `input_quantizer` of `bit_linear`.

    Returns:
        Keras tensor of x's shape.

    Raises:
        ValueError: the channels cannot be divided among the heads.

    >>> bitnet_attention(keras.Input((10, 32)), heads=4).shape
    (None, 10, 32)
    """
    channels = x.shape[-1]
    if channels % heads:
        raise ValueError(f"{channels} channels cannot be divided among {heads} heads.")
    split = keras.layers.Reshape((-1, heads, channels // heads))
    query, key, value = (split(bit_linear(x, channels, **quantizers)) for _ in range(3))
    mixed = keras.ops.dot_product_attention(query, key, value, is_causal=causal)
    return bit_linear(keras.layers.Reshape((-1, channels))(mixed), channels, **quantizers)


def bitnet_mlp(x: Any, hidden: int, **quantizers: Any) -> Any:
    """The gated MLP `W₃ (silu(W₁ x) · W₂ x)`, each `W` a `bit_linear` layer.

    Args:
        x: Keras tensor `(batch, ..., channels)`.
        hidden: size between.
        **quantizers: `kernel_quantizer` and `input_quantizer` of `bit_linear`.

    Returns:
        Keras tensor of x's shape.

    >>> bitnet_mlp(keras.Input((10, 32)), hidden=64).shape
    (None, 10, 32)
    """
    gate = keras.layers.Activation("silu")(bit_linear(x, hidden, **quantizers))
    product = keras.layers.Multiply()([gate, bit_linear(x, hidden, **quantizers)])
    return bit_linear(product, x.shape[-1], **quantizers)


def bitnet_block(
    x: Any,
    heads: int,
    hidden: int,
    causal: bool = True,
    kernel_quantizer: Any = "bitnet_ternary",
    input_quantizer: Any = "bitnet_activation",
) -> Any:
    """One block of a BitNet transformer: `x + attention(x)`, then `x + mlp(x)`.

    With both quantizers `None` it is the float twin, layer by layer.

    Args:
        x: Keras tensor `(batch, tokens, channels)`.
        heads: number of attention heads, a divisor of the channels.
        hidden: size of the MLP between its two ends.
        causal: whether a token sees only itself and those before.
        kernel_quantizer: of all weights.
        input_quantizer: of the inputs of all linear layers.

    Returns:
        Keras tensor of x's shape.

    Raises:
        ValueError: the channels cannot be divided among the heads.

    >>> bitnet_block(keras.Input((None, 32)), heads=4, hidden=64).shape
    (None, None, 32)
    """
    quantizers = {"kernel_quantizer": kernel_quantizer, "input_quantizer": input_quantizer}
    x = keras.layers.Add()([x, bitnet_attention(x, heads, causal, **quantizers)])
    return keras.layers.Add()([x, bitnet_mlp(x, hidden, **quantizers)])
