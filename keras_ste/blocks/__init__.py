"""Blocks of published networks, as functions from Keras tensors to Keras tensors."""

from keras_ste.blocks.bitnet import bit_linear, bitnet_attention, bitnet_block, bitnet_mlp
from keras_ste.blocks.reactnet import reactnet_block

__all__ = ["bit_linear", "bitnet_attention", "bitnet_block", "bitnet_mlp", "reactnet_block"]
