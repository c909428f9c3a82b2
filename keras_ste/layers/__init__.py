"""Keras layers on quantized inputs and weights."""

from keras_ste.layers.quant_conv2d import QuantConv2D
from keras_ste.layers.quant_dense import QuantDense

__all__ = ["QuantConv2D", "QuantDense"]
