"""Published networks for small inputs, made of the blocks in `keras_ste.blocks`."""

from keras_ste.models.bireal import bireal_net
from keras_ste.models.bitnet import bitnet_transformer
from keras_ste.models.meliusnet import meliusnet
from keras_ste.models.quicknet import quicknet
from keras_ste.models.reactnet import reactnet
from keras_ste.models.real_to_binary import real_to_binary_net

__all__ = [
    "bireal_net",
    "bitnet_transformer",
    "meliusnet",
    "quicknet",
    "reactnet",
    "real_to_binary_net",
]
