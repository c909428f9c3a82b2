"""Makes an existing Keras 3 model binary or k-bit without rewriting it."""

from keras_ste.optimization import schemes
from keras_ste.optimization.allocation import (
    Allocation,
    Sensitivity,
    allocate,
    pareto_front,
    plot_pareto,
    sensitivity,
)
from keras_ste.optimization.annotate import quantize_annotate_layer
from keras_ste.optimization.calibration import calibrate
from keras_ste.optimization.post_training import correct_bias, post_training_quantize, round_adaptively
from keras_ste.optimization.quantize import quantize_apply, quantize_model
from keras_ste.optimization.report import QuantizationReport
from keras_ste.optimization.schemes import LayerScheme, Rule, Scheme
from keras_ste.optimization.sublayers import QuantizedSubclassedModel, QuantizedSublayers
from keras_ste.optimization.timing import measured_times

__all__ = [
    "Allocation",
    "LayerScheme",
    "QuantizationReport",
    "QuantizedSubclassedModel",
    "QuantizedSublayers",
    "Rule",
    "Scheme",
    "Sensitivity",
    "allocate",
    "calibrate",
    "correct_bias",
    "measured_times",
    "pareto_front",
    "plot_pareto",
    "post_training_quantize",
    "quantize_annotate_layer",
    "quantize_apply",
    "quantize_model",
    "round_adaptively",
    "schemes",
    "sensitivity",
]
