"""Quantizers: estimators that can say which integer code a value gets, and what it is worth."""

from keras_ste.quantizers.ada_bin import AdaBin, AdaBinActivation
from keras_ste.quantizers.base import (
    Quantizer,
    VariableQuantizer,
    get,
    names,
    register,
    serialize,
)
from keras_ste.quantizers.bitnet import BitnetActivation, BitnetBinary, BitnetTernary
from keras_ste.quantizers.heaviside import SteHeaviside
from keras_ste.quantizers.irnet import IRNetSign
from keras_ste.quantizers.rsign import RSign
from keras_ste.quantizers.sign import SteSign, XnorSign
from keras_ste.quantizers.smooth_sign import ApproxSign, MagnitudeAwareSign, SwishSign
from keras_ste.quantizers.spec import QuantSpec
from keras_ste.quantizers.stochastic import StochasticBinary, StochasticTernary
from keras_ste.quantizers.ternary import TTQ, TWN, SteTern

__all__ = [
    "AdaBin",
    "AdaBinActivation",
    "ApproxSign",
    "BitnetActivation",
    "BitnetBinary",
    "BitnetTernary",
    "IRNetSign",
    "MagnitudeAwareSign",
    "QuantSpec",
    "Quantizer",
    "RSign",
    "SteHeaviside",
    "SteSign",
    "SteTern",
    "StochasticBinary",
    "StochasticTernary",
    "SwishSign",
    "TTQ",
    "TWN",
    "VariableQuantizer",
    "XnorSign",
    "get",
    "names",
    "register",
    "serialize",
]
