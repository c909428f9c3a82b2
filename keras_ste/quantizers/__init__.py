"""Quantizers: estimators that can say which integer code a value gets, and what it is worth."""

from keras_ste.quantizers.ada_bin import AdaBin, AdaBinActivation
from keras_ste.quantizers.affine import AffineQuantizer
from keras_ste.quantizers.apot import Apot
from keras_ste.quantizers.base import (
    Quantizer,
    VariableQuantizer,
    get,
    names,
    register,
    serialize,
)
from keras_ste.quantizers.bitnet import BitnetActivation, BitnetBinary, BitnetTernary
from keras_ste.quantizers.blockwise import BlockwiseQuantizer
from keras_ste.quantizers.dorefa import DorefaActivation, DorefaWeight
from keras_ste.quantizers.fixed_point import FixedPoint
from keras_ste.quantizers.float8 import Float8
from keras_ste.quantizers.heaviside import SteHeaviside
from keras_ste.quantizers.irnet import IRNetSign
from keras_ste.quantizers.learned_bit_width import LearnedBitWidth
from keras_ste.quantizers.lsq import Lsq, LsqPlus
from keras_ste.quantizers.n2uq import N2uq
from keras_ste.quantizers.pact import Pact
from keras_ste.quantizers.rsign import RSign
from keras_ste.quantizers.sawb import Sawb
from keras_ste.quantizers.sign import SteSign, XnorSign
from keras_ste.quantizers.smooth_sign import ApproxSign, MagnitudeAwareSign, SwishSign
from keras_ste.quantizers.spec import QuantSpec
from keras_ste.quantizers.stochastic import StochasticBinary, StochasticTernary
from keras_ste.quantizers.ternary import TTQ, TWN, SteTern
from keras_ste.quantizers.uniform import UniformQuantizer

__all__ = [
    "AdaBin",
    "AdaBinActivation",
    "AffineQuantizer",
    "Apot",
    "ApproxSign",
    "BitnetActivation",
    "BitnetBinary",
    "BitnetTernary",
    "BlockwiseQuantizer",
    "DorefaActivation",
    "DorefaWeight",
    "FixedPoint",
    "Float8",
    "IRNetSign",
    "LearnedBitWidth",
    "Lsq",
    "LsqPlus",
    "MagnitudeAwareSign",
    "N2uq",
    "Pact",
    "QuantSpec",
    "Quantizer",
    "RSign",
    "Sawb",
    "SteHeaviside",
    "SteSign",
    "SteTern",
    "StochasticBinary",
    "StochasticTernary",
    "SwishSign",
    "TTQ",
    "TWN",
    "UniformQuantizer",
    "VariableQuantizer",
    "XnorSign",
    "get",
    "names",
    "register",
    "serialize",
]
