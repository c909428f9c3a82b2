"""Estimators: functions with a surrogate gradient, and the surrogates."""

from keras_ste.estimators import surrogates
from keras_ste.estimators.straight_through import straight_through
from keras_ste.estimators.surrogates import ClippedIdentity, Identity, Surrogate

__all__ = ["ClippedIdentity", "Identity", "Surrogate", "straight_through", "surrogates"]
