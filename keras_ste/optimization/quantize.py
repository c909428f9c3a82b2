"""`quantize_model`: a copy of a model whose layers are quantized ones."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import tensorflow as tf

from keras_ste.layers import QuantActivation
from keras_ste.layers.tree import layers_within
from keras_ste.optimization import graph, schemes
from keras_ste.optimization.annotate import QuantizeAnnotate
from keras_ste.optimization.counterparts import (
    COUNTERPARTS,
    FOLDED,
    counterpart,
    fold_obstacle,
    fresh,
    is_quantized,
    obstacle,
    quantized_arguments,
)
from keras_ste.optimization.report import IMPOSSIBLE, KEPT, QUANTIZED, LayerRow, QuantizationReport, describe
from keras_ste.optimization.schemes import LayerScheme, Rule, Scheme
from keras_ste.optimization.sublayers import Path, QuantizedSubclassedModel, QuantizedSublayers, sublayers
from keras_ste.quantizers import Quantizer

_MERGING = (
    keras.layers.Add,
    keras.layers.Subtract,
    keras.layers.Average,
    keras.layers.Maximum,
    keras.layers.Minimum,
    keras.layers.Concatenate,
)
# The class that Keras makes of a model with a graph.
_FUNCTIONAL = type(keras.Model(*[keras.Input(())] * 2))
_HOLDING_ONE = (keras.layers.TimeDistributed, keras.layers.Bidirectional)


def quantize_model(
    model: keras.Model,
    scheme: Any,
    *,
    overrides: Mapping[Any, LayerScheme | None] | None = None,
    layer_map: Mapping[type, type] | None = None,
    strict: bool = False,
) -> keras.Model:
    """A copy of a model with quantized layers in place of Keras's, and the same weights.

    Sequential and functional models, nested ones too, are made anew of copies of their layers. Of layers and
    subclassed models that hold others, a copy has quantized parts: `QuantizedSublayers`, and for the model itself
    `QuantizedSubclassedModel`. The original is not changed, and nothing is shared with it. The copy is not
    compiled; it is saved and loaded without `custom_objects`.

    Args:
        model: a built Keras 3 model.
        scheme: what `keras_ste.optimization.schemes.get` takes: `"binary"`, `"lsq(4, 4)"`, a `Scheme`, ...
        overrides: for single layers what quantizes them, or `None` to leave them in float; the keys are as for
            `Rule`: a name, a pattern of names, a class, ... They come before the scheme's rules.
        layer_map: for classes of your own, the quantized layer that stands for each: one with quantizer arguments,
            made by the config of the original and these.
        strict: makes it an error when a layer that was to be quantized cannot be.

    Returns:
        The model, of the class `keras.Sequential`, `keras.Model` or `QuantizedSubclassedModel`. Its attribute
        `quantization_report` says what became of every layer with weights; it is not saved.

    Raises:
        TypeError: not a Keras 3 model, or not a scheme.
        ValueError: the model has no weights yet, a subclassed one has no config, an override matches no layer, or in
            strict mode a layer cannot be quantized.

    >>> model = keras.Sequential([keras.Input((28, 28, 1)), keras.layers.Conv2D(8, 3, activation="relu"),
    ...     keras.layers.Conv2D(8, 3, name="middle"), keras.layers.Flatten(), keras.layers.Dense(10)])
    >>> quantized = quantize_model(model, "xnor")
    >>> [type(layer).__name__ for layer in quantized.layers]
    ['QuantConv2D', 'QuantConv2D', 'Flatten', 'QuantDense']
    >>> quantized.get_layer("middle").kernel_quantizer.spec.bits
    1
    >>> [row.weights for row in quantized.quantization_report.rows]
    ['8 signed', '1 bipolar', '8 signed']
    """
    if not isinstance(model, keras.Model):
        raise TypeError(f"quantize_model takes a Keras 3 model. Received: {model!r} of type {type(model).__name__}.")
    if not model.built:
        raise ValueError(f"The model '{model.name}' has no weights yet: call it on data, or give it an Input.")
    scheme = schemes.get(scheme)
    added = tuple(Rule(match, layer) for match, layer in (overrides or {}).items())
    scheme = scheme.replace(rules=(*added, *scheme.rules))
    work = _Quantization(scheme, {**COUNTERPARTS, **(layer_map or {})}, folds=not layer_map)
    quantized = work.run(model)
    unused = [rule.match for rule in added if rule not in work.used]
    if unused:
        raise ValueError(f"These overrides match no layer of the model '{model.name}': {unused!r}.")
    report = QuantizationReport(scheme.name, tuple(work.rows))
    if strict and report.impossible:
        listed = "\n".join(f"  {layer}: {reason}" for layer, reason in report.impossible)
        raise ValueError(f"strict=True, but these layers cannot be quantized:\n{listed}")
    quantized.quantization_report = report
    return quantized


def quantize_apply(model: keras.Model, scheme: Any = "int8", **options: Any) -> keras.Model:
    """Quantizes the layers of a model that are marked by `quantize_annotate_layer`, and no others.

    Args:
        model: a built model with marked layers.
        scheme: what quantizes those that are marked without a scheme of their own, the first and last included as it
            says of them.
        **options: as of `quantize_model`.

    Raises:
        ValueError: no layer is marked; and as `quantize_model`.
        TypeError: as `quantize_model`.

    Returns: as `quantize_model`; the marks are gone.
    """
    found = [layer for layer in model._flatten_layers() if isinstance(layer, QuantizeAnnotate)]
    if not found:
        raise ValueError(
            f"The model '{model.name}' has no marked layers: mark them with quantize_annotate_layer, or quantize "
            "all of it with quantize_model."
        )
    marked = {id(layer.layer) for layer in found}
    rules = [Rule(_Same(layer.layer), layer.layer_scheme) for layer in found if layer.layer_scheme is not None]
    rules.append(Rule(lambda layer: id(layer) not in marked, None))
    scheme = schemes.get(scheme)
    return quantize_model(model, scheme.replace(rules=(*rules, *scheme.rules)), **options)


class _Same:
    """A rule's match for one layer."""

    def __init__(self, layer):
        self.layer = layer

    def __call__(self, layer):
        return layer is self.layer


class _Quantization:
    """One run of `quantize_model`: the copies of the layers, and what is said of them.

    Attributes:
        rows: of the report.
        used: the rules that decided about a layer.
    """

    def __init__(self, scheme: Scheme, counterparts: dict[type, type], folds: bool):
        self.scheme = scheme
        self.counterparts = counterparts
        self.rows: list[LayerRow] = []
        self.used: list[Rule] = []
        # The original is kept with its copy, so that its id stays its own.
        self._copies: dict[int, tuple[Any, Any]] = {}
        # Pairs of a layer and its copy, whose variables are still to be given.
        self._pairs: list[tuple[Any, Any]] = []

    def run(self, model: keras.Model) -> keras.Model:
        """The copy of the whole model, with the weights."""
        if _graph_of(model) is not None:
            new = self._model(model, "", [False] * len(_graph_of(model).inputs), True, True)
        else:
            new = self._holder(model, model.name, QuantizedSubclassedModel, self._ends_of(model)) or _copied(model)
            self._pairs.append((model, new))
        for old, copied in self._pairs:
            copy_state(old, copied)
        return new

    def _ends_of(self, model):
        """The first and the last layer of a subclassed model, in the order in which they were made."""
        found = [layer for layer in layers_within(model) if self._can(layer)]
        return (found[0], found[-1]) if found else ()

    # Models that have a graph

    def _model(self, model, prefix, nonnegative, first, last):
        """The copy of a Sequential or functional model.

        Args:
            model: the model.
            prefix: the path of what it is in.
            nonnegative: for each of its inputs, whether there are no negative values.
            first, last: whether it stands next to inputs and outputs of the whole model.
        """
        functional = _graph_of(model)
        uses = graph.uses(functional, self._quantizes, nonnegative, first, last)
        folds = graph.batch_norms_behind(functional, self._may_fold) if self.scheme.fold_batch_norm else {}
        gone = {}

        def copy_of(operation):
            if id(operation) not in self._copies:
                new = self._operation(operation, prefix, uses[id(operation)], folds, gone)
                self._copies[id(operation)] = (operation, new)
            return self._copies[id(operation)][1]

        if isinstance(model, keras.Sequential):
            found = [copy_of(layer) for layer in model.layers]
            kept = [new for layer, new in zip(model.layers, found, strict=True) if id(layer) not in gone]
            (x,) = functional.inputs
            inputs = keras.Input(batch_shape=x.shape, dtype=x.dtype, name=x.name)
            return keras.Sequential([inputs, *kept], name=model.name, trainable=model.trainable)

        def call(operation, *arguments, **options):
            if operation is None:
                # A normalization that is a part of the layer before it.
                return arguments[0]
            return operation(*self._merged(operation, arguments), **options)

        inputs = keras.tree.map_structure(
            lambda x: keras.Input(batch_shape=x.shape, dtype=x.dtype, name=x.name), functional._inputs_struct
        )
        outputs = functional._run_through_graph(inputs, operation_fn=copy_of, call_fn=call)
        new = keras.Model(inputs, outputs, name=model.name)
        new.trainable = model.trainable
        return new

    def _operation(self, operation, prefix, use, folds, gone):
        """The copy of a layer or an op in a graph; `None` for a normalization that was folded."""
        if id(operation) in gone:
            return None
        if not isinstance(operation, keras.layers.Layer):
            return _copied_op(operation)
        batch_norm = folds.get(id(operation))
        new, folded = self._layer(operation, prefix, use, batch_norm)
        if folded:
            gone[id(batch_norm)] = batch_norm
        return new

    def _merged(self, operation, arguments):
        """The arguments of a call; those of layers that merge, each quantized, with one scale."""
        if self.scheme.merge is None or not isinstance(operation, _MERGING):
            return arguments
        quantize = QuantActivation(fresh(self.scheme.merge), name=f"{operation.name}_inputs")
        values, *rest = arguments
        return [[quantize(x) for x in values], *rest]

    # Layers

    def _layer(self, layer, prefix, use, batch_norm=None):
        """The copy of a layer, and whether it is one with the normalization behind it."""
        if isinstance(layer, QuantizeAnnotate):
            return self._layer(layer.layer, prefix, use, batch_norm)
        path = f"{prefix}{layer.name}"
        if _graph_of(layer) is not None:
            inputs = [use.nonnegative] * len(_graph_of(layer).inputs)
            return self._model(layer, f"{path}/", inputs, use.first, use.last), False
        if type(layer) in _HOLDING_ONE:
            return self._around_one(layer, path, use), False
        if self._can(layer):
            return self._leaf(layer, path, use, batch_norm)
        if not is_quantized(layer) and any(self._can(part) for part in layers_within(layer)):
            new = self._holder(layer, path, QuantizedSublayers)
            if new is not None:
                self._pairs.append((layer, new))
                return new, False
        else:
            self._note_float(layer, path)
        new = _copied(layer)
        self._pairs.append((layer, new))
        return new, False

    def _leaf(self, layer, path, use, batch_norm):
        """The copy of a layer that can be quantized, as far as its class says."""
        scheme = self._scheme_of(layer, path, use.first, use.last)
        if scheme is None:
            self._add_row(layer, path, KEPT, reason="the scheme leaves it in float")
            return self._plain_copy(layer), False
        reason = obstacle(layer, self.counterparts)
        if reason is not None:
            self._add_row(layer, path, IMPOSSIBLE, reason=reason)
            return self._plain_copy(layer), False
        if batch_norm is not None:
            try:
                new, reason = self._folded(layer, batch_norm, scheme, use)
            except ValueError as error:
                new, reason = None, str(error)
            if new is not None:
                self._add_row(layer, path, QUANTIZED, new, folded=batch_norm.name)
                return new, True
            reason = f"not folded: {reason}"
        new = counterpart(layer, self.counterparts[type(layer)], scheme, use.nonnegative, use.integers)
        self._add_row(layer, path, QUANTIZED, new, reason=reason)
        self._pairs.append((layer, new))
        return new, False

    def _plain_copy(self, layer):
        new = _copied(layer)
        self._pairs.append((layer, new))
        return new

    def _folded(self, layer, batch_norm, scheme, use):
        """The copy of a layer with the normalization behind it, and `None`; or `None` and why there is none."""
        reason = fold_obstacle(layer, scheme)
        if reason is not None:
            return None, reason
        cls = FOLDED[type(layer)]
        arguments = quantized_arguments(layer, cls, scheme, use.nonnegative, use.integers)
        new = cls.from_layers(layer, batch_norm, **arguments, freeze_after=self.scheme.freeze_after, name=layer.name)
        return new, None

    def _around_one(self, layer, path, use):
        """The copy of a layer that repeats another one."""
        names = [name for name in ("layer", "forward_layer", "backward_layer") if hasattr(layer, name)]
        config = layer.get_config()
        inner = graph.Use(nonnegative=use.nonnegative, integers=use.integers, first=use.first, last=use.last)
        pairs, self._pairs = self._pairs, []
        new, _ = self._layer(getattr(layer, names[0]), f"{path}/", inner)
        self._pairs = pairs
        config["layer"] = keras.saving.serialize_keras_object(new)
        if "backward_layer" in config and config["backward_layer"] is not None:
            # Made by Bidirectional from the other one.
            config["backward_layer"] = None
        copied = type(layer).from_config(config)
        self._pairs.append((layer, copied))
        return copied

    def _holder(self, layer, path, cls, ends=()):
        """The copy of a layer or a model whose parts are quantized, `None` where no part is.

        Args:
            layer: the layer or model.
            path: of it.
            cls: what holds the parts.
            ends: the first and the last layer, where they are known.
        """
        replacements = []
        made: dict[int, Any] = {}
        for steps, part, part_path in self._replaceable(layer, (), path):
            if id(part) not in made:
                made[id(part)] = self._part(part, part_path, ends)
            if made[id(part)] is not None:
                replacements.append({"path": [list(step) for step in steps], "layer": made[id(part)]})
        if not replacements:
            return None
        # Classes that are not registered are known by this.
        classes = {type(part) for part in (layer, *layers_within(layer))}
        classes = {each.__name__: each for each in classes if _is_unregistered(each)}
        try:
            with keras.saving.custom_object_scope(classes):
                return cls(layer, replacements, trainable=layer.trainable)
        except NotImplementedError as error:
            raise ValueError(f"'{layer.name}' of class {type(layer).__name__} cannot be copied: {error}") from error

    def _part(self, part, path, ends):
        """What stands for a part of a layer or model, with any weights; `None` where it stays as it is."""
        first, last = (ends[0], ends[-1]) if ends else (None, None)
        if _graph_of(part) is not None:
            within = [id(each) for each in layers_within(part)]
            # The weights are given to what is made of its config, where nothing can be folded.
            pairs, scheme = self._pairs, self.scheme
            self._pairs, self.scheme = [], scheme.replace(fold_batch_norm=False)
            nonnegative = [False] * len(_graph_of(part).inputs)
            new = self._model(part, f"{path}/", nonnegative, id(first) in within, id(last) in within)
            self._pairs, self.scheme = pairs, scheme
            return new
        scheme = self._scheme_of(part, path, part is first, part is last)
        reason = None if scheme is None else obstacle(part, self.counterparts)
        if scheme is None or reason is not None:
            status = KEPT if scheme is None else IMPOSSIBLE
            self._add_row(part, path, status, reason=reason or "the scheme leaves it in float")
            return None
        new = counterpart(part, self.counterparts[type(part)], scheme)
        new.build_from_config(part.get_build_config())
        self._add_row(part, path, QUANTIZED, new)
        return new

    def _replaceable(
        self, layer: keras.layers.Layer, steps: tuple[Path, ...], path: str, seen: set[int] | None = None
    ) -> Iterator[tuple[tuple[Path, ...], keras.layers.Layer, str]]:
        """The parts of a layer that could be quantized, with the steps that lead there and their path."""
        seen = set() if seen is None else seen
        for step, part in sublayers(layer):
            part_path = f"{path}/{part.name}"
            if self._can(part) or (_graph_of(part) is not None and self._quantizes(part)):
                yield (*steps, step), part, part_path
            elif id(part) not in seen and not is_quantized(part):
                seen.add(id(part))
                if not any(True for _ in sublayers(part)):
                    self._note_float(part, part_path)
                yield from self._replaceable(part, (*steps, step), part_path, seen)

    # What is said of layers

    def _scheme_of(self, layer, path, first, last):
        self.used += [rule for rule in self.scheme.rules if rule.matches(layer, path)][:1]
        return self.scheme.of_layer(layer, path, first, last)

    def _note_float(self, layer, path):
        """A row of a layer with weights that has no counterpart, or is quantized already."""
        if is_quantized(layer):
            self._add_row(layer, path, KEPT, reason="it is a quantized layer already, and stays as it is")
        elif layer.weights and not isinstance(layer, Quantizer):
            reason = obstacle(layer, self.counterparts)
            scheme = self._scheme_of(layer, path, False, False)
            if scheme is None:
                self._add_row(layer, path, KEPT, reason="the scheme leaves it in float")
            elif reason is not None:
                self._add_row(layer, path, IMPOSSIBLE, reason=reason)
            else:
                self._add_row(layer, path, KEPT, reason="it has no kernel: its weights scale and shift")

    def _add_row(self, layer, path, status, new=None, **fields):
        kinds = {"counterpart": "", "weights": "", "inputs": ""}
        if new is not None:
            weights = [name for name in new.quantized_weights] or ["kernel_quantizer"]
            described = [describe(getattr(new, name)) for name in weights]
            kinds = {
                "counterpart": type(new).__name__,
                "weights": ", ".join(dict.fromkeys(described)),
                "inputs": describe(getattr(new, "input_quantizer", None)),
            }
        self.rows.append(LayerRow(path, type(layer).__name__, status, **kinds, **fields))

    def _can(self, layer):
        """Whether a layer's class has a counterpart."""
        return type(layer) in self.counterparts

    def _quantizes(self, operation):
        """Whether an operation of a graph, or one within it, may be quantized."""
        if not isinstance(operation, keras.layers.Layer):
            return False
        return self._can(operation) or is_quantized(operation) or any(
            self._can(part) or is_quantized(part) for part in layers_within(operation)
        )

    def _may_fold(self, operation):
        return type(operation) in FOLDED and self._can(operation)


def _graph_of(model: Any) -> Any:
    """The functional model that a Sequential or functional one is; `None` for any other layer."""
    if isinstance(model, keras.Sequential):
        return model._functional
    # Those of subclasses that are made by a graph are functional too, unless they compute something else.
    graph_of_its_own = hasattr(model, "_nodes_by_depth") and "call" not in vars(type(model))
    return model if graph_of_its_own or type(model) is _FUNCTIONAL else None


def _is_unregistered(cls):
    return keras.saving.get_registered_name(cls) == cls.__name__ and not cls.__module__.startswith("keras.")


def _copied(layer):
    return type(layer).from_config(layer.get_config())


def _copied_op(operation):
    """An op that is no layer, without the calls of the original."""
    new = copy.copy(operation)
    new._inbound_nodes, new._outbound_nodes = [], []
    return new


def copy_state(old: keras.layers.Layer, new: keras.layers.Layer) -> None:
    """Gives a layer the variables of the one it was copied from, parts and all.

    Raises:
        RuntimeError: the two are not made of the same parts.
    """
    if isinstance(new, (QuantizedSublayers, QuantizedSubclassedModel)):
        new = new.layer
    store: dict[str, Any] = {}
    old.save_own_variables(store)
    if store:
        new.load_own_variables({key: tf.convert_to_tensor(value).numpy() for key, value in store.items()})
    parts, copies = ([part for part in each._layers if not isinstance(part, Quantizer)] for each in (old, new))
    if len(parts) != len(copies):
        raise RuntimeError(
            f"'{old.name}' has {len(parts)} parts and its copy has {len(copies)}: this is a bug, please report it."
        )
    for part, copied in zip(parts, copies, strict=True):
        copy_state(part, copied)
