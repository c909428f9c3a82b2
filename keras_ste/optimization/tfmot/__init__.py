"""The quantizers of keras_ste in tensorflow-model-optimization, for models of tf_keras (Keras 2)."""

import os

_LEGACY = "TF_USE_LEGACY_KERAS"
_before = os.environ.get(_LEGACY)
try:
    import tensorflow_model_optimization  # noqa: F401
    import tf_keras  # noqa: F401
except ImportError as error:
    raise ImportError(
        "keras_ste.optimization.tfmot needs tensorflow-model-optimization and tf_keras: "
        'pip install "keras_ste[tfmot]". For Keras 3 models there is keras_ste.optimization.'
    ) from error
if _before is None:
    # tfmot sets it, and processes that this one starts would have it.
    os.environ.pop(_LEGACY, None)

from keras_ste.optimization.tfmot.configs import (
    ActivationQuantizeConfig,
    BatchNormQuantizeConfig,
    ConvQuantizeConfig,
    ConvTransposeQuantizeConfig,
    DenseQuantizeConfig,
    DepthwiseConvQuantizeConfig,
    SeparableConvQuantizeConfig,
)
from keras_ste.optimization.tfmot.keras3 import to_keras3
from keras_ste.optimization.tfmot.quantizers import ActivationQuantizer, WeightQuantizer
from keras_ste.optimization.tfmot.scheme import LayoutTransform, QuantizeRegistry, QuantizeScheme, quantize_scope
from keras_ste.optimization.tfmot.wrapper import SteQuantizeWrapper, schedules_of

__all__ = [
    "ActivationQuantizeConfig",
    "ActivationQuantizer",
    "BatchNormQuantizeConfig",
    "ConvQuantizeConfig",
    "ConvTransposeQuantizeConfig",
    "DenseQuantizeConfig",
    "DepthwiseConvQuantizeConfig",
    "LayoutTransform",
    "QuantizeRegistry",
    "QuantizeScheme",
    "SeparableConvQuantizeConfig",
    "SteQuantizeWrapper",
    "WeightQuantizer",
    "quantize_scope",
    "schedules_of",
    "to_keras3",
]
