"""Optimizers that flip binary weights in place of moving latent ones."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf


class _FlippingOptimizer(keras.optimizers.Optimizer):
    """Flips a weight of ±1 where a moving average of its gradients pushes against it hard enough.

    A variable is made of its signs before the first step, so that there are no latent weights.
    """

    _averages: tuple[str, ...] = ()

    def __init__(self, threshold, gamma, name, **kwargs):
        super().__init__(learning_rate=gamma, name=name, **kwargs)
        if not threshold >= 0:
            raise ValueError(
                f"{type(self).__name__} needs a threshold of at least 0. Received: {threshold!r}."
            )
        for option in ("weight_decay", "use_ema"):
            if getattr(self, option):
                raise ValueError(
                    f"{type(self).__name__} has no {option}: its weights are -1 or +1 at all times."
                )
        # A variable, so that a schedule may move it; not one of the optimizer's state.
        with tf.init_scope():
            self._threshold = tf.Variable(threshold, trainable=False, dtype=tf.float32)

    @property
    def threshold(self) -> float:
        """τ; to set it changes a running training too."""
        return float(self._threshold.numpy())

    @threshold.setter
    def threshold(self, value: float) -> None:
        self._threshold.assign(value)

    @property
    def gamma(self) -> Any:
        """γ: another name of the learning rate."""
        return self.learning_rate

    @gamma.setter
    def gamma(self, value: Any) -> None:
        self.learning_rate = value

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self._state = {name: [] for name in self._averages}
        for variable in variables:
            for name in self._averages:
                self._state[name].append(
                    self.add_variable_from_reference(reference_variable=variable, name=name)
                )

    def _flip(self, variable, pressure):
        """Flips the weights whose signed pressure is above the threshold."""
        signs = tf.where(variable >= 0, tf.ones_like(variable), -tf.ones_like(variable))
        flips = pressure * signs > tf.cast(self._threshold, variable.dtype)
        self.assign(variable, tf.where(flips, -signs, signs))

    def _average(self, name, variable, value, rate):
        """`average += rate · (value - average)`; returns the new average."""
        average = self._state[name][self._get_variable_index(variable)]
        self.assign_add(average, rate * (value - average))
        return tf.convert_to_tensor(average)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        for unused in ("weight_decay", "use_ema", "ema_momentum", "ema_overwrite_frequency"):
            config.pop(unused, None)
        config["gamma"] = config.pop("learning_rate")
        return {**config, "threshold": self.threshold}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> keras.optimizers.Optimizer:
        config = dict(config)
        if isinstance(config["gamma"], dict):
            config["gamma"] = keras.optimizers.schedules.deserialize(config["gamma"], custom_objects)
        return cls(**config)


@keras.saving.register_keras_serializable(package="keras_ste")
class Bop(_FlippingOptimizer):
    """Binary optimizer: flips the weights that a gradient has been pushing against for long enough.

        m ← (1 - γ) m + γ g
        w ← -w   where m · w > τ

    K. Helwegen et al., *Latent Weights Do Not Exist: Rethinking Binarized Neural Network
    Optimization*, arXiv:1906.02107. The first step makes every variable of its signs,
    +1 where it is zero. Use it for binary variables only, with a `CaseOptimizer` for the others.

    Args:
        threshold: τ, at least 0.
        gamma: γ, a number or a `keras.optimizers.schedules.LearningRateSchedule`. It plays the part
            of the learning rate, and is changed by what changes learning rates.
        name: of the optimizer.
        **kwargs: `clipnorm`, `clipvalue`, ... as for every Keras optimizer. There is no weight decay
            and no moving average of weights.

    Raises:
        ValueError: a negative threshold, weight decay, or `use_ema`.

    >>> w = keras.Variable([0.3, -0.2, 1.0])
    >>> optimizer = Bop(threshold=0.1, gamma=0.5)
    >>> optimizer.apply([tf.constant([1.0, 1.0, 0.1])], [w])
    >>> w.numpy().tolist()
    [-1.0, -1.0, 1.0]
    """

    _averages = ("gradient_average",)

    def __init__(self, threshold: float = 1e-8, gamma: Any = 1e-4, name: str = "bop", **kwargs: Any):
        super().__init__(threshold, gamma, name, **kwargs)

    def update_step(self, gradient, variable, learning_rate):
        gamma = tf.cast(learning_rate, variable.dtype)
        gradient = tf.cast(tf.convert_to_tensor(gradient), variable.dtype)
        self._flip(variable, self._average("gradient_average", variable, gradient, gamma))


@keras.saving.register_keras_serializable(package="keras_ste")
class Bop2(_FlippingOptimizer):
    """Second-order Bop: the average gradient is measured by its own spread.

        m ← (1 - γ) m + γ g        v ← (1 - σ) v + σ g²
        w ← -w   where m · w / (√v + ε) > τ

    With `bias_correction`, m is divided by `1 - (1 - γ)^t` and v by `1 - (1 - σ)^t` in the t-th step.
    C. Suarez-Ramirez et al., *A Bop and Beyond: A Second Order Optimizer for Binarized Neural
    Networks*, arXiv:2104.05124.

    Args:
        threshold: τ, at least 0.
        gamma: γ, a number or a `keras.optimizers.schedules.LearningRateSchedule`, in place of a
            learning rate. With `bias_correction` it has to be a constant.
        sigma: σ, in (0, 1].
        epsilon: ε, positive.
        bias_correction: whether averages are corrected for having started at zero.
        name: of the optimizer.
        **kwargs: as for `Bop`.

    Raises:
        ValueError: a value out of its range, weight decay, or `use_ema`.

    >>> w = keras.Variable([1.0, 1.0])
    >>> optimizer = Bop2(threshold=0.4, gamma=0.5, sigma=0.5)
    >>> optimizer.apply([tf.constant([1e-3, -1e-3])], [w])
    >>> w.numpy().tolist()
    [-1.0, 1.0]
    """

    _averages = ("gradient_average", "square_average")

    def __init__(
        self,
        threshold: float = 1e-6,
        gamma: Any = 1e-7,
        sigma: float = 1e-3,
        epsilon: float = 1e-10,
        bias_correction: bool = False,
        name: str = "bop2",
        **kwargs: Any,
    ):
        super().__init__(threshold, gamma, name, **kwargs)
        if not 0 < sigma <= 1:
            raise ValueError(f"Bop2 needs a sigma above 0 and up to 1. Received: {sigma!r}.")
        if not epsilon > 0:
            raise ValueError(f"Bop2 needs a positive epsilon. Received: {epsilon!r}.")
        if bias_correction and isinstance(gamma, keras.optimizers.schedules.LearningRateSchedule):
            raise ValueError("Bop2's bias_correction needs a constant gamma. Received a schedule.")
        self.sigma = float(sigma)
        self.epsilon = float(epsilon)
        self.bias_correction = bool(bias_correction)

    def update_step(self, gradient, variable, learning_rate):
        gamma = tf.cast(learning_rate, variable.dtype)
        sigma = tf.cast(self.sigma, variable.dtype)
        gradient = tf.cast(tf.convert_to_tensor(gradient), variable.dtype)
        mean = self._average("gradient_average", variable, gradient, gamma)
        square = self._average("square_average", variable, gradient * gradient, sigma)
        if self.bias_correction:
            step = tf.cast(self.iterations.value + 1, variable.dtype)
            mean = mean / (1 - tf.pow(1 - gamma, step))
            square = square / (1 - tf.pow(1 - sigma, step))
        self._flip(variable, mean / (tf.sqrt(square) + tf.cast(self.epsilon, variable.dtype)))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "sigma": self.sigma,
            "epsilon": self.epsilon,
            "bias_correction": self.bias_correction,
        }
