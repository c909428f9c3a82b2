"""A surrogate that draws random numbers."""

from __future__ import annotations

import math
from typing import Any

import keras
import tensorflow as tf

from keras_ste.estimators import parameters
from keras_ste.estimators.surrogates.base import Surrogate, register


@register(aliases=("sso",))
class StochasticSpikeOperator(Surrogate):
    """1 above the threshold and noise below it, for the step.

        d(x) = 1 where x > 0, else variance (U + mean),  U uniform in [-1/2, 1/2)        area ∞

    The supremum is `max(1, variance (1/2 + mean))`. As in snnTorch (SSO), by whose names the
    arguments go: the noise has the mean `variance · mean` and the variance `variance² / 12`.

    Args:
        mean: number that is added to U.
        variance: number the sum is multiplied by; at least 0.
        seed: `None`, an integer or a `keras.random.SeedGenerator`.

    >>> d = StochasticSpikeOperator(seed=1)([-1.0, 0.0, 1.0]).numpy()
    >>> bool((abs(d[:2]) <= 0.1).all()), float(d[2])
    (True, 1.0)
    """

    area = math.inf

    def __init__(self, mean: float = 0.0, variance: float = 0.2, seed: Any = None):
        self.mean = parameters.check("StochasticSpikeOperator", "mean", mean)
        self.variance = parameters.check(
            "StochasticSpikeOperator", "variance", variance, at_least=0
        )
        if isinstance(seed, dict):
            seed = keras.saving.deserialize_keras_object(seed)
        self._seed = seed
        if not isinstance(seed, keras.random.SeedGenerator):
            seed = keras.random.SeedGenerator(seed)
        self._generator = seed

    @property
    def peak(self) -> float:
        mean, variance = parameters.present(self.mean), parameters.present(self.variance)
        return max(1.0, variance * (0.5 + mean))

    def derivative(self, x: tf.Tensor) -> tf.Tensor:
        wide = tf.float64 if x.dtype == tf.float64 else tf.float32
        noise = keras.random.uniform(
            tf.shape(x), -0.5, 0.5, dtype=wide.name, seed=self._generator
        )
        noise = (noise + parameters.in_dtype(self.mean, wide)) * parameters.in_dtype(
            self.variance, wide
        )
        return tf.cast(tf.where(x > 0, tf.ones_like(noise), noise), x.dtype)

    def get_config(self) -> dict[str, Any]:
        seed = self._seed
        if isinstance(seed, keras.random.SeedGenerator):
            seed = keras.saving.serialize_keras_object(seed)
        return {
            "mean": parameters.serialize(self.mean),
            "variance": parameters.serialize(self.variance),
            "seed": seed,
        }
