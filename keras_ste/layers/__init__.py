"""Keras layers on quantized inputs and weights, and the layers of binary networks between them."""

from keras_ste.layers.learnable_bias import LearnableBias
from keras_ste.layers.quant_activation import QuantActivation
from keras_ste.layers.quant_conv1d import QuantConv1D
from keras_ste.layers.quant_conv1d_batch_norm import QuantConv1DBatchNorm
from keras_ste.layers.quant_conv1d_transpose import QuantConv1DTranspose
from keras_ste.layers.quant_conv2d import QuantConv2D
from keras_ste.layers.quant_conv2d_batch_norm import QuantConv2DBatchNorm
from keras_ste.layers.quant_conv2d_transpose import QuantConv2DTranspose
from keras_ste.layers.quant_conv3d import QuantConv3D
from keras_ste.layers.quant_conv3d_transpose import QuantConv3DTranspose
from keras_ste.layers.quant_dense import QuantDense
from keras_ste.layers.quant_dense_batch_norm import QuantDenseBatchNorm
from keras_ste.layers.quant_depthwise_conv1d import QuantDepthwiseConv1D
from keras_ste.layers.quant_depthwise_conv2d import QuantDepthwiseConv2D
from keras_ste.layers.quant_depthwise_conv2d_batch_norm import QuantDepthwiseConv2DBatchNorm
from keras_ste.layers.quant_einsum_dense import QuantEinsumDense
from keras_ste.layers.quant_embedding import QuantEmbedding
from keras_ste.layers.quant_grouped_query_attention import QuantGroupedQueryAttention
from keras_ste.layers.quant_gru import QuantGRU, QuantGRUCell
from keras_ste.layers.quant_lstm import QuantLSTM, QuantLSTMCell
from keras_ste.layers.quant_multi_head_attention import QuantMultiHeadAttention
from keras_ste.layers.quant_separable_conv1d import QuantSeparableConv1D
from keras_ste.layers.quant_separable_conv2d import QuantSeparableConv2D
from keras_ste.layers.quantized_call import quantized_call
from keras_ste.layers.rprelu import RPReLU

__all__ = [
    "LearnableBias",
    "QuantActivation",
    "QuantConv1D",
    "QuantConv1DBatchNorm",
    "QuantConv1DTranspose",
    "QuantConv2D",
    "QuantConv2DBatchNorm",
    "QuantConv2DTranspose",
    "QuantConv3D",
    "QuantConv3DTranspose",
    "QuantDense",
    "QuantDenseBatchNorm",
    "QuantDepthwiseConv1D",
    "QuantDepthwiseConv2D",
    "QuantDepthwiseConv2DBatchNorm",
    "QuantEinsumDense",
    "QuantEmbedding",
    "QuantGRU",
    "QuantGRUCell",
    "QuantGroupedQueryAttention",
    "QuantLSTM",
    "QuantLSTMCell",
    "QuantMultiHeadAttention",
    "QuantSeparableConv1D",
    "QuantSeparableConv2D",
    "RPReLU",
    "quantized_call",
]
