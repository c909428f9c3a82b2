"""Estimators: functions with a surrogate gradient, and the surrogates."""

from keras_ste.estimators import forwards, schedules, surrogates
from keras_ste.estimators.clamp import ste_clamp
from keras_ste.estimators.ready_made import (
    ste_abs,
    ste_ceil,
    ste_dithered_round,
    ste_dpu_round,
    ste_floor,
    ste_heaviside,
    ste_round,
    ste_round_to_zero,
    ste_sign,
    ste_stochastic_round,
    ste_ternary_sign,
)
from keras_ste.estimators.schedules import Schedule
from keras_ste.estimators.straight_through import straight_through
from keras_ste.estimators.surrogates import *  # noqa: F403

# The surrogates; what finds them by name stays in their module.
__all__ = [name for name in surrogates.__all__ if name[0].isupper()]
__all__ += [
    "Schedule",
    "forwards",
    "schedules",
    "ste_abs",
    "ste_ceil",
    "ste_clamp",
    "ste_dithered_round",
    "ste_dpu_round",
    "ste_floor",
    "ste_heaviside",
    "ste_round",
    "ste_round_to_zero",
    "ste_sign",
    "ste_stochastic_round",
    "ste_ternary_sign",
    "straight_through",
    "surrogates",
]
