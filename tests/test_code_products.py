"""SteConv2D, SteTransposeConv2D and SteFullyConnected with codes of 1 to 8 bits, on every instruction set, against the plain reference."""

import numpy as np
import pytest
import reference_ops
from hypothesis import given, settings
from hypothesis import strategies as st
from test_kernels import CHANNELS, check, convolutions, isa  # noqa: F401: the fixture

ENCODINGS = ["bipolar", "unsigned", "signed", "ternary"]
INPUTS = ["packed", "int8", "uint8", "float32", "rows"]


@st.composite
def codes(draw, name, most=8):
    encoding = draw(st.sampled_from(ENCODINGS))
    bits = 2 if encoding == "ternary" else draw(st.integers(1, most))
    return {f"{name}_bits": bits, f"{name}_encoding": encoding}


def random_numbers(rng, shape, options, name):
    bits, encoding = reference_ops.codes_of(options, name)
    numbers = rng.integers(0, 2**bits, shape)
    return np.where(numbers == 2, 0, numbers) if encoding == "ternary" else numbers


def random_codes(rng, shape, options, name):
    """Packed codes along the last axis."""
    return reference_ops.pack_numbers(random_numbers(rng, shape, options, name), options[f"{name}_bits"])


def random_input(rng, kind, shape, options):
    """A value, and the options that go with it."""
    if kind == "packed":
        low, high = (0, 2 ** options["input_bits"] - 1) if options["input_encoding"] == "unsigned" else (-1, 1)
        zero_point = int(rng.integers(low, high, endpoint=True)) if options["input_bits"] > 1 else 0
        return random_codes(rng, shape, options, "input"), {"input_zero_point": zero_point}
    if kind in ("float32", "rows"):
        value = rng.normal(size=shape).astype(np.float32)
        value[rng.random(shape) < 0.1] = 0
        return value, {"row_bits": int(rng.integers(2, 9))} if kind == "rows" else {}
    limits = np.iinfo(kind)
    return rng.integers(limits.min, limits.max, shape, kind, endpoint=True), {
        "input_zero_point": int(rng.integers(limits.min, limits.max, endpoint=True))
    }


def random_outputs(rng, kind, output, options, filters, reach):
    """The constants 2 to 4 and the options of an output, of sums of a size of about `reach`."""
    floats = kind == "float32"
    if output == "packed":
        bits, encoding = options["output_bits"], options["output_encoding"]
        values = rng.normal(size=(2**bits - 1, filters)) * (3 if floats else reach)
        thresholds = np.sort(values.astype(np.float32 if floats else np.int32), axis=0)
        if floats:
            thresholds[-1, rng.random(filters) < 0.1] = np.nan
        if encoding == "ternary":
            thresholds[0] = -np.inf if floats else -(2**31)
        return [None, None, thresholds[0] if bits == 1 else thresholds], {}
    if output == "int32":
        return [None, None, None], {}
    if output == "float32":
        multiplier = rng.normal(size=filters if rng.random() < 0.7 else 1).astype(np.float32)
        bias = rng.normal(size=filters).astype(np.float32)
        clamp = {"activation_min": 0.0, "activation_max": 6.0} if rng.random() < 0.5 else {}
        return [multiplier if rng.random() < 0.8 else None, bias if rng.random() < 0.7 else None, None], clamp
    multiplier = rng.integers(2**30, 2**31, filters).astype(np.int32)
    multiplier[rng.random(filters) < 0.1] = 0
    bias = rng.integers(-reach, reach + 1, filters).astype(np.int32)
    wanted = np.log2(np.iinfo(output).max / (reach + 1))
    shifts = np.clip(np.round(wanted + rng.normal(size=filters)), -31, 30).astype(np.int32)
    low, high = (np.iinfo(output).min, np.iinfo(output).max)
    quantized = {"output_zero_point": int(rng.integers(low, high)), "output_min": low // 2, "output_max": high - 1}
    return [multiplier, bias if rng.random() < 0.7 else None, shifts], quantized if rng.random() < 0.7 else {}


def group_aligned_codes(rng, options):
    """A random packed filter: the bits of each group where the group's input words have them."""
    channels, groups, filters = options["channels"], options["groups"], options["filters"]
    per_group = channels // groups
    words = max(-(-(g + 1) * per_group // 32) - g * per_group // 32 for g in range(groups))
    numbers = np.zeros((filters, options["kernel_h"], options["kernel_w"], words * 32), np.int64)
    for o in range(filters):
        first = o // (filters // groups) * per_group % 32
        shape = (*numbers.shape[1:3], per_group)
        numbers[o, :, :, first : first + per_group] = random_numbers(rng, shape, options, "weight")
    return reference_ops.pack_numbers(numbers, options["weight_bits"])


def reach_of(options, products):
    weight = 2 ** options["weight_bits"] - 1
    return int(products**0.5 * weight * (2 ** options.get("input_bits", 8) - 1)) + 1


def outputs_for(kind):
    if kind == "float32":
        return ["float32", "packed"]
    return ["float32"] if kind == "rows" else ["float32", "packed", "int32", "int8", "int16"]


@pytest.mark.parametrize("kind", [k for k in INPUTS if k != "rows"])
@given(
    case=convolutions(),
    weights=codes("weight"),
    inputs=codes("input"),
    output_codes=codes("output", 4),
    data=st.data(),
    seed=st.integers(0, 2**31),
    threads=st.sampled_from([1, 2, 3]),
)
@settings(max_examples=150, deadline=None)
def test_conv2d(isa, kind, case, weights, inputs, output_codes, data, seed, threads):  # noqa: F811
    options, shape = case
    rng = np.random.default_rng(seed)
    options = options | {"version": 2, "output": data.draw(st.sampled_from(outputs_for(kind)))}
    options |= weights | output_codes | (inputs if kind == "packed" else {})
    value, more = random_input(rng, kind, shape, options)
    options |= more
    products = options["kernel_h"] * options["kernel_w"] * options["channels"] // options["groups"]
    constants, more = random_outputs(
        rng, kind, options["output"], options, options["filters"], reach_of(options, products)
    )
    options |= more
    if kind == "packed":
        filters = group_aligned_codes(rng, options)
    else:
        filters = random_codes(rng, (options["filters"], products), options, "weight")
    check("SteConv2D", options, value, [filters, *constants], threads, misalign=seed % 4)


@pytest.mark.parametrize("kind", INPUTS)
@given(
    batch=st.integers(1, 17),
    pixels=st.sampled_from([1, 1, 4, 9]),
    channels=CHANNELS,
    units=CHANNELS,
    weights=codes("weight"),
    inputs=codes("input"),
    output_codes=codes("output", 4),
    data=st.data(),
    seed=st.integers(0, 2**31),
    threads=st.sampled_from([1, 2, 3]),
)
@settings(max_examples=100, deadline=None)
def test_fully_connected(  # noqa: F811
    isa, kind, batch, pixels, channels, units, weights, inputs, output_codes, data, seed, threads  # noqa: F811
):
    rng = np.random.default_rng(seed)
    shape = (batch, channels) if pixels == 1 else (batch, int(pixels**0.5), int(pixels**0.5), channels)
    options = {"version": 2, "units": units, "channels": channels, "pixels": pixels, "input_axes": len(shape) - 1}
    options |= {"output": data.draw(st.sampled_from(outputs_for(kind)))}
    options |= weights | output_codes | (inputs if kind == "packed" else {})
    value, more = random_input(rng, kind, shape, options)
    options |= more
    constants, more = random_outputs(
        rng, kind, options["output"], options, units, reach_of(options, pixels * channels)
    )
    options |= more
    if kind == "packed":
        filters = random_codes(rng, (units, pixels, channels), options, "weight").reshape(units, -1)
    else:
        filters = random_codes(rng, (units, pixels * channels), options, "weight")
    check("SteFullyConnected", options, value, [filters, *constants], threads, misalign=seed % 4)


@pytest.mark.parametrize("kind", [k for k in INPUTS if k != "rows"])
@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(1, 6), CHANNELS),
    filters=CHANNELS,
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    strides=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    padding=st.sampled_from(["same", "valid"]),
    weights=codes("weight"),
    inputs=codes("input"),
    output_codes=codes("output", 4),
    data=st.data(),
    seed=st.integers(0, 2**31),
    threads=st.sampled_from([1, 2, 3]),
)
@settings(max_examples=100, deadline=None)
def test_transpose_conv2d(  # noqa: F811
    isa, kind, shape, filters, kernel, strides, padding, weights, inputs, output_codes, data, seed, threads  # noqa: F811
):
    rng = np.random.default_rng(seed)
    options = {"version": 2, "channels": shape[3], "filters": filters, "padding": padding}
    options |= {"kernel_h": kernel[0], "kernel_w": kernel[1], "output": data.draw(st.sampled_from(outputs_for(kind)))}
    options |= {"stride_h": min(kernel[0], strides[0]), "stride_w": min(kernel[1], strides[1])}
    options |= weights | output_codes | (inputs if kind == "packed" else {})
    value, more = random_input(rng, kind, shape, options)
    options |= more
    reach = reach_of(options, kernel[0] * kernel[1] * shape[3])
    constants, more = random_outputs(rng, kind, options["output"], options, filters, reach)
    options |= more
    filter_codes = random_codes(rng, (filters, *kernel, shape[3]), options, "weight")
    check("SteTransposeConv2D", options, value, [filter_codes, *constants], threads, misalign=seed % 4)
