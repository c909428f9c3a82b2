"""Straight-through estimators for Keras 3: from training to phones and microcontrollers.

The estimators, quantizers and layers are imported with the package; the converter and the runtimes
only when they are first used.
"""

from __future__ import annotations

import importlib
from typing import Any

import keras

if keras.backend.backend() != "tensorflow":
    raise ImportError(
        "keras_ste needs Keras to run on TensorFlow, but its backend is "
        f"'{keras.backend.backend()}'. Set the environment variable KERAS_BACKEND=tensorflow "
        'before Keras is imported, or "backend": "tensorflow" in ~/.keras/keras.json.'
    )

from keras_ste import estimators, layers, quantizers
from keras_ste.estimators import straight_through
from keras_ste.layers import (
    LearnableBias,
    QuantActivation,
    QuantConv1D,
    QuantConv1DBatchNorm,
    QuantConv1DTranspose,
    QuantConv2D,
    QuantConv2DBatchNorm,
    QuantConv2DTranspose,
    QuantConv3D,
    QuantConv3DTranspose,
    QuantDense,
    QuantDenseBatchNorm,
    QuantDepthwiseConv1D,
    QuantDepthwiseConv2D,
    QuantDepthwiseConv2DBatchNorm,
    QuantEinsumDense,
    QuantEmbedding,
    QuantGRU,
    QuantGRUCell,
    QuantGroupedQueryAttention,
    QuantLSTM,
    QuantLSTMCell,
    QuantMultiHeadAttention,
    QuantSeparableConv1D,
    QuantSeparableConv2D,
    RPReLU,
)
from keras_ste.quantizers import Quantizer, QuantSpec, SteSign, XnorSign
from keras_ste.version import __version__

_MODULES = ("blocks", "models", "optimization", "runtime", "training")
_LAZY = {
    "ConvertedModel": "keras_ste.converter.convert",
    "benchmark": "keras_ste.benchmarking",
    "convert": "keras_ste.converter.convert",
    "inspect": "keras_ste.inspection",
    "Interpreter": "keras_ste.runtime.interpreter",
    "MicroInterpreter": "keras_ste.runtime.micro",
    "export_saved_model": "keras_ste.converter.saved_model",
    "export_scope": "keras_ste.layers.export",
    "plot": "keras_ste.plotting",
    "plot_codes": "keras_ste.plotting",
    "summary": "keras_ste.model_summary",
}

__all__ = [
    "ConvertedModel",
    "Interpreter",
    "LearnableBias",
    "MicroInterpreter",
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
    "QuantSpec",
    "Quantizer",
    "RPReLU",
    "SteSign",
    "XnorSign",
    "__version__",
    "benchmark",
    "blocks",
    "convert",
    "estimators",
    "export_saved_model",
    "export_scope",
    "inspect",
    "layers",
    "models",
    "optimization",
    "plot",
    "plot_codes",
    "quantizers",
    "runtime",
    "straight_through",
    "summary",
    "training",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"keras_ste.{name}")
    if name not in _LAZY:
        raise AttributeError(f"module 'keras_ste' has no attribute {name!r}")
    value = getattr(importlib.import_module(_LAZY[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY, *_MODULES})
