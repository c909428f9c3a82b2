"""One case or more of every layer: what tests/test_every_layer.py walks through.

A layer that is exported and has no case here makes the walk fail.
"""

import dataclasses
from typing import Any

from keras_ste import layers
from keras_ste.quantizers import SteSign, XnorSign

SIGN = "ste_sign"
BINARY = {"input_quantizer": SIGN, "kernel_quantizer": SIGN}
DEPTHWISE = {"input_quantizer": SIGN, "depthwise_quantizer": SIGN}
SEPARABLE = {"depthwise_quantizer": SIGN, "pointwise_quantizer": SIGN}
# Batch normalization takes a bias before it away again: its gradient is 0.
NO_BIAS = {"use_bias": False}
# Along the output channels of kernels that do not have them last.
BY_FILTER = XnorSign(scale_axis=-2)

# The default initializer has no bfloat16.
NO_QR = {"recurrent_initializer": "glorot_uniform"}
# A loop over time converts with unroll=True, or with a batch of fixed size.
LOOP = "Lowering tensor list ops is failed"


@dataclasses.dataclass(frozen=True)
class Case:
    """A layer, what it is made with and what it is given.

    Attributes:
        cls: the layer's class.
        arguments: of its constructor.
        shapes: of its inputs, with the batch.
        unknown: axes besides the batch whose size may be None.
        indices: the inputs are integers below this.
        exact: the float twin's result is the same bit for bit, not only nearly.
        inputs_outside: the float twin is given quantized inputs; otherwise the layer has no input
            quantizer, or one that a twin cannot stand for.
        converted: `"packed"`, `"float"`, or a part of TensorFlow's message that it cannot (with the
            batch unknown).
    """

    cls: type
    arguments: dict[str, Any]
    shapes: tuple[tuple[int, ...], ...]
    unknown: tuple[int, ...] = ()
    indices: int = 0
    exact: bool = True
    inputs_outside: bool = True
    converted: str = "float"


CASES = {
    "dense": Case(layers.QuantDense, {"units": 4, **BINARY}, ((3, 2, 7),), unknown=(1,), converted="packed"),
    "dense_batch_norm": Case(
        layers.QuantDenseBatchNorm,
        {"units": 4, **BINARY, **NO_BIAS},
        ((3, 2, 7),),
        unknown=(1,),
        converted="packed",
    ),
    "conv1d": Case(
        layers.QuantConv1D,
        {"filters": 4, "kernel_size": 3, "padding": "same", **BINARY},
        ((3, 6, 2),),
        unknown=(1,),
        converted="packed",
    ),
    "conv1d_causal": Case(
        layers.QuantConv1D,
        {"filters": 4, "kernel_size": 3, "dilation_rate": 2, "padding": "causal", **BINARY},
        ((3, 7, 2),),
        unknown=(1,),
        converted="packed",
    ),
    "conv1d_scaled": Case(
        layers.QuantConv1D,
        {"filters": 4, "kernel_size": 3, "strides": 2, "input_quantizer": SIGN, "kernel_quantizer": "xnor_sign"},
        ((3, 9, 2),),
        unknown=(1,),
        exact=False,
        converted="packed",
    ),
    "conv1d_batch_norm": Case(
        layers.QuantConv1DBatchNorm,
        {"filters": 4, "kernel_size": 3, "folding": "batch", "freeze_after": 9, **BINARY, **NO_BIAS},
        ((3, 6, 2),),
        unknown=(1,),
        converted="packed",
    ),
    "conv2d": Case(
        layers.QuantConv2D,
        {"filters": 4, "kernel_size": 3, **BINARY},
        ((3, 6, 5, 2),),
        unknown=(1, 2),
        converted="packed",
    ),
    "conv2d_batch_norm": Case(
        layers.QuantConv2DBatchNorm,
        {"filters": 4, "kernel_size": 3, "padding": "same", "kernel_quantizer": "xnor_sign", **NO_BIAS},
        ((3, 6, 5, 2),),
        unknown=(1, 2),
        exact=False,
        converted="packed",
    ),
    "conv3d": Case(
        layers.QuantConv3D,
        {"filters": 4, "kernel_size": 2, "padding": "same", **BINARY},
        ((2, 4, 3, 5, 2),),
        unknown=(1, 2, 3),
        converted="packed",
    ),
    "depthwise1d": Case(
        layers.QuantDepthwiseConv1D,
        {"kernel_size": 3, "depth_multiplier": 2, **DEPTHWISE},
        ((3, 6, 2),),
        unknown=(1,),
        converted="packed",
    ),
    "depthwise2d": Case(
        layers.QuantDepthwiseConv2D,
        {"kernel_size": 3, "depth_multiplier": 2, "padding": "same", **DEPTHWISE},
        ((3, 6, 5, 2),),
        unknown=(1, 2),
        converted="packed",
    ),
    "depthwise2d_batch_norm": Case(
        layers.QuantDepthwiseConv2DBatchNorm,
        {"kernel_size": 3, "depth_multiplier": 2, **DEPTHWISE, **NO_BIAS},
        ((3, 6, 5, 2),),
        unknown=(1, 2),
        converted="packed",
    ),
    "depthwise2d_scaled": Case(
        layers.QuantDepthwiseConv2D,
        {"kernel_size": 2, "strides": 2, "depth_multiplier": 3, "depthwise_quantizer": BY_FILTER},
        ((3, 6, 5, 2),),
        unknown=(1, 2),
        exact=False,
        converted="packed",
    ),
    "separable1d": Case(
        layers.QuantSeparableConv1D,
        {"filters": 4, "kernel_size": 3, "input_quantizer": SIGN, **SEPARABLE},
        ((3, 6, 2),),
        unknown=(1,),
        converted="packed",
    ),
    "separable2d": Case(
        layers.QuantSeparableConv2D,
        {"filters": 4, "kernel_size": 3, "padding": "same", "depth_multiplier": 2, **SEPARABLE},
        ((3, 6, 5, 2),),
        unknown=(1, 2),
        exact=False,
        converted="packed",
    ),
    "transposed1d": Case(
        layers.QuantConv1DTranspose,
        {"filters": 4, "kernel_size": 3, "strides": 2, **BINARY},
        ((3, 5, 2),),
        unknown=(1,),
        converted="packed",
    ),
    "transposed2d": Case(
        layers.QuantConv2DTranspose,
        {"filters": 4, "kernel_size": 3, "strides": 2, "padding": "same", **BINARY},
        ((3, 4, 5, 2),),
        unknown=(1, 2),
        converted="packed",
    ),
    "transposed2d_scaled": Case(
        layers.QuantConv2DTranspose,
        {"filters": 4, "kernel_size": 2, "input_quantizer": SIGN, "kernel_quantizer": BY_FILTER},
        ((3, 4, 5, 2),),
        unknown=(1, 2),
        exact=False,
        converted="packed",
    ),
    "transposed3d": Case(
        layers.QuantConv3DTranspose,
        {"filters": 2, "kernel_size": 2, "strides": 2, **BINARY},
        ((2, 3, 2, 4, 2),),
        unknown=(1, 2, 3),
        converted="packed",
    ),
    "einsum": Case(
        layers.QuantEinsumDense,
        {"equation": "btc,chd->bthd", "output_shape": (None, 2, 4), "bias_axes": "hd", **BINARY},
        ((3, 5, 6),),
        unknown=(1,),
        converted="packed",
    ),
    "einsum_two_summed": Case(
        layers.QuantEinsumDense,
        {"equation": "...hd,hdc->...c", "output_shape": 5, "kernel_quantizer": "xnor_sign", "bias_axes": "c"},
        ((3, 4, 2, 3),),
        unknown=(1,),
        exact=False,
        converted="packed",
    ),
    "einsum_turned": Case(
        layers.QuantEinsumDense,
        {"equation": "btc,dc->bdt", "output_shape": (4, None), "bias_axes": "d", "kernel_quantizer": BY_FILTER},
        ((3, 5, 6),),
        unknown=(1,),
        exact=False,
    ),
    "embedding": Case(
        layers.QuantEmbedding,
        {"input_dim": 7, "output_dim": 5, "embeddings_quantizer": SteSign(scale="mean_abs", scale_axis=0)},
        ((3, 4),),
        unknown=(1,),
        indices=7,
        converted="packed",
    ),
    "lstm": Case(
        layers.QuantLSTM,
        {"units": 4, **BINARY, "recurrent_quantizer": "xnor_sign", **NO_QR},
        ((3, 5, 6),),
        unknown=(1,),
        exact=False,
        converted=LOOP,
    ),
    "gru": Case(
        layers.QuantGRU,
        {"units": 4, "unroll": True, **BINARY, "recurrent_quantizer": SIGN, **NO_QR},
        ((3, 5, 6),),
        exact=False,
        converted="packed",
    ),
    "gru_reset_before": Case(
        layers.QuantGRU,
        {"units": 4, "reset_after": False, "recurrent_quantizer": SIGN, **NO_QR},
        ((3, 5, 6),),
        unknown=(1,),
        exact=False,
        converted=LOOP,
    ),
    "multi_head": Case(
        layers.QuantMultiHeadAttention,
        {"num_heads": 2, "key_dim": 3, "kernel_quantizer": "xnor_sign"},
        ((3, 4, 6), (3, 5, 6)),
        unknown=(1,),
        exact=False,
        converted="packed",
    ),
    "grouped_query": Case(
        layers.QuantGroupedQueryAttention,
        {"head_dim": 3, "num_query_heads": 4, "num_key_value_heads": 2, "kernel_quantizer": SIGN},
        ((3, 4, 6), (3, 5, 6)),
        unknown=(1,),
        exact=False,
        converted="packed",
    ),
}

# No case fits these: the module that tests them instead.
TESTED_ELSEWHERE = {
    "QuantGRUCell": "test_recurrent_layers",
    "QuantLSTMCell": "test_recurrent_layers",
    "LearnableBias": "test_small_layers",
    "QuantActivation": "test_small_layers",
    "RPReLU": "test_small_layers",
}
