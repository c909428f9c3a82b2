"""`CaseOptimizer`: one optimizer for binary variables, another for the rest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from keras_ste.quantizers import Quantizer


@keras.saving.register_keras_serializable(package="keras_ste")
def is_binary(variable: Any) -> bool:
    """Whether a variable is the weights of a layer that quantizes them to one bit.

    >>> import keras_ste
    >>> layer = keras_ste.QuantDense(2, kernel_quantizer="ste_sign")
    >>> layer.build((None, 3))
    >>> is_binary(layer.kernel), is_binary(layer.bias)
    (True, False)
    """
    quantizer = getattr(variable, "quantizer", None)
    return isinstance(quantizer, Quantizer) and quantizer.spec.bits == 1


@keras.saving.register_keras_serializable(package="keras_ste")
class CaseOptimizer(keras.optimizers.Optimizer):
    """Gives every variable to the first optimizer whose predicate says yes.

    Args:
        *cases: pairs `(predicate, optimizer)`; a predicate maps a Keras variable to a boolean. To be
            saved with the model it has to be registered, by
            `keras.saving.register_keras_serializable`, as `is_binary` is.
        default_optimizer: gets the variables that no predicate wants. Without one, they are an error.
        name: of the optimizer.

    `learning_rate` is that of the default optimizer, so that callbacks which change learning rates
    change that one.

    Raises:
        TypeError: a case that is not a predicate and an optimizer.
        ValueError: one optimizer given twice; and, at the first step, a variable that no case takes.

    >>> from keras_ste.training import Bop
    >>> optimizer = CaseOptimizer((is_binary, Bop()), default_optimizer=keras.optimizers.Adam(1e-3))
    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    >>> model.compile(optimizer, "mse")
    """

    def __init__(
        self,
        *cases: tuple[Callable[[Any], bool], Any],
        default_optimizer: Any = None,
        name: str = "case_optimizer",
    ):
        super().__init__(learning_rate=0.0, name=name)
        for case in cases:
            if not (isinstance(case, (tuple, list)) and len(case) == 2 and callable(case[0])):
                raise TypeError(f"CaseOptimizer takes pairs (predicate, optimizer). Received: {case!r}.")
        self.predicates = [predicate for predicate, _ in cases]
        self.case_optimizers = [keras.optimizers.get(optimizer) for _, optimizer in cases]
        self.default_optimizer = None
        if default_optimizer is not None:
            self.default_optimizer = keras.optimizers.get(default_optimizer)
        if len({id(optimizer) for optimizer in self._all()}) != len(self._all()):
            raise ValueError("CaseOptimizer needs an optimizer of its own for each case.")

    def _all(self):
        default = self.default_optimizer
        return [*self.case_optimizers, *([] if default is None else [default])]

    def _choose(self, variable):
        """The place in `_all()` of the variable's optimizer."""
        for i, predicate in enumerate(self.predicates):
            if predicate(variable):
                return i
        if self.default_optimizer is None:
            raise ValueError(
                f"No case of CaseOptimizer takes the variable '{variable.path}', and it has no "
                "default_optimizer."
            )
        return len(self.case_optimizers)

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self._place = {self._var_key(variable): self._choose(variable) for variable in variables}
        for i, optimizer in enumerate(self._all()):
            own = [variable for variable in variables if self._place[self._var_key(variable)] == i]
            with keras.name_scope(optimizer.name):
                optimizer.build(own)

    def apply(self, grads, trainable_variables=None):
        if trainable_variables is None:
            trainable_variables = self._trainable_variables
        trainable_variables = list(trainable_variables)
        if not self.built:
            self.build(trainable_variables)
        for i, optimizer in enumerate(self._all()):
            pairs = [
                (gradient, variable)
                for gradient, variable in zip(grads, trainable_variables, strict=True)
                if self._place[self._var_key(variable)] == i
            ]
            if pairs:
                optimizer.apply(*(list(column) for column in zip(*pairs)))
        self.iterations.assign_add(1)

    @property
    def variables(self):
        """The number of steps, and the variables of each optimizer in turn."""
        return [self.iterations, *(v for optimizer in self._all() for v in optimizer.variables)]

    @property
    def learning_rate(self):
        if self.default_optimizer is None:
            raise AttributeError("A CaseOptimizer without a default_optimizer has no learning_rate.")
        return self.default_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, value):
        if self.default_optimizer is None:
            raise AttributeError("A CaseOptimizer without a default_optimizer has no learning_rate.")
        self.default_optimizer.learning_rate = value

    def finalize_variable_values(self, var_list):
        for i, optimizer in enumerate(self._all()):
            optimizer.finalize_variable_values(
                [variable for variable in var_list if self._place.get(self._var_key(variable)) == i]
            )

    def get_config(self) -> dict[str, Any]:
        serialize = keras.saving.serialize_keras_object
        default = self.default_optimizer
        return {
            "cases": [
                [serialize(predicate), serialize(optimizer)]
                for predicate, optimizer in zip(self.predicates, self.case_optimizers, strict=True)
            ],
            "default_optimizer": None if default is None else serialize(default),
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> CaseOptimizer:
        def restore(part):
            return keras.saving.deserialize_keras_object(part, custom_objects=custom_objects)

        default = config["default_optimizer"]
        return cls(
            *([restore(part) for part in case] for case in config["cases"]),
            default_optimizer=None if default is None else restore(default),
            name=config["name"],
        )
