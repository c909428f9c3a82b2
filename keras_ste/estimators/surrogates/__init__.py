"""Surrogates: derivatives that stand in for the one of a function that has none of use."""

from keras_ste.estimators.surrogates.base import (
    ClippedIdentity,
    Identity,
    Surrogate,
    get,
    names,
    serialize,
)
