"""Kernel regularizers and constraints used with binary networks."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_ste")
class WeightClip(keras.constraints.Constraint):
    """Keeps latent weights in `[-clip_value, clip_value]`, where a clipped surrogate lets them move.

    M. Courbariaux et al., *BinaryConnect*, arXiv:1511.00363.

    Args:
        clip_value: the bound, positive.

    Raises:
        ValueError: the bound is not positive.

    >>> WeightClip(1.0)(ops.array([-3.0, 0.5])).numpy().tolist()
    [-1.0, 0.5]
    """

    def __init__(self, clip_value: float = 1.0):
        if not clip_value > 0:
            raise ValueError(f"WeightClip needs a positive clip_value. Received: {clip_value!r}.")
        self.clip_value = float(clip_value)

    def __call__(self, w):
        return ops.clip(w, -self.clip_value, self.clip_value)

    def get_config(self) -> dict[str, Any]:
        return {"clip_value": self.clip_value}


@keras.saving.register_keras_serializable(package="keras_ste")
class Bipolar(keras.regularizers.Regularizer):
    """Draws every weight to -a or +a, whichever is nearer.

        order 1:  strength · Σ |a - |w||        order 2:  strength · Σ (a - |w|)²

    S. Darabi et al., *BNN+: Improved Binary Network Training*, arXiv:1812.11800, where
    a is a trained scale; here it is a constant.

    Args:
        strength: factor of the sum, at least 0.
        order: 1 or 2.
        target: a, positive.

    Raises:
        ValueError: a value out of its range.

    >>> float(Bipolar(0.5, order=2)(ops.array([1.0, -0.5, 0.0])))
    0.625
    """

    def __init__(self, strength: float = 1e-5, order: int = 1, target: float = 1.0):
        if not strength >= 0:
            raise ValueError(f"Bipolar needs a strength of at least 0. Received: {strength!r}.")
        if order not in (1, 2):
            raise ValueError(f"Bipolar's order must be 1 or 2. Received: {order!r}.")
        if not target > 0:
            raise ValueError(f"Bipolar needs a positive target. Received: {target!r}.")
        self.strength = float(strength)
        self.order = int(order)
        self.target = float(target)

    def __call__(self, w):
        distance = self.target - ops.abs(w)
        total = ops.sum(ops.abs(distance) if self.order == 1 else ops.square(distance))
        return self.strength * total

    def get_config(self) -> dict[str, Any]:
        return {"strength": self.strength, "order": self.order, "target": self.target}
