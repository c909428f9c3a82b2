"""Blocks of published networks, as functions from Keras tensors to Keras tensors."""

from keras_ste.blocks.bireal import bireal_block
from keras_ste.blocks.bitnet import bit_linear, bitnet_attention, bitnet_block, bitnet_mlp
from keras_ste.blocks.meliusnet import (
    meliusnet_block,
    meliusnet_dense_block,
    meliusnet_improvement_block,
    meliusnet_transition,
)
from keras_ste.blocks.quicknet import quicknet_block, quicknet_transition
from keras_ste.blocks.reactnet import reactnet_block
from keras_ste.blocks.real_to_binary import real_to_binary_block

__all__ = [
    "bireal_block",
    "bit_linear",
    "bitnet_attention",
    "bitnet_block",
    "bitnet_mlp",
    "meliusnet_block",
    "meliusnet_dense_block",
    "meliusnet_improvement_block",
    "meliusnet_transition",
    "quicknet_block",
    "quicknet_transition",
    "reactnet_block",
    "real_to_binary_block",
]
