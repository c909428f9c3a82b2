"""Schemes: what quantizes each layer of a model, ready-made and made from rules."""

from __future__ import annotations

import dataclasses
import fnmatch
import functools
import re
from collections.abc import Callable, Mapping
from typing import Any

import keras

from keras_ste import quantizers
from keras_ste.quantizers import (
    TWN,
    BitnetActivation,
    BitnetTernary,
    DorefaActivation,
    DorefaWeight,
    Lsq,
    SteSign,
    UniformQuantizer,
    XnorSign,
)
from keras_ste.training import Gradual, Partial


@dataclasses.dataclass(frozen=True)
class LayerScheme:
    """What quantizes a layer: prototypes, of which every layer gets quantizers of its own.

    Args:
        weights: a quantizer, its name or config, or `None`: for all kernels of the layer. A `scale_axis` that is
            not `None` is taken to mean the output channels, wherever the layer's kernel has them.
        inputs: the same for what the layer multiplies them by, the state of a recurrent layer included.
        nonnegative_inputs: the same in place of `inputs` where what enters is known to have no negative values,
            as behind a ReLU. By default `inputs`.
        arguments: further arguments of the quantized layer, where it has them: `{"pad_values": 1}`, or a quantizer
            of its own for one argument, `{"scores_quantizer": ...}`.

    Raises:
        ValueError: an unknown quantizer.
        TypeError: a quantizer that cannot be called, or arguments that are no mapping.

    >>> LayerScheme(weights="bitnet_ternary").weights
    BitnetTernary(surrogate=Identity(), scale_axis=None, name='bitnet_ternary', epsilon=1e-05)
    """

    weights: Any = None
    inputs: Any = None
    nonnegative_inputs: Any = None
    arguments: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        inputs = self.inputs if self.nonnegative_inputs is None else self.nonnegative_inputs
        for field, value in (("weights", self.weights), ("inputs", self.inputs), ("nonnegative_inputs", inputs)):
            object.__setattr__(self, field, quantizers.get(value))
        if not isinstance(self.arguments, Mapping):
            raise TypeError(f"LayerScheme's arguments must be a mapping. Received: {self.arguments!r}.")

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an equal one."""
        fields = ("weights", "inputs", "nonnegative_inputs")
        config = {field: quantizers.serialize(getattr(self, field)) for field in fields}
        arguments = {
            name: quantizers.serialize(value) if isinstance(value, quantizers.Quantizer) else value
            for name, value in self.arguments.items()
        }
        return {**config, "arguments": arguments}


# Which layers a rule is for: classes, names or a function.
Match = type | tuple[type, ...] | str | re.Pattern | Callable[[keras.layers.Layer], bool]


@dataclasses.dataclass(frozen=True)
class Rule:
    """What quantizes the layers that match.

    Args:
        match: a Keras layer class or several (subclasses count); a pattern for names, `"block_*_expand"`, as of
            files; `re.compile(...)`, which is searched for in the name; or a function of the layer. Names are the
            layer's own and its path in the model, `"backbone/block_1_expand"`; one that fits is enough.
        layer: a `LayerScheme`, or `None` to leave the layer in float.

    Raises:
        TypeError: something else.

    >>> Rule("block_*", None).matches(keras.layers.Dense(2, name="block_1"), "net/block_1")
    True
    """

    match: Match
    layer: LayerScheme | None

    def __post_init__(self):
        several = isinstance(self.match, tuple) and all(isinstance(each, type) for each in self.match)
        if not (several or isinstance(self.match, (str, re.Pattern)) or callable(self.match)):
            raise TypeError(
                "A rule matches by a layer class or a tuple of them, a name pattern, a compiled regular expression or "
                f"a function. Received: {self.match!r}."
            )
        _check_layer_scheme("Rule's layer", self.layer)

    def matches(self, layer: keras.layers.Layer, path: str) -> bool:
        """Whether the rule is for this layer, which has this path in the model."""
        if isinstance(self.match, (type, tuple)):
            return isinstance(layer, self.match)
        if isinstance(self.match, str):
            return any(fnmatch.fnmatchcase(name, self.match) for name in (layer.name, path))
        if isinstance(self.match, re.Pattern):
            return any(self.match.search(name) for name in (layer.name, path))
        return bool(self.match(layer))


# 8 bits: a scale for each output channel of the weights, which follows them, and a learned one for the inputs.
EIGHT_BITS = LayerScheme(
    weights=UniformQuantizer(8, scale_axis=-1, narrow_range=True),
    inputs=Lsq(8),
    nonnegative_inputs=Lsq(8, signed=False),
)


@dataclasses.dataclass(frozen=True)
class Scheme:
    """What quantizes the layers of a model.

    For each layer the first of these that says something: the rules, in their order; `first`, `last` and
    `embeddings`, where the layer is one; `default`.

    Args:
        name: for messages.
        default: a `LayerScheme` for all layers, `None` to leave them in float, or a function of the layer that
            returns either.
        rules: `Rule`s that come first.
        first, last: for the layers next to the inputs and outputs of the model; `None` leaves them in float.
        embeddings: for `keras.layers.Embedding`.
        merge: a quantizer for what `Add`, `Subtract`, `Average`, `Maximum`, `Minimum` and `Concatenate` get: one for
            all inputs of such a layer, so that they share a scale. By default they are not quantized.
        fold_batch_norm: whether a layer and the batch normalization behind it become one layer, which quantizes
            the folded kernel, where there is such a layer.
        freeze_after: the number of training steps after which folded statistics stay as they are, or `None`.

    Raises:
        TypeError: an argument of another kind.

    >>> scheme = get("binary").where("block_1*", None).where(keras.layers.Dense, EIGHT_BITS)
    >>> [rule.match for rule in scheme.rules]
    [<class 'keras.src.layers.core.dense.Dense'>, 'block_1*']
    """

    name: str
    default: LayerScheme | None | Callable[[keras.layers.Layer], LayerScheme | None]
    rules: tuple[Rule, ...] = ()
    first: LayerScheme | None = EIGHT_BITS
    last: LayerScheme | None = EIGHT_BITS
    embeddings: LayerScheme | None = EIGHT_BITS
    merge: Any = None
    fold_batch_norm: bool = False
    freeze_after: int | None = None

    def __post_init__(self):
        if not callable(self.default):
            _check_layer_scheme("Scheme's default", self.default)
        for field in ("first", "last", "embeddings"):
            _check_layer_scheme(f"Scheme's {field}", getattr(self, field))
        object.__setattr__(self, "rules", tuple(self.rules))
        if not all(isinstance(rule, Rule) for rule in self.rules):
            raise TypeError(f"Scheme's rules must be Rule objects. Received: {self.rules!r}.")
        object.__setattr__(self, "merge", quantizers.get(self.merge))

    def where(self, match: Match, layer: LayerScheme | None) -> Scheme:
        """The same scheme with a rule that comes before all others."""
        return dataclasses.replace(self, rules=(Rule(match, layer), *self.rules))

    def keep(self, *matches: Match) -> Scheme:
        """The same scheme, which leaves these layers in float."""
        return dataclasses.replace(self, rules=(*(Rule(match, None) for match in matches), *self.rules))

    def replace(self, **fields: Any) -> Scheme:
        """The same scheme with other fields: `scheme.replace(last=None)`."""
        return dataclasses.replace(self, **fields)

    def gradual(self, strength: float = 0.0, choice: str | None = None) -> Scheme:
        """The same scheme with each quantizer in a `keras_ste.training.Gradual`, which callbacks blend in.

        `GradualQuantization`, `ProgressiveQuantization` and `TwoStageTraining` move its strength from 0 to 1.

        Args:
            strength: that of the start.
            choice: of weights, all are blended in alike; with `"largest"` or `"random"`, a growing share of them is
                quantized wholly: incremental and stochastic quantization, as `keras_ste.training.Partial` says.

        >>> lsq(4, 4).gradual().default.weights.strength.numpy()
        np.float32(0.0)
        >>> lsq(4, 4).gradual(choice="random").default.weights.choice
        'random'
        """
        wrap = functools.partial(_gradual, strength=strength, choice=choice)
        given = self.default
        default = (lambda layer: wrap(given(layer))) if callable(given) else wrap(given)
        rules = tuple(Rule(rule.match, wrap(rule.layer)) for rule in self.rules)
        ends = {field: wrap(getattr(self, field)) for field in ("first", "last", "embeddings")}
        return self.replace(default=default, rules=rules, **ends)

    def of_layer(
        self, layer: keras.layers.Layer, path: str, first: bool = False, last: bool = False
    ) -> LayerScheme | None:
        """What quantizes a layer of this path; `None` leaves it in float."""
        for rule in self.rules:
            if rule.matches(layer, path):
                return rule.layer
        if isinstance(layer, keras.layers.Embedding):
            return self.embeddings
        if first or last:
            return self.first if first else self.last
        if isinstance(self.default, LayerScheme) or self.default is None:
            return self.default
        found = self.default(layer)
        _check_layer_scheme(f"What the scheme {self.name!r} says of layer '{path}'", found)
        return found


def _gradual(layer, strength, choice):
    """A layer scheme whose quantizers are blended in."""

    def wrapped(quantizer, cls=Gradual, **options):
        return cls(quantizer, strength, **options) if isinstance(quantizer, quantizers.Quantizer) else quantizer

    if layer is None:
        return None
    weights = wrapped(layer.weights) if choice is None else wrapped(layer.weights, Partial, choice=choice)
    arguments = {name: wrapped(value) for name, value in layer.arguments.items()}
    return LayerScheme(weights, wrapped(layer.inputs), wrapped(layer.nonnegative_inputs), arguments)


def _check_layer_scheme(what, value):
    if not (value is None or isinstance(value, LayerScheme)):
        raise TypeError(f"{what} must be a LayerScheme or None. Received: {value!r}.")


# What is never negative is no use to a sign: 0 or a learned step instead, from a half of it on.
_BIT = Lsq(1, signed=False)


def binary(**fields: Any) -> Scheme:
    """Weights and inputs of one bit, their signs without a scale: arXiv:1602.02830.

    Inputs without negative values become 0 or a learned step (`Lsq` with 1 bit), as their signs would be all alike.

    Args:
        **fields: those of the `Scheme` that are to be others.

    >>> binary().default.inputs.spec.bits
    1
    """
    return Scheme("binary", LayerScheme(SteSign(), SteSign(), _BIT), **fields)


def xnor(**fields: Any) -> Scheme:
    """As `binary`, with a scale for each output channel, the mean of its absolute weights: arXiv:1603.05279."""
    return Scheme("xnor", LayerScheme(XnorSign(), SteSign(), _BIT), **fields)


def ternary(**fields: Any) -> Scheme:
    """Weights -1, 0 and +1 with a scale for each output channel (arXiv:1605.04711), inputs of 8 bits."""
    inputs = {"inputs": EIGHT_BITS.inputs, "nonnegative_inputs": EIGHT_BITS.nonnegative_inputs}
    return Scheme("ternary", LayerScheme(TWN(scale_axis=-1), **inputs), **fields)


def bitnet(**fields: Any) -> Scheme:
    """BitNet b1.58 (arXiv:2402.17764): ternary weights with one scale, inputs of 8 bits with a scale for each token.

    Embeddings stay in float, as in the paper. A convolution has no tokens: its inputs have one learned scale.
    """
    return Scheme("bitnet", _bitnet_layer, **{"embeddings": None, **fields})


_TOKENS = LayerScheme(BitnetTernary(), BitnetActivation())
_IMAGES = LayerScheme(BitnetTernary(), Lsq(8), Lsq(8, signed=False))


def _bitnet_layer(layer):
    # Convolutions of one axis or more say which one they are.
    return _IMAGES if hasattr(layer, "rank") else _TOKENS


def dorefa(w: int = 1, a: int = 2, **fields: Any) -> Scheme:
    """DoReFa-Net (arXiv:1606.06160) with weights of `w` bits and inputs of `a`.

    Inputs are clipped to [0, 1], as in the paper; where they may be negative, to [-1, 1] (of one bit: the sign).

    Raises:
        ValueError: `w` outside 1 to 8, `a` outside 1 to 8.

    >>> dorefa(2, 4).name
    'dorefa(2, 4)'
    """
    _check_widths("dorefa", w, a)
    weights = XnorSign("identity", scale_axis=None) if w == 1 else DorefaWeight(w)
    signed = SteSign() if a == 1 else UniformQuantizer(a, scale=1 / (2 ** (a - 1) - 1), narrow_range=True)
    return Scheme(f"dorefa({w}, {a})", LayerScheme(weights, signed, DorefaActivation(a)), **fields)


def lsq(w: int = 4, a: int = 4, **fields: Any) -> Scheme:
    """Learned step sizes (arXiv:1902.08153): weights of `w` bits, with a step for each output channel, inputs of `a`.

    Weights of one bit, which have no step, are those of `xnor`; inputs of one bit those of `binary`.

    Raises:
        ValueError: `w` outside 1 to 8, `a` outside 1 to 8.

    >>> lsq(3, 5).default.weights.bits, lsq(3, 5).default.inputs.bits
    (3, 5)
    """
    _check_widths("lsq", w, a)
    weights = XnorSign() if w == 1 else Lsq(w, scale_axis=-1, narrow_range=True)
    signed = SteSign() if a == 1 else Lsq(a)
    return Scheme(f"lsq({w}, {a})", LayerScheme(weights, signed, Lsq(a, signed=False)), **fields)


def w4a8(**fields: Any) -> Scheme:
    """Weights of 4 bits with a learned step for each output channel, inputs of 8 bits: `lsq(4, 8)`."""
    return lsq(4, 8, **fields)


def int8(**fields: Any) -> Scheme:
    """Weights and inputs of 8 bits, the weights' scales those of the greatest of each output channel."""
    return Scheme("int8", EIGHT_BITS, **fields)


def _check_widths(name, w, a):
    if w not in range(1, 9) or a not in range(1, 9):
        raise ValueError(f"{name} takes widths from 1 to 8 bits. Received: w={w!r}, a={a!r}.")


_READY_MADE: dict[str, Callable[..., Scheme]] = {
    "binary": binary,
    "xnor": xnor,
    "ternary": ternary,
    "bitnet": bitnet,
    "dorefa": dorefa,
    "lsq": lsq,
    "w4a8": w4a8,
    "int8": int8,
}
_WITH_WIDTHS = ("dorefa", "lsq")


def names() -> list[str]:
    """The names that `get` knows.

    >>> names()
    ['binary', 'bitnet', 'dorefa', 'int8', 'lsq', 'ternary', 'w4a8', 'xnor']
    """
    return sorted(_READY_MADE)


def get(identifier: Any) -> Scheme:
    """The scheme that `identifier` stands for.

    Args:
        identifier: a name, of those with widths also `"lsq(4, 8)"`; a `Scheme`; or the `default` of one: a
            `LayerScheme`, or a function of a layer that returns one or `None`.

    Raises:
        ValueError: an unknown name, or widths that a scheme has not.
        TypeError: something else.

    >>> get("dorefa(1, 4)").name
    'dorefa(1, 4)'
    """
    if isinstance(identifier, Scheme):
        return identifier
    if isinstance(identifier, str):
        name, widths = _parsed(identifier)
        return _READY_MADE[name](*widths)
    if isinstance(identifier, LayerScheme):
        return Scheme("layer scheme", identifier)
    if callable(identifier) and not isinstance(identifier, type):
        return Scheme(getattr(identifier, "__name__", type(identifier).__name__), identifier)
    raise TypeError(
        "A scheme must be a name, a Scheme, a LayerScheme or a function of a layer. "
        f"Received: {identifier!r} of type {type(identifier).__name__}."
    )


def _parsed(text):
    """Name and widths of `"lsq(4, 8)"`."""
    match = re.fullmatch(r"\s*(\w+)\s*(?:\(\s*(\d+)\s*,\s*(\d+)\s*\))?\s*", text)
    if match is None or match[1] not in _READY_MADE:
        raise ValueError(
            f"Unknown scheme {text!r}. Expected one of {', '.join(names())}, or with widths as in 'lsq(4, 8)'."
        )
    widths = () if match[2] is None else (int(match[2]), int(match[3]))
    if widths and match[1] not in _WITH_WIDTHS:
        raise ValueError(f"The scheme {match[1]!r} has no widths to be given. Received: {text!r}.")
    return match[1], widths
