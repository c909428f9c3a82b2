"""Random models for tests/test_random_models.py: layers, quantizers, branches, residual blocks and pools, one behind the
other, some of them with the channels first.

A recipe knows what stands between its layers, so that only models are drawn that TensorFlow and TFLite have to
compute alike:

* `codes`: what a QuantActivation gives, multiples of one power of two;
* `grid`: multiples of one power of two, few enough that sums of them are exact in float32;
* `exact`: what elementwise ops make of integers: the same in every bit, but sums of it are not;
* `rounded`: sums in float, which every runtime adds up in its own order. Nothing is quantized behind them.
"""

import dataclasses
from collections.abc import Callable

import keras
import numpy as np
from hypothesis import strategies as st
from test_code_conversion import kernels, static_inputs

from keras_ste import layers
from keras_ste.blocks import reactnet_block
from keras_ste.quantizers import UniformQuantizer

L = keras.layers
CODES, GRID, EXACT, ROUNDED = "codes", "grid", "exact", "rounded"
channel_counts = st.sampled_from([1, 3, 6, 20, 33])
VOCABULARY = 40
DTYPES = ("uint8", "int8", "float32", "float32", "int32")
# Two of which the same stream may be quantized by several layers.
SHARED_INPUTS = (lambda: UniformQuantizer(2, 0.5), lambda: UniformQuantizer(3, 1.5, signed=False))
inputs_of_layers = st.one_of(st.sampled_from(SHARED_INPUTS), static_inputs)


@dataclasses.dataclass(frozen=True)
class Step:
    """One layer or several: `apply` takes a Keras tensor and gives one."""

    name: str
    apply: Callable
    shape: tuple
    kind: str

    def __repr__(self):
        return f"{self.name} -> {self.shape}"


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A network: its input, its steps, and the number of steps after each of which it has an output."""

    shape: tuple
    dtype: str
    steps: tuple
    outputs: tuple

    def build(self, number):
        """The input, and `(output, whether it is equal in every bit)` of each output."""
        x = inputs = keras.Input(self.shape, dtype=self.dtype, name=f"x{number}")
        outputs = []
        for index, step in enumerate(self.steps):
            x = step.apply(x)
            if index in self.outputs:
                outputs.append((x, step.kind != ROUNDED))
        return inputs, outputs


def _window(draw, sizes, most=3):
    """Kernel, and strides or dilation, and padding, that fit an image or sequence; and what is left of it."""
    kernel = tuple(draw(st.integers(1, min(most, size))) for size in sizes)
    padding = draw(st.sampled_from(["same", "same", "valid"]))
    strides = draw(st.sampled_from([1, 1, 2]))
    if strides == 1 and all((k - 1) * 2 + 1 <= size for k, size in zip(kernel, sizes)):
        dilation = draw(st.sampled_from([1, 1, 2]))
    else:
        dilation = 1
    reach = [(k - 1) * dilation + 1 for k in kernel]
    left = [size if padding == "same" else size - r + 1 for size, r in zip(sizes, reach)]
    left = tuple(-(-size // strides) for size in left)
    options = {"kernel_size": kernel, "padding": padding}
    options |= {"strides": strides} if dilation == 1 else {"dilation_rate": dilation}
    return options, left


def _quantizer(draw, kind):
    if kind in (CODES, GRID) and draw(st.integers(0, 3)) == 0:
        return lambda: None
    return draw(inputs_of_layers)


@st.composite
def products(draw, shape, kind, channels_first=False):
    """A layer of products; of data with the channels first a convolution, whose shapes are told with the channels last."""
    *sizes, channels = shape
    rank, kernel, source = len(sizes), draw(kernels), _quantizer(draw, kind)
    names = ["conv", "conv", "depthwise", "separable", "transposed"] if rank else []
    names = [name for name in names if rank < 3 or name in ("conv", "transposed")]
    name = draw(st.sampled_from(names if channels_first else ["dense", *names]))
    filters = draw(channel_counts)
    bias = draw(st.booleans())
    activation = draw(st.sampled_from([None, None, "relu", "relu6"]))
    options = {"use_bias": bias, "activation": activation}
    if name == "dense":
        return _layer(layers.QuantDense, {"units": filters, **options}, kernel(-1), source, (*sizes, filters))
    options |= {"data_format": "channels_first"} if channels_first else {}
    window, left = _window(draw, sizes)
    if name == "depthwise":
        times = draw(st.integers(1, 2))
        window |= {"depth_multiplier": times, **options}
        cls = (layers.QuantDepthwiseConv1D, layers.QuantDepthwiseConv2D)[rank - 1]
        return _layer(cls, window, kernel(-2), source, (*left, channels * times), "depthwise_quantizer")
    if name == "separable":
        cls = (layers.QuantSeparableConv1D, layers.QuantSeparableConv2D)[rank - 1]
        window["kernel_size"] = window["kernel_size"][0]
        window, left = _square(window, sizes)
        return _separable(cls, {"filters": filters, **window, **options}, kernel(-2), source, draw, (*left, filters))
    if name == "transposed":
        cls = (layers.QuantConv1DTranspose, layers.QuantConv2DTranspose, layers.QuantConv3DTranspose)[rank - 1]
        strides = draw(st.integers(1, 2))
        size = strides + draw(st.integers(0, 1))
        padding = draw(st.sampled_from(["same", "valid"]))
        left = [n * strides if padding == "same" else (n - 1) * strides + size for n in sizes]
        options |= {"filters": filters, "kernel_size": size, "strides": strides, "padding": padding}
        return _layer(cls, options, kernel(-2), source, (*left, filters))
    groups = draw(st.sampled_from([1, 1, 3])) if channels % 3 == 0 else 1
    filters *= groups
    if rank == 1 and draw(st.booleans()):
        window["padding"] = "causal"
        left = (-(-sizes[0] // window.get("strides", 1)),)
    if window["padding"] != "valid":
        window["pad_values"] = draw(st.integers(0, 1))
    cls = (layers.QuantConv1D, layers.QuantConv2D, layers.QuantConv3D)[rank - 1]
    options |= {"filters": filters, "groups": groups, **window}
    return _layer(cls, options, kernel(-1), source, (*left, filters))


def _square(window, sizes):
    """A window with one number for all axes, and what it leaves."""
    kernel, strides, dilation = window["kernel_size"], window.get("strides", 1), window.get("dilation_rate", 1)
    if (kernel - 1) * dilation + 1 > min(sizes):
        window, dilation = {**window, "kernel_size": 1}, 1
        window.pop("dilation_rate", None)
    reach = (window["kernel_size"] - 1) * dilation + 1
    left = [size if window["padding"] == "same" else size - reach + 1 for size in sizes]
    return window, tuple(-(-size // strides) for size in left)


def _layer(cls, options, kernel, source, shape, argument="kernel_quantizer"):
    # The quantizer of the weights is made anew for each layer that is built.
    def apply(x):
        return cls(**options, **{argument: type(kernel).from_config(kernel.get_config())}, input_quantizer=source())(x)

    return Step(f"{cls.__name__}({options}, {kernel}, {source()})", apply, shape, EXACT)


def _separable(cls, options, depthwise, source, draw, shape):
    pointwise, between = draw(kernels)(-1), draw(inputs_of_layers)

    def apply(x):
        copies = [type(each).from_config(each.get_config()) for each in (depthwise, pointwise)]
        quantizers = dict(zip(("depthwise_quantizer", "pointwise_quantizer"), copies))
        return cls(**options, **quantizers, input_quantizer=source(), intermediate_quantizer=between())(x)

    return Step(f"{cls.__name__}({options}, {depthwise}, {pointwise}, {source()}, {between()})", apply, shape, EXACT)


@st.composite
def elementwise(draw, shape, kind):
    """What stands between layers of products and treats each channel by itself."""
    name = draw(st.sampled_from(["norm", "norm", "relu", "leaky", "clip", "rprelu", "quantize", "quantize"]))
    if name == "quantize":
        bits, exponent, signed = draw(st.integers(1, 8)), draw(st.integers(-2, 2)), draw(st.booleans())
        make = lambda: UniformQuantizer(max(bits, 2), 2.0**exponent, signed=signed)  # noqa: E731
        return Step(f"QuantActivation({make()})", lambda x: layers.QuantActivation(make())(x), shape, CODES)
    if name == "norm":
        seed = draw(st.integers(0, 2**31))
        return Step("BatchNormalization", lambda x: _norm(seed)(x), shape, EXACT)
    if name == "rprelu":
        seed = draw(st.integers(0, 2**31))
        return Step("RPReLU", lambda x: _randomized(layers.RPReLU(), seed)(x), shape, EXACT)
    make = {
        "relu": lambda: L.ReLU(),
        "leaky": lambda: L.LeakyReLU(0.25),
        "clip": lambda: L.ReLU(max_value=6.0),
    }[name]
    return Step(name, lambda x: make()(x), shape, EXACT)


@st.composite
def channels_first(draw, shape, kind):
    """A stretch of a network that has the channels first: convolutions, normalizations and pools, turned at its ends."""
    steps, ahead = [draw(products(shape, kind, channels_first=True))], tuple(range(1, len(shape)))
    *sizes, channels = steps[0].shape
    for name in draw(st.lists(st.sampled_from(["norm", "relu", "pool"]), max_size=3, unique=True)):
        if name == "norm":
            seed = draw(st.integers(0, 2**31))
            steps.append(Step("norm", lambda x, seed=seed: _norm(seed, axis=1)(x), (*sizes, channels), EXACT))
        elif name == "relu":
            steps.append(Step("relu", lambda x: L.ReLU()(x), (*sizes, channels), EXACT))
        elif min(sizes) > 1 and len(sizes) < 3:
            pool = (L.MaxPooling1D, L.MaxPooling2D)[len(sizes) - 1]
            sizes = [size // 2 for size in sizes]
            steps.append(
                Step("pool", lambda x, pool=pool: pool(2, data_format="channels_first")(x), (*sizes, channels), EXACT)
            )
    if draw(st.booleans()):
        steps.append(draw(products((*sizes, channels), EXACT, channels_first=True)))

    def apply(x):
        x = L.Permute((len(shape), *ahead))(x)
        for step in steps:
            x = step.apply(x)
        return L.Permute((*(axis + 1 for axis in ahead), 1))(x)

    return Step(f"channels_first{steps}", apply, steps[-1].shape, EXACT)


def _norm(seed, axis=-1):
    """A batch normalization as training leaves it: factors of both signs, and zeros."""
    rng = np.random.default_rng(seed)

    def initializer(values):
        return lambda shape, dtype=None: keras.ops.convert_to_tensor(values(shape[0]), dtype or "float32")

    return L.BatchNormalization(
        axis=axis,
        gamma_initializer=initializer(lambda n: rng.choice([-1.5, -0.3, 0, 0.2, 1], n)),
        beta_initializer=initializer(lambda n: rng.normal(size=n)),
        moving_mean_initializer=initializer(lambda n: 3 * rng.normal(size=n)),
        moving_variance_initializer=initializer(lambda n: rng.uniform(0.01, 60, n)),
    )


def _randomized(layer, seed):
    """The layer, its shifts and slopes drawn as soon as there are any."""
    rng = np.random.default_rng(seed)

    def draw(x):
        y = layer(x)
        for weight in layer.weights:
            weight.assign(rng.normal(size=weight.shape))
        return y

    return draw


@st.composite
def moves(draw, shape, kind):
    """What pools, pads, shuffles or flattens an image or a sequence."""
    *sizes, channels = shape
    rank, moved = len(sizes), GRID if kind == CODES else kind
    names = ["max_pool", "max_pool", "pad"] if rank else ["nothing"]
    if rank == 2:
        names += ["average", "shuffle", "flatten"]
    if rank == 1:
        names += ["flatten"]
    if rank == 3:  # TFLite pools no volumes
        names = ["flatten"]
    name = draw(st.sampled_from(names))
    if name == "nothing":
        return Step("Identity", lambda x: x, shape, kind)
    if name == "pad":
        pairs = [(draw(st.integers(0, 2)), draw(st.integers(0, 2))) for _ in sizes]
        larger = tuple(size + sum(pair) for size, pair in zip(sizes, pairs))
        cls, argument = (L.ZeroPadding1D, pairs[0]) if rank == 1 else (L.ZeroPadding2D, pairs)
        return Step(f"{cls.__name__}({argument})", lambda x: cls(argument)(x), (*larger, channels), moved)
    if name == "flatten":
        return Step("Flatten", lambda x: L.Flatten()(x), (int(np.prod(shape)),), moved)
    if name == "shuffle":
        groups = draw(st.sampled_from([n for n in (1, 2, 3, 11) if channels % n == 0]))
        apart = (*sizes, groups, channels // groups)

        def apply(x):
            return L.Reshape(shape)(L.Permute((1, 2, 4, 3))(L.Reshape(apart)(x)))

        return Step(f"shuffle({groups})", apply, shape, moved)
    size, strides = draw(st.integers(1, min(3, *sizes))), draw(st.integers(1, 2))
    padding = draw(st.sampled_from(["same", "valid"]))
    left = tuple(-(-(n if padding == "same" else n - size + 1) // strides) for n in sizes)
    if name == "average":
        return Step(
            f"average({size}, {strides}, {padding})",
            lambda x: L.AveragePooling2D(size, strides, padding)(x),
            (*left, channels),
            EXACT if kind == CODES else ROUNDED,
        )
    cls = (L.MaxPooling1D, L.MaxPooling2D)[rank - 1]
    name = f"{cls.__name__}({size}, {strides}, {padding})"
    return Step(name, lambda x: cls(size, strides, padding)(x), (*left, channels), moved)


def _same_size(draw, shape, kind, filters=None):
    """A convolution or dense layer that keeps the size."""
    kernel, source = draw(kernels)(-1), _quantizer(draw, kind)
    filters = filters or draw(channel_counts)
    cls = (layers.QuantDense, layers.QuantConv1D, layers.QuantConv2D, layers.QuantConv3D)[len(shape) - 1]
    options = {"units": filters} if len(shape) == 1 else {"filters": filters, "kernel_size": 3, "padding": "same"}
    return _layer(cls, {"use_bias": False, **options}, kernel, source, (*shape[:-1], filters))


@st.composite
def branches(draw, shape, kind):
    """Streams that are added, or joined along the channels."""
    join = draw(st.sampled_from(["add", "concatenate"]))
    channels = shape[-1] if join == "add" else None
    streams = [[_same_size(draw, shape, kind, channels)] for _ in range(draw(st.integers(1, 2)))]
    for stream in streams:
        if draw(st.booleans()):
            stream.append(draw(elementwise(stream[-1].shape, EXACT)))
    if len(streams) == 1:
        streams.append([])
    ends = [stream[-1].shape if stream else shape for stream in streams]
    width = shape[-1] if join == "add" else sum(end[-1] for end in ends)

    def apply(x):
        results = []
        for stream in streams:
            y = x
            for step in stream:
                y = step.apply(y)
            results.append(y)
        return (L.Add() if join == "add" else L.Concatenate())(results)

    return Step(f"{join}{streams}", apply, (*shape[:-1], width), EXACT)


def _any_codes(draw):
    """A QuantActivation whose scale is no power of two."""
    bits, scale, signed = draw(st.integers(2, 8)), draw(st.floats(0.05, 3)), draw(st.booleans())
    return lambda x: layers.QuantActivation(UniformQuantizer(bits, scale, signed=signed))(x)


@st.composite
def residual_blocks(draw, shape, kind):
    """Layers with shortcuts round them, the stream quantized behind each addition, or before it for each of its readers."""
    behind = draw(st.booleans())
    blocks = [_same_size(draw, shape, EXACT, shape[-1]) for _ in range(draw(st.integers(1, 2)))]
    norms = [draw(elementwise(shape, EXACT)) for _ in blocks]
    quantizers = [_any_codes(draw) for _ in range(2 * len(blocks) + 1)]

    def apply(x):
        x = quantizers[-1](x)
        for block, norm, first, second in zip(blocks, norms, quantizers[::2], quantizers[1::2]):
            y = norm.apply(block.apply(x))
            x = first(L.Add()([x, y])) if behind else L.Add()([first(x), second(y)])
        return x

    return Step(f"residual{blocks}{norms}, quantized {'behind' if behind else 'before'}", apply, shape, EXACT)


@st.composite
def shifted_blocks(draw, shape, kind):
    """ReActNet's block: signs with a threshold for each channel, float shortcuts, RPReLU."""
    times, seed = draw(st.integers(1, 2)), draw(st.integers(0, 2**31))

    def apply(x):
        y = reactnet_block(x, times * shape[-1])
        rng = np.random.default_rng(seed)
        for operation in keras.Function(x, y).operations:
            if isinstance(operation, layers.RPReLU):
                for weight in operation.weights:
                    weight.assign(rng.normal(size=weight.shape))
        return y

    return Step(f"reactnet_block({times})", apply, (*shape[:-1], times * shape[-1]), EXACT)


@st.composite
def einsums(draw, shape, kind):
    """Products of the axes of attention: with heads, and back."""
    *sizes, channels = shape
    kernel, source, units = draw(kernels)(-1), _quantizer(draw, kind), draw(channel_counts)
    heads = draw(st.integers(1, 3))
    equation, made = {
        0: ("bc,cd->bd", (units,)),
        1: ("btc,chd->bthd", (*sizes, heads, units)),
        2: ("bthd,hdc->btc", (*sizes[:1], units)),
    }[len(sizes)]
    options = {"equation": equation, "output_shape": made}
    return _layer(layers.QuantEinsumDense, options, kernel, source, made)


@st.composite
def recurrences(draw, shape, kind):
    """A recurrent layer of few steps, whose gates are computed in float."""
    cls, kernel, recurrent = draw(st.sampled_from([layers.QuantLSTM, layers.QuantGRU])), draw(kernels), draw(kernels)
    units, sequences, source = draw(st.sampled_from([1, 6])), draw(st.booleans()), draw(inputs_of_layers)
    made = (*shape[: int(sequences)], units)

    def apply(x):
        quantizers = {"kernel_quantizer": kernel(-1), "recurrent_quantizer": recurrent(-1), "input_quantizer": source()}
        return cls(units, return_sequences=sequences, unroll=True, **quantizers)(x)

    return Step(f"{cls.__name__}({units}, {sequences}, {kernel(-1)}, {recurrent(-1)}, {source()})", apply, made, ROUNDED)


@st.composite
def embeddings(draw):
    """A table of vectors, and the number of indices into it."""
    channels, kernel, axis = draw(channel_counts), draw(kernels), draw(st.sampled_from([None, 0, 1]))

    def apply(x):
        return layers.QuantEmbedding(VOCABULARY, channels, embeddings_quantizer=kernel(axis))(x)

    length = draw(st.integers(2, 5))
    return (length,), Step(f"QuantEmbedding({channels}, {kernel(axis)})", apply, (length, channels), EXACT)


@st.composite
def recipes(draw, most_steps=5, dtypes=DTYPES, recurrent=True, ranks=(0, 1, 2, 2, 2, 3)):
    """A network with inputs of bytes, of floats on a grid, or of indices."""
    dtype = draw(st.sampled_from(dtypes))
    if dtype == "int32":
        shape, first = draw(embeddings())
    else:
        rank = draw(st.sampled_from(ranks))
        sizes = st.integers(4, 7) if rank < 3 else st.integers(2, 4)
        shape = (*(draw(sizes) for _ in range(rank)), draw(channel_counts))
        first = draw(products(shape, GRID))
    steps, kind = [first], EXACT
    for _ in range(draw(st.integers(1, most_steps))):
        last = steps[-1]
        step = draw(draw(st.sampled_from(_kinds(last.shape, kind, recurrent)))(last.shape, kind))
        if kind == ROUNDED:
            step = dataclasses.replace(step, kind=ROUNDED)
            if step.name.startswith("QuantActivation"):
                continue
        kind = step.kind
        steps.append(step)
    taps = draw(st.sets(st.integers(0, len(steps) - 1), max_size=1)) | {len(steps) - 1}
    return Recipe(shape, dtype, tuple(steps), tuple(sorted(taps)))


def _kinds(shape, kind, recurrent):
    """What may stand behind numbers of this kind."""
    if kind == ROUNDED:
        return [elementwise, moves, moves]
    found = [products, products, products, elementwise, elementwise, elementwise, moves, moves]
    found += [einsums] if len(shape) < 4 else []
    found += [branches, branches, residual_blocks, residual_blocks]
    if len(shape) == 2 and shape[0] <= 5 and recurrent:
        found += [recurrences]
    if len(shape) > 1:
        found += [channels_first]
    if len(shape) == 3:
        found += [shifted_blocks]
    return found


def model_of(chosen):
    """One model of these networks side by side. Returns it, and for each output whether it is equal in every bit."""
    inputs, outputs, exact = [], {}, {}
    for number, recipe in enumerate(chosen):
        x, found = recipe.build(number)
        inputs.append(x)
        for index, (output, is_exact) in enumerate(found):
            name = f"y{number}_{index}"
            outputs[name], exact[name] = output, is_exact
    return keras.Model(inputs, outputs), exact


def examples(recipe, seed, count):
    """Inputs of a network."""
    rng = np.random.default_rng(seed)
    ends = {"uint8": (0, 256), "int8": (-128, 128), "float32": (-128, 128), "int32": (0, VOCABULARY)}
    low, high = ends[recipe.dtype]
    x = rng.integers(low, high, (count, *recipe.shape))
    return (x / 8).astype(np.float32) if recipe.dtype == "float32" else x.astype(recipe.dtype)
