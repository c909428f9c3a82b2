"""Training tools: optimizers for binary weights, gradual quantization, schedules, measurements."""

from keras_ste.training.annealing import BitWidthAnnealing, ProgressiveQuantization
from keras_ste.training.bop import Bop, Bop2
from keras_ste.training.case_optimizer import CaseOptimizer, is_binary
from keras_ste.training.distillation import Distiller
from keras_ste.training.gradual import Gradual, GradualQuantization, Partial, TwoStageTraining, gradual_quantizers
from keras_ste.training.monitor import (
    QuantizationMonitor,
    code_histogram,
    codes_of,
    flip_ratio,
    saturated_share,
    weight_quantizers,
)
from keras_ste.training.regularizers import Bipolar, WeightClip
from keras_ste.training.scheduler import HyperparameterScheduler
from keras_ste.training.surrogate_scheduler import SurrogateScheduler, schedules_of

__all__ = [
    "Bipolar",
    "BitWidthAnnealing",
    "Bop",
    "Bop2",
    "CaseOptimizer",
    "Distiller",
    "Gradual",
    "GradualQuantization",
    "HyperparameterScheduler",
    "Partial",
    "ProgressiveQuantization",
    "QuantizationMonitor",
    "SurrogateScheduler",
    "TwoStageTraining",
    "WeightClip",
    "code_histogram",
    "codes_of",
    "flip_ratio",
    "gradual_quantizers",
    "is_binary",
    "saturated_share",
    "schedules_of",
    "weight_quantizers",
]
