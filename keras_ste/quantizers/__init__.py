"""Quantizers: estimators that can say which integer code a value gets, and what it is worth."""

from keras_ste.quantizers.base import (
    Quantizer,
    VariableQuantizer,
    get,
    names,
    register,
    serialize,
)
from keras_ste.quantizers.sign import SteSign, XnorSign
from keras_ste.quantizers.spec import QuantSpec

__all__ = [
    "QuantSpec",
    "Quantizer",
    "SteSign",
    "VariableQuantizer",
    "XnorSign",
    "get",
    "names",
    "register",
    "serialize",
]
