"""`Distiller`: a quantized network learns from its float twin."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

LOSSES = ("kl", "mse")


@keras.saving.register_keras_serializable(package="keras_ste")
class Distiller(keras.Model):
    """Trains a model, the student, on what another one says as well as on the targets.

        loss = (1 - α) · loss(y, student(x)) + α · d(teacher(x), student(x))
        d = T² · KL(softmax(teacher(x) / T), softmax(student(x) / T))     loss="kl"
        d = mean (teacher(x) - student(x))²                               loss="mse"

    G. Hinton et al., *Distilling the Knowledge in a Neural Network*, arXiv:1503.02531. Compile and fit it as the
    student, which is what it computes; in `evaluate` the loss is the student's alone. The teacher is not trained,
    and computes as outside of training. d is the metric `distillation_loss`. Save and convert `distiller.student`.

    Args:
        student: the model that is trained, with one output.
        teacher: a model of the same inputs and the same shape of output.
        alpha: α, from 0 to 1; at 1 the targets play no part, but have to be there.
        temperature: T, positive.
        loss: `"kl"` or `"mse"`.
        from_logits: for `"kl"`, whether the outputs are logits. If they are probabilities, their logarithms are
            taken for logits.
        **kwargs: as for `keras.Model`.

    Raises:
        ValueError: an argument out of its range.
        TypeError: student or teacher is no Keras model.

    >>> models = [keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)]) for _ in range(2)]
    >>> distiller = Distiller(*models, alpha=0.9, temperature=4.0)
    >>> distiller.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    >>> history = distiller.fit(tf.ones((8, 4)), tf.zeros((8,)), verbose=0).history
    >>> sorted(history)
    ['distillation_loss', 'loss']
    """

    def __init__(
        self,
        student: keras.Model,
        teacher: keras.Model,
        alpha: float = 0.5,
        temperature: float = 4.0,
        loss: str = "kl",
        from_logits: bool = True,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        for name, model in (("student", student), ("teacher", teacher)):
            if not isinstance(model, keras.Model):
                raise TypeError(f"Distiller's {name} must be a Keras 3 model. Received: {model!r}.")
        if not 0 <= alpha <= 1:
            raise ValueError(f"Distiller's alpha must be from 0 to 1. Received: {alpha!r}.")
        if not temperature > 0:
            raise ValueError(f"Distiller's temperature must be positive. Received: {temperature!r}.")
        if loss not in LOSSES:
            raise ValueError(f"Distiller's loss must be one of {', '.join(LOSSES)}. Received: {loss!r}.")
        self.student = student
        self.teacher = teacher
        self.alpha = float(alpha)
        self.temperature = float(temperature)
        self.distillation = loss
        self.from_logits = bool(from_logits)
        self._mean = keras.metrics.Mean(name="distillation_loss")

    # The teacher is saved with the student, and no more.
    @property
    def trainable_variables(self):
        return self.student.trainable_variables

    @property
    def trainable_weights(self):
        return self.student.trainable_weights

    @property
    def losses(self):
        return self.student.losses

    def call(self, inputs, training=None):
        return self.student(inputs, training=training)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        loss = super().compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=training)
        taught = tf.stop_gradient(self.teacher(x, training=False))
        distance = self._distance(tf.cast(taught, tf.float32), tf.cast(y_pred, tf.float32))
        self._mean.update_state(distance)
        return (1 - self.alpha) * loss + self.alpha * tf.cast(distance, loss.dtype) if training else loss

    def _distance(self, taught, said):
        if self.distillation == "mse":
            return tf.reduce_mean(tf.square(taught - said))
        if not self.from_logits:
            taught, said = (tf.math.log(tf.maximum(p, keras.config.epsilon())) for p in (taught, said))
        taught = tf.nn.log_softmax(taught / self.temperature)
        said = tf.nn.log_softmax(said / self.temperature)
        return self.temperature**2 * tf.reduce_mean(tf.reduce_sum(tf.exp(taught) * (taught - said), axis=-1))

    def get_config(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "student": keras.saving.serialize_keras_object(self.student),
            "teacher": keras.saving.serialize_keras_object(self.teacher),
            "alpha": self.alpha,
            "temperature": self.temperature,
            "loss": self.distillation,
            "from_logits": self.from_logits,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Distiller:
        config = dict(config)
        for name in ("student", "teacher"):
            config[name] = keras.saving.deserialize_keras_object(config[name])
        return cls(**config)
