"""A weight quantizer that keeps zeros and clusters."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from keras_ste.quantizers import Quantizer, QuantSpec


class Preserved(Quantizer):
    """Quantizes weights of which some are held at 0, or are held equal.

        q(w) = inner(kept · mean(w over the members of its cluster))

    Args:
        inner: the quantizer, with its variables.
        kept: 0 for weights that are 0, 1 for others; or `None`.
        members: for each weight the number of its cluster; or `None`.
        clusters: how many clusters there are.

    >>> from keras_ste.quantizers import SteTern
    >>> kept = tf.constant([1.0, 1.0, 0.0])
    >>> Preserved(SteTern(), kept, None, None)([0.9, -0.9, 0.9]).numpy().tolist()
    [1.0, -1.0, 0.0]
    """

    def __init__(self, inner: Quantizer, kept: Any, members: Any, clusters: int | None):
        super().__init__(name=inner.name)
        self.inner, self.kept, self.members, self.clusters = inner, kept, members, clusters
        self.built = True

    @property
    def spec(self) -> QuantSpec:
        return self.inner.spec

    def preserve(self, weights: Any) -> tf.Tensor:
        """The weights that are quantized."""
        weights = tf.convert_to_tensor(weights)
        if self.members is not None:
            members = tf.reshape(self.members, [-1])
            means = tf.math.unsorted_segment_mean(tf.reshape(weights, [-1]), members, self.clusters)
            # Of weights that have no clusters the members are -1, which none of these is.
            with tf.control_dependencies(
                [tf.debugging.assert_non_negative(members, f"the weights had no {self.clusters} clusters or fewer")]
            ):
                weights = tf.reshape(tf.gather(means, members), tf.shape(weights))
        return weights if self.kept is None else weights * self.kept

    def factors(self, x: Any, training: bool = False) -> tuple[tf.Tensor, tf.Tensor | None]:
        return self.inner.factors(self.preserve(x), training=training)

    def encode(self, x: Any) -> tf.Tensor | tuple[tf.Tensor, tf.Tensor]:
        return self.inner.encode(self.preserve(x))

    def decode(self, codes: Any, dtype: Any = "float32") -> tf.Tensor:
        return self.inner.decode(codes, dtype)
