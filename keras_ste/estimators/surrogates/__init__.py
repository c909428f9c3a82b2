"""Surrogates: derivatives that stand in for the one of a function that has none of use."""

from keras_ste.estimators.surrogates.base import (
    ParametricSurrogate,
    Surrogate,
    UpstreamSurrogate,
    get,
    names,
    names_of,
    register,
    serialize,
)
from keras_ste.estimators.surrogates.dsq import DSQ, DSQRound
from keras_ste.estimators.surrogates.ewgs import EWGS
from keras_ste.estimators.surrogates.exponential import Erf, PiecewiseExp, SpikeRateEscape
from keras_ste.estimators.surrogates.flat import (
    ClippedIdentity,
    Identity,
    LeakyKReLU,
    LeakySpikeOperator,
    PiecewiseLeakyReLU,
    Rect,
    Triangular,
)
from keras_ste.estimators.surrogates.fourier import FourierSeries, SquarewaveFourierSeries
from keras_ste.estimators.surrogates.hyperbolic import EDE, Sigmoid, SwishSign, Tanh
from keras_ste.estimators.surrogates.magnitude import MagnitudeAware
from keras_ste.estimators.surrogates.polynomial import ApproxSign, PiecewiseQuadratic, Polynomial
from keras_ste.estimators.surrogates.rational import (
    S2NN,
    ATan,
    FakeNumericalGradient,
    FastSigmoid,
    LogTailedReLU,
    NonzeroSignLogAbs,
    QPseudoSpike,
    SoftSign,
    SparseFastSigmoid,
    SuperSpike,
)
from keras_ste.estimators.surrogates.reste import ReSTE
from keras_ste.estimators.surrogates.stochastic import StochasticSpikeOperator

__all__ = [
    "ATan",
    "ApproxSign",
    "ClippedIdentity",
    "DSQ",
    "DSQRound",
    "EDE",
    "EWGS",
    "Erf",
    "FakeNumericalGradient",
    "FastSigmoid",
    "FourierSeries",
    "Identity",
    "LeakyKReLU",
    "LeakySpikeOperator",
    "LogTailedReLU",
    "MagnitudeAware",
    "NonzeroSignLogAbs",
    "ParametricSurrogate",
    "PiecewiseExp",
    "PiecewiseLeakyReLU",
    "PiecewiseQuadratic",
    "Polynomial",
    "QPseudoSpike",
    "ReSTE",
    "Rect",
    "S2NN",
    "Sigmoid",
    "SoftSign",
    "SparseFastSigmoid",
    "SpikeRateEscape",
    "SquarewaveFourierSeries",
    "StochasticSpikeOperator",
    "SuperSpike",
    "Surrogate",
    "SwishSign",
    "Tanh",
    "Triangular",
    "UpstreamSurrogate",
    "get",
    "names",
    "names_of",
    "register",
    "serialize",
]
