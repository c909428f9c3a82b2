"""Quantization that sets in little by little, or late, or for the weights after the activations."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_ste import quantizers
from keras_ste.quantizers import QuantSpec, VariableQuantizer
from keras_ste.training.monitor import weight_quantizers


@keras.saving.register_keras_serializable(package="keras_ste")
class Gradual(VariableQuantizer):
    """A quantizer blended in: `(1 - λ) x + λ q(x)`, with gradient `(1 - λ) + λ · dq/dx`.

    At λ = 0 it is x, at λ = 1 exactly `q(x)`, integers and scale apart. λ is the variable `strength`,
    which is saved with the model and not trained; `GradualQuantization` and `TwoStageTraining` move
    it. Codes, and with them a packed model, there are at λ = 1 only.

    Args:
        quantizer: q: a quantizer, its name or its config.
        strength: λ at the start, from 0 to 1.
        name: by default `"gradual"`.

    Raises:
        TypeError: not a `Quantizer`.
        ValueError: a strength outside [0, 1]; and from `encode`, where λ is not 1.

    >>> q = Gradual("ste_sign", strength=0.5)
    >>> q(tf.constant([0.5, -2.0])).numpy().tolist()
    [0.75, -1.5]
    >>> q.strength.assign(1.0).numpy(), q(tf.constant([0.5, -2.0])).numpy().tolist()
    (np.float32(1.0), [1.0, -1.0])
    """

    def __init__(self, quantizer: Any, strength: float = 0.0, name: str | None = None):
        super().__init__(name=name)
        self.quantizer = quantizers.get(quantizer)
        if not isinstance(self.quantizer, quantizers.Quantizer):
            raise TypeError(f"Gradual takes a Quantizer. Received: {quantizer!r}.")
        if not 0 <= strength <= 1:
            raise ValueError(f"Gradual's strength must be from 0 to 1. Received: {strength!r}.")
        self.initial_strength = float(strength)
        self.strength = self.add_weight(
            shape=(), initializer=keras.initializers.Constant(strength), trainable=False, name="strength"
        )

    def build(self, shape: Any) -> None:
        if not getattr(self.quantizer, "built", False):
            self.quantizer.build(shape)

    @property
    def spec(self) -> QuantSpec:
        return self.quantizer.spec

    def factors(self, x: Any, training: bool = False) -> tuple[tf.Tensor, tf.Tensor | None]:
        x = tf.convert_to_tensor(x)
        self._ensure_built(x)
        integers, scale = self.quantizer.factors(x, training=training)
        strength = tf.cast(tf.convert_to_tensor(self.strength), x.dtype)
        unscaled = x if scale is None else tf.math.divide_no_nan(x, scale)
        return self._blend(x, unscaled, integers, strength, training), scale

    def _blend(self, x, unscaled, integers, strength, training):
        """What stands between the unscaled x, at strength 0, and the integers."""
        # A product with a weight of 0 is 0, of an infinite x too.
        return tf.math.multiply_no_nan(unscaled, 1 - strength) + tf.math.multiply_no_nan(integers, strength)

    def encode(self, x: Any) -> tf.Tensor | tuple[tf.Tensor, tf.Tensor]:
        strength = self._strength_now()
        if strength != 1:
            raise ValueError(f"{self.name} has codes at strength 1 only; its strength is {strength:g}.")
        return self.quantizer.encode(x)

    def decode(self, codes: Any, dtype: Any = "float32") -> tf.Tensor:
        return self.quantizer.decode(codes, dtype=dtype)

    def sign_argument(self, x: Any) -> Any:
        return self.quantizer.sign_argument(x) if self._strength_now() == 1 else None

    def _strength_now(self):
        with tf.init_scope():
            return float(self.strength.numpy())

    def get_config(self) -> dict[str, Any]:
        return {
            "quantizer": quantizers.serialize(self.quantizer),
            "strength": self.initial_strength,
            **super().get_config(),
        }


CHOICES = ("largest", "random")


@keras.saving.register_keras_serializable(package="keras_ste")
class Partial(Gradual):
    """A quantizer for a share λ of the values: `q(x)` for those that are chosen, x itself for the others.

    As `Gradual`, of which it is one: the same callbacks move its `strength` λ, and at λ = 1 it is exactly q.

    * `choice="largest"`: the λ n values of the greatest |x|, which are chosen anew in every step: A. Zhou et al.,
      *Incremental Network Quantization*, arXiv:1702.03044; there, what has been chosen is not trained any more, here it
      goes on by q's surrogate.
    * `choice="random"`: in training each index of the last axis (of a kernel, the output channels) with the
      probability λ, in every step; outside of training all. Y. Dong et al., *Learning Accurate Low-Bit Deep Neural
      Networks with Stochastic Quantization*, arXiv:1708.01001, with their constant probability.

    Args:
        quantizer, strength: as for `Gradual`.
        choice: `"largest"` or `"random"`.
        seed: of the random choice; `None` draws from Keras's global generator.
        name: by default `"partial"`.

    Raises:
        TypeError, ValueError: as for `Gradual`, and another `choice`.

    >>> q = Partial("ste_sign", strength=0.5)
    >>> q(tf.constant([0.5, -2.0, 0.25, 3.0])).numpy().tolist()
    [0.5, -1.0, 0.25, 1.0]
    """

    def __init__(
        self,
        quantizer: Any,
        strength: float = 0.0,
        choice: str = "largest",
        seed: int | None = None,
        name: str | None = None,
    ):
        super().__init__(quantizer, strength, name=name)
        if choice not in CHOICES:
            raise ValueError(f"Partial's choice must be one of {', '.join(CHOICES)}. Received: {choice!r}.")
        self.choice = choice
        self.seed = seed
        self._generator = keras.random.SeedGenerator(seed) if choice == "random" else None

    def _blend(self, x, unscaled, integers, strength, training):
        return tf.where(self._chosen(x, strength, training), integers, unscaled)

    def _chosen(self, x, strength, training):
        if self.choice == "random":
            if not training:
                return tf.ones_like(x, tf.bool)
            shape = tf.concat([tf.ones(x.shape.rank - 1, tf.int32), tf.shape(x)[-1:]], 0)
            draws = keras.random.uniform(tuple(tf.unstack(shape, x.shape.rank)), seed=self._generator)
            return tf.broadcast_to(tf.cast(draws, x.dtype) < strength, tf.shape(x))
        sizes = tf.sort(tf.reshape(tf.abs(tf.stop_gradient(x)), [-1]), direction="DESCENDING")
        count = tf.cast(tf.round(strength * tf.cast(tf.size(x), x.dtype)), tf.int32)
        least = tf.gather(sizes, tf.maximum(count - 1, 0))
        return (tf.abs(x) >= least) & (count > 0)

    def get_config(self) -> dict[str, Any]:
        return {"choice": self.choice, "seed": self.seed, **super().get_config()}


def gradual_quantizers(model: keras.Model) -> list[Gradual]:
    """The `Gradual` quantizers of a model's layers, nested ones too.

    >>> import keras_ste
    >>> layer = keras_ste.QuantDense(2, kernel_quantizer=Gradual("ste_sign"))
    >>> len(gradual_quantizers(keras.Sequential([keras.Input((3,)), layer])))
    1
    """
    found = {id(layer): layer for layer in model._flatten_layers() if isinstance(layer, Gradual)}
    return list(found.values())


class GradualQuantization(keras.callbacks.Callback):
    """Raises the strength of the model's `Gradual` quantizers from 0 to 1 in a straight line.

    The strength is 0 up to the step `start` and 1 from the step `end` on; with `start == end`
    quantization is delayed, and sets in at once.

    Args:
        start: number of training steps before quantization sets in.
        end: number of training steps after which it is complete.

    Raises:
        ValueError: `end` is before `start`, or the model has no `Gradual` quantizer.

    >>> GradualQuantization(100, 300).strength(200)
    0.5
    """

    def __init__(self, start: int, end: int):
        super().__init__()
        if not 0 <= start <= end:
            raise ValueError(f"GradualQuantization needs 0 <= start <= end. Received: {start}, {end}.")
        self.start, self.end = int(start), int(end)

    def strength(self, step: int) -> float:
        """λ of the step with this number, counted from 0."""
        if step >= self.end:
            return 1.0
        return 0.0 if step <= self.start else (step - self.start) / (self.end - self.start)

    def on_train_begin(self, logs=None):
        self._quantizers = _required(self.model, "GradualQuantization")

    def on_train_batch_begin(self, batch, logs=None):
        # The optimizer's count goes on where a saved training is resumed.
        strength = self.strength(int(self.model.optimizer.iterations.numpy()))
        for quantizer in self._quantizers:
            quantizer.strength.assign(strength)

    def on_epoch_end(self, epoch, logs=None):
        if logs is not None:
            logs["strength"] = float(self._quantizers[0].strength.numpy())


class TwoStageTraining(keras.callbacks.Callback):
    """First binary activations with float weights, then binary weights too.

    In the first stage every `Gradual` quantizer of a weight has the strength 0, in the second the
    strength 1. Inputs are quantized from the start. The recipe of B. Martinez et al., *Training
    Binary Neural Networks with Real-to-Binary Convolutions*, arXiv:2003.11535, and of Z. Liu et
    al., *ReActNet*, arXiv:2003.03488, who take weight decay in the first stage only.

    Args:
        second_stage: the epoch, counted from 0, with which the second stage begins.

    Raises:
        ValueError: a negative epoch, or a model without `Gradual` weight quantizers.

    >>> TwoStageTraining(second_stage=10).second_stage
    10
    """

    def __init__(self, second_stage: int):
        super().__init__()
        if second_stage < 0:
            raise ValueError(f"TwoStageTraining needs an epoch of at least 0. Received: {second_stage!r}.")
        self.second_stage = int(second_stage)

    def on_train_begin(self, logs=None):
        found = [quantizer for quantizer, _ in weight_quantizers(self.model).values()]
        self._quantizers = [quantizer for quantizer in found if isinstance(quantizer, Gradual)]
        if not self._quantizers:
            raise ValueError(
                "TwoStageTraining needs weight quantizers that can be off: "
                "give layers kernel_quantizer=Gradual(...)."
            )

    def on_epoch_begin(self, epoch, logs=None):
        for quantizer in self._quantizers:
            quantizer.strength.assign(float(epoch >= self.second_stage))


def _required(model, who):
    found = gradual_quantizers(model)
    if not found:
        raise ValueError(f"{who} needs a model with Gradual quantizers, and '{model.name}' has none.")
    return found
