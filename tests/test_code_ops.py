"""The ops on codes of 1 to 8 bits that are not products, against the plain reference on every instruction set."""

import numpy as np
import pytest
import reference_ops
from hypothesis import given, settings
from hypothesis import strategies as st
from single_op import Tensor, single_op_model
from test_kernels import CHANNELS, isa, random_bits  # noqa: F401: a fixture

import keras_ste
from keras_ste.quantizers import AffineQuantizer, DorefaActivation, UniformQuantizer

SEEDS = st.integers(0, 2**31)
SHAPES = st.builds(lambda lead, channels: (*lead, channels), st.lists(st.integers(1, 4), min_size=1, max_size=4), CHANNELS)
NUMBERS = ["packed", "packed", "int8", "uint8"]
# Bits and encoding.
CODES = st.one_of(
    st.just((2, "ternary")), st.tuples(st.integers(1, 8), st.sampled_from(["bipolar", "unsigned", "signed"]))
)


def random_codes(rng, shape, bits, encoding):
    """Packed codes that are worth anything they can be."""
    codes = rng.integers(0, 2**bits, shape)
    if encoding == "ternary":
        codes = np.where(codes == 2, 0, codes)
    return reference_ops.pack_numbers(codes, bits)


@st.composite
def windows(draw):
    """Options of a window, and a shape of images that it fits in."""
    options = {"version": 2, "padding": draw(st.sampled_from(["same", "valid"]))}
    shape = [draw(st.integers(1, 3))]
    for axis in "hw":
        options[f"pool_{axis}"], options[f"stride_{axis}"] = draw(st.integers(1, 4)), draw(st.integers(1, 3))
        smallest = options[f"pool_{axis}"] if options["padding"] == "valid" else 1
        shape.append(smallest + draw(st.integers(0, 6)))
    options["channels"] = draw(CHANNELS)
    return options, (*shape, options["channels"])


@st.composite
def max_pools(draw):
    options, shape = draw(windows())
    bits, encoding = draw(CODES)
    rng = np.random.default_rng(draw(SEEDS))
    constants = [random_bits(rng, shape[3:])] if draw(st.booleans()) else []
    options |= {"input_bits": bits, "input_encoding": encoding}
    return options, [random_codes(rng, shape, bits, encoding)], constants


def random_numbers(draw, rng, shape, name, dtypes):
    """An input of floats, bytes or packed codes, and its options."""
    dtype = draw(st.sampled_from(dtypes))
    if dtype == "float32":
        special = np.array([0.0, -0.0, np.nan, np.inf, -np.inf, 1e-40, 3e38], np.float32)
        plain = rng.normal(size=shape) * 10.0 ** rng.integers(-1, 3)
        return np.where(rng.random(shape) < 0.1, rng.choice(special, shape), plain).astype(np.float32), {}
    if dtype != "packed":
        limits = np.iinfo(dtype)
        zero_point = draw(st.integers(limits.min, limits.max))
        return rng.integers(limits.min, limits.max, shape, dtype, True), {f"{name}_zero_point": zero_point}
    bits, encoding = draw(CODES)
    options = {f"{name}_bits": bits, f"{name}_encoding": encoding, f"{name}_zero_point": draw(st.integers(-99, 99))}
    return random_codes(rng, shape, bits, encoding), options


def random_scales(draw, rng, channels):
    """A multiplier, for each channel or for all, and a bias, both of which may be absent."""
    multiplier = rng.normal(size=draw(st.sampled_from([1, channels]))).astype(np.float32)
    bias = rng.normal(size=channels).astype(np.float32)
    return [multiplier if draw(st.booleans()) else None, bias if draw(st.booleans()) else None]


def random_outputs(draw, rng, channels, spread, floats=True):
    """The constants and the options of outputs of sums that are floats, of the magnitude `spread`."""
    kind = draw(st.sampled_from(["thresholds", "packed", "int8", "int16", *["float32"] * floats]))
    if kind == "float32":
        clamp = {"activation_min": -0.5, "activation_max": 6.0} if draw(st.booleans()) else {}
        return random_scales(draw, rng, channels), {"output": kind} | clamp
    bits, encoding = draw(CODES) if kind in ("thresholds", "packed") else (np.iinfo(kind).bits, "signed")
    options = {"output": kind}
    if kind in ("thresholds", "packed"):
        options = {"output": "packed", "output_bits": bits, "output_encoding": encoding}
    if kind == "thresholds":
        thresholds = spread * rng.normal(size=(2**bits - 1, draw(st.sampled_from([1, channels]))))
        thresholds[rng.random(thresholds.shape) < 0.1] = rng.choice([np.inf, -np.inf, np.nan])
        if encoding == "ternary":
            thresholds[0] = -np.inf
        thresholds = np.sort(thresholds, axis=0).astype(np.float32)  # those that are not numbers last
        return [None, None, thresholds[0] if bits == 1 else thresholds], options
    low, high = (-1, 1) if encoding == "ternary" else (0, 2**bits - 1)
    if encoding == "signed":
        low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    if draw(st.booleans()):
        options["output_zero_point"] = draw(st.integers(low, high))
        options |= {"output_min": min(low + 1, 0), "output_max": max(0, high - 2)}
    multiplier, bias = random_scales(draw, rng, channels)
    if multiplier is not None:
        multiplier *= np.float32((high - low) / spread)
    return [multiplier, bias], options


@st.composite
def average_pools(draw):
    options, shape = draw(windows())
    rng = np.random.default_rng(draw(SEEDS))
    value, input_options = random_numbers(draw, rng, shape, "input", ["float32", *NUMBERS])
    constants, output_options = random_outputs(draw, rng, shape[3], spread=50)
    if value.dtype != np.float32 and draw(st.integers(0, 5)) == 0:
        constants, output_options = [], {"output": "int32"}
    return options | input_options | output_options, [value], constants




@st.composite
def quantizations(draw):
    shape, rng = draw(SHAPES), np.random.default_rng(draw(SEEDS))
    value, input_options = random_numbers(draw, rng, shape, "input", ["float32", *NUMBERS])
    constants, output_options = random_outputs(draw, rng, shape[-1], spread=30, floats=False)
    return {"version": 2, "channels": shape[-1]} | input_options | output_options, [value], constants


@st.composite
def dequantizations(draw):
    shape, rng = draw(SHAPES), np.random.default_rng(draw(SEEDS))
    value, options = random_numbers(draw, rng, shape, "input", NUMBERS)
    table = None
    if "input_bits" in options and draw(st.booleans()):
        options["input_zero_point"] = 0
        size = 2 ** options["input_bits"]
        table = rng.normal(size=draw(st.sampled_from([(size,), (shape[-1], size)]))).astype(np.float32)
    return {"version": 2, "channels": shape[-1]} | options, [value], [table, *random_scales(draw, rng, shape[-1])]


@st.composite
def additions(draw):
    shape, rng = draw(SHAPES), np.random.default_rng(draw(SEEDS))
    a, a_options = random_numbers(draw, rng, shape, "a", ["float32", *NUMBERS])
    b, b_options = random_numbers(draw, rng, shape, "b", ["float32", *NUMBERS])
    scales = [
        rng.normal(size=size).astype(np.float32) if size else None
        for size in draw(st.tuples(*[st.sampled_from([None, 1, shape[-1]])] * 2))
    ]
    constants, output_options = random_outputs(draw, rng, shape[-1], spread=60)
    return {"version": 2, "channels": shape[-1]} | a_options | b_options | output_options, [a, b], [*scales, *constants]


@st.composite
def searches(draw):
    lead = draw(st.lists(st.integers(1, 5), min_size=1, max_size=3))
    size, count = draw(st.integers(1, 40)), draw(st.integers(1, 70))
    rng = np.random.default_rng(draw(SEEDS))
    shapes = [(*lead, size), (count, size)]
    if draw(st.booleans()):  # of small integers, many are equally far
        x, vectors = (rng.integers(-1, 2, shape).astype(np.float32) for shape in shapes)
    else:
        x, vectors = (rng.normal(size=shape).astype(np.float32) for shape in shapes)
    if draw(st.booleans()):
        special = rng.choice(np.array([np.inf, -np.inf, np.nan, 1e30, 1e-40], np.float32), x.shape)
        x = np.where(rng.random(x.shape) < 0.1, special, x)
    return {"version": 2, "channels": size, "vectors": count}, [x], [vectors]


@st.composite
def lookups(draw):
    shape, rows, channels = draw(st.lists(st.integers(1, 4), min_size=1, max_size=5)), draw(st.integers(1, 60)), draw(CHANNELS)
    bits, encoding = draw(CODES)
    rng = np.random.default_rng(draw(SEEDS))
    table = random_codes(rng, (rows, channels), bits, encoding)
    if draw(st.booleans()):
        table = reference_ops.pack_gapless(reference_ops.unpack_numbers(table, channels, bits), bits)
    options = {"version": 4, "rows": rows, "channels": channels, "input_bits": bits, "input_encoding": encoding}
    return options, [rng.integers(0, rows, shape, np.int32)], [table]


@st.composite
def concatenations(draw):
    lead = draw(st.lists(st.integers(1, 5), min_size=1, max_size=4))
    channels = draw(st.lists(CHANNELS, min_size=1, max_size=8))
    bits, encoding = draw(CODES)
    rng = np.random.default_rng(draw(SEEDS))
    options = {"version": 2, "input_bits": bits, "input_encoding": encoding}
    options |= {f"channels_{i}": count for i, count in enumerate(channels)}
    return options, [random_codes(rng, (*lead, count), bits, encoding) for count in channels], []


@st.composite
def paddings(draw):
    shape = (*draw(st.tuples(*[st.integers(1, 5)] * 3)), draw(CHANNELS))
    bits, encoding = draw(CODES)
    rng = np.random.default_rng(draw(SEEDS))
    options = {"version": 2, "channels": shape[-1], "input_bits": bits, "input_encoding": encoding}
    options |= {f"pad_{side}": draw(st.integers(0, 3)) for side in ("top", "bottom", "left", "right")}
    code = draw(st.sampled_from([0, 1, 3])) if encoding == "ternary" else draw(st.integers(0, 2**bits - 1))
    options["pad_value"] = int(reference_ops.worth(code, bits, encoding))
    return options, [random_codes(rng, shape, bits, encoding)], []


@st.composite
def shuffles(draw):
    groups, group_channels = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    shape = (*draw(st.lists(st.integers(1, 4), min_size=1, max_size=3)), groups * group_channels)
    bits, encoding = draw(CODES)
    value = random_codes(np.random.default_rng(draw(SEEDS)), shape, bits, encoding)
    options = {"version": 2, "channels": shape[-1], "groups": groups}
    return options | {"input_bits": bits, "input_encoding": encoding}, [value], []


# Of each op: its options, the inputs that are fed, and its constants behind them, which may be None.
NODES = {
    "SteMaxPool2D": max_pools(),
    "SteAveragePool2D": average_pools(),
    "SteAdd": additions(),
    "SteQuantize": quantizations(),
    "SteDequantize": dequantizations(),
    "SteNearest": searches(),
    "SteGather": lookups(),
    "SteConcat": concatenations(),
    "StePad": paddings(),
    "SteShuffle": shuffles(),
}


def model_of(op, options, fed, constants, misalign=0):
    """A model for one image of the inputs, and what the reference computes from all of them."""
    expected = reference_ops.OPS[op]([*fed, *constants], options)
    inputs = [Tensor(f"input{i}", (1, *value.shape[1:]), value.dtype) for i, value in enumerate(fed)]
    inputs += [None if c is None else Tensor.constant(f"constant{i}", c) for i, c in enumerate(constants)]
    output = Tensor("output", (1, *expected.shape[1:]), expected.dtype)
    return single_op_model(op, options, inputs, output, misalign=misalign), expected


def run(model, fed, threads):
    interpreter = keras_ste.Interpreter(model_content=model, num_threads=threads)
    details = sorted(interpreter.get_input_details(), key=lambda detail: detail["name"])
    for detail, value in zip(details, fed, strict=True):
        interpreter.resize_tensor_input(detail["index"], value.shape)
    interpreter.allocate_tensors()
    for detail, value in zip(details, fed, strict=True):
        interpreter.set_tensor(detail["index"], value)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


@pytest.mark.parametrize("op", NODES)
@given(data=st.data(), misalign=st.integers(0, 3), threads=st.sampled_from([1, 2, 3]))
@settings(max_examples=100)
def test_an_op_equals_the_reference(isa, op, data, misalign, threads):
    options, fed, constants = data.draw(NODES[op])
    model, expected = model_of(op, options, fed, constants, misalign)
    actual = run(model, fed, threads)
    assert actual.dtype == expected.dtype
    np.testing.assert_array_equal(actual, expected)


# What their scales and zero points are is told by what they do with 1.
QUANTIZERS = [
    (UniformQuantizer(bits=4, scale=0.37), 0.37, 0),
    (UniformQuantizer(bits=8, scale=0.011, narrow_range=True), 0.011, 0),
    (UniformQuantizer(bits=5, scale=0.06, signed=False), 0.06, 0),
    (AffineQuantizer(bits=6, minimum=-1.0, maximum=2.3), None, 19),
    (DorefaActivation(bits=3), 1 / 7, 0),
]


@pytest.mark.parametrize("quantizer, scale, zero_point", QUANTIZERS, ids=[repr(q) for q, _, _ in QUANTIZERS])
def test_codes_are_the_quantizers(isa, quantizer, scale, zero_point):
    """Those of the layers' own quantizers, halves between two codes among them."""
    rng = np.random.default_rng(0)
    multiplier = np.float32(7) if isinstance(quantizer, DorefaActivation) else None
    if multiplier is None:
        scale = np.float32(scale) if scale else np.float32(3.3) * np.float32(1 / 63)
        multiplier = np.float32(1) / scale
    value = rng.normal(size=(200, 33)).astype(np.float32)
    value[:100] = (rng.integers(-400, 400, (100, 33)) / 2).astype(np.float32) / multiplier
    value[:, 0] = rng.choice(np.array([np.inf, -np.inf, np.nan, -0.0], np.float32), 200)
    bits, encoding = quantizer.bits, "signed" if quantizer.signed else "unsigned"
    options = {"version": 2, "channels": 33, "output": "packed", "output_bits": bits, "output_encoding": encoding}
    options |= {"output_zero_point": zero_point, "output_min": getattr(quantizer, "low", 0) * (zero_point == 0)}
    model, _ = model_of("SteQuantize", options, [value], [multiplier.reshape(1)])
    codes = reference_ops.unpack_codes(run(model, [value], 1), 33, (bits, encoding))
    np.testing.assert_array_equal(codes, quantizer.encode(value).numpy())
