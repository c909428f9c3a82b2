"""The ops of products with codes of 1 to 8 bits, on every instruction set, against the plain reference.

`pytest -m exhaustive` tries all codes of weights with all of inputs and all kinds of output.
"""

import kernel_api
import numpy as np
import pytest
import reference_ops
from hypothesis import given, settings
from hypothesis import strategies as st
from test_kernels import CHANNELS, check, convolutions, isa  # noqa: F401: the fixture

SEEDS = st.integers(0, 2**31)
INPUTS = ["packed", "int8", "uint8", "float32", "rows"]


@st.composite
def codes(draw, name, most=8):
    encoding = draw(st.sampled_from(kernel_api.ENCODINGS))
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


def with_data(rng, kind, shape, options, filters, products):
    """The options with those of a random value, the value, and the constants behind the filter."""
    value, more = random_input(rng, kind, shape, options)
    options = options | more
    constants, more = random_outputs(rng, kind, options["output"], options, filters, reach_of(options, products))
    return options | more, value, constants


# Of each op: random nodes that have these options, as `check` takes them.


def conv2d_node(rng, kind, shape, options):
    products = options["kernel_h"] * options["kernel_w"] * options["channels"] // options["groups"]
    options, value, constants = with_data(rng, kind, shape, options, options["filters"], products)
    if kind == "packed":
        filters = group_aligned_codes(rng, options)
    else:
        filters = random_codes(rng, (options["filters"], products), options, "weight")
    return options, value, [filters, *constants]


def fully_connected_node(rng, kind, shape, options):
    units, pixels, channels = options["units"], options["pixels"], options["channels"]
    options, value, constants = with_data(rng, kind, shape, options, units, pixels * channels)
    if kind == "packed":
        filters = random_codes(rng, (units, pixels, channels), options, "weight").reshape(units, -1)
    else:
        filters = random_codes(rng, (units, pixels * channels), options, "weight")
    return options, value, [filters, *constants]


def transpose_conv2d_node(rng, kind, shape, options):
    filter_shape = [options[key] for key in ("filters", "kernel_h", "kernel_w", "channels")]
    products = int(np.prod(filter_shape[1:]))
    options, value, constants = with_data(rng, kind, shape, options, filter_shape[0], products)
    filters = random_codes(rng, filter_shape, options, "weight")
    return options, value, [filters, *constants]


@st.composite
def code_options(draw, kind):
    """The options that say what weights, inputs and outputs are made of."""
    options = {"version": 2, "output": draw(st.sampled_from(outputs_for(kind)))}
    inputs = draw(codes("input")) if kind == "packed" else {}
    return options | draw(codes("weight")) | draw(codes("output", 4)) | inputs


@st.composite
def convolution_nodes(draw, kind):
    options, shape = draw(convolutions())
    return conv2d_node(np.random.default_rng(draw(SEEDS)), kind, shape, options | draw(code_options(kind)))


@st.composite
def fully_connected_nodes(draw, kind):
    batch, pixels, channels = draw(st.integers(1, 17)), draw(st.sampled_from([1, 1, 4, 9])), draw(CHANNELS)
    shape = (batch, channels) if pixels == 1 else (batch, int(pixels**0.5), int(pixels**0.5), channels)
    options = draw(code_options(kind)) | {"units": draw(CHANNELS), "channels": channels, "pixels": pixels}
    options["input_axes"] = len(shape) - 1
    return fully_connected_node(np.random.default_rng(draw(SEEDS)), kind, shape, options)


@st.composite
def transposed_nodes(draw, kind):
    shape = [draw(st.integers(1, most)) for most in (3, 6, 6)] + [draw(CHANNELS)]
    options = draw(code_options(kind)) | {"channels": shape[3], "filters": draw(CHANNELS)}
    options["padding"] = draw(st.sampled_from(["same", "valid"]))
    for axis in "hw":
        options[f"kernel_{axis}"] = draw(st.integers(1, 4))
        options[f"stride_{axis}"] = draw(st.integers(1, min(options[f"kernel_{axis}"], 3)))
        most = options[f"stride_{axis}"] - 1
        options |= {f"extra_{axis}": draw(st.integers(-most, most))} if draw(st.booleans()) else {}
    return transpose_conv2d_node(np.random.default_rng(draw(SEEDS)), kind, tuple(shape), options)


NODES = {
    "SteConv2D": convolution_nodes,
    "SteFullyConnected": fully_connected_nodes,
    "SteTransposeConv2D": transposed_nodes,
}
# Rows that are quantized at run time are those of one op.
KINDS = [(op, kind) for op in NODES for kind in INPUTS if kind != "rows" or op == "SteFullyConnected"]


@pytest.mark.parametrize("op, kind", KINDS)
@given(data=st.data(), misalign=st.integers(0, 3), threads=st.sampled_from([1, 2, 3]))
@settings(max_examples=120)
def test_equals_the_reference(isa, op, kind, data, misalign, threads):  # noqa: F811
    check(op, *data.draw(NODES[op](kind)), threads, misalign)


@pytest.mark.parametrize("kind", ["int8", "uint8"])
@given(data=st.data(), seed=SEEDS, threads=st.sampled_from([1, 2, 3]))
@settings(max_examples=25)
def test_first_layers(isa, kind, data, seed, threads):  # noqa: F811
    """Few channels, wide images: on some instruction sets a way of its own (row_conv.h)."""
    rng = np.random.default_rng(seed)
    options = data.draw(code_options(kind))
    options |= {"channels": data.draw(st.integers(1, 5)), "filters": int(rng.choice([5, 16, 32, 35, 48, 64]))}
    options |= {f"kernel_{axis}": int(rng.integers(1, 8)) for axis in "hw"}
    options |= {f"stride_{axis}": int(rng.integers(1, 4)) for axis in "hw"}
    options |= {"dilation_h": int(rng.integers(1, 3)), "dilation_w": 1, "groups": 1}
    options |= {"padding": str(rng.choice(["same", "valid", "causal"])), "pad_value": int(rng.integers(2))}
    shape = (int(rng.integers(1, 3)), int(rng.integers(13, 17)), int(rng.integers(10, 300)), options["channels"])
    check("SteConv2D", *conv2d_node(rng, kind, shape, options), threads)


def every_input_and_output(weights):
    """Seeds, kinds of input, and options for weights of these codes: all codes of inputs, all kinds of output.

    The codes of packed outputs take turns.
    """
    kinds = [("packed", {"input_bits": bits, "input_encoding": encoding}) for bits, encoding in kernel_api.CODES]
    kinds += [(kind, {}) for kind in INPUTS if kind != "packed"]
    cases = [(kind, inputs, output) for kind, inputs in kinds for output in outputs_for(kind)]
    for seed, (kind, inputs, output) in enumerate(cases):
        bits, encoding = kernel_api.CODES[seed % len(kernel_api.CODES)]
        options = {"version": 2, "weight_bits": weights[0], "weight_encoding": weights[1], "output": output}
        yield seed, kind, options | inputs | {"output_bits": bits, "output_encoding": encoding}


@pytest.mark.exhaustive
@pytest.mark.parametrize("weights", kernel_api.CODES, ids=str)
def test_every_convolution(isa, weights):  # noqa: F811
    """Of odd sizes, with and without groups, padding, strides and dilation."""
    for seed, kind, options in every_input_and_output(weights):
        if kind == "rows":
            continue
        rng = np.random.default_rng(seed)
        groups = int(rng.choice([1, 1, 3]))
        options |= {"channels": groups * int(rng.choice([3, 33])), "filters": groups * int(rng.choice([5, 17, 35]))}
        options |= {"groups": groups, "kernel_h": int(rng.integers(1, 4)), "kernel_w": int(rng.integers(1, 4))}
        options |= {f"{what}_{axis}": int(rng.integers(1, 3)) for what in ("stride", "dilation") for axis in "hw"}
        options |= {"padding": str(rng.choice(["same", "valid"])), "pad_value": int(rng.integers(2))}
        check("SteConv2D", *conv2d_node(rng, kind, (1, 5, 7, options["channels"]), options))
        strides = {f"stride_{axis}": min(options[f"stride_{axis}"], options[f"kernel_{axis}"]) for axis in "hw"}
        node = transpose_conv2d_node(rng, kind, (1, 3, 2, options["channels"]), options | strides)
        check("SteTransposeConv2D", *node)


@pytest.mark.exhaustive
@pytest.mark.parametrize("weights", kernel_api.CODES, ids=str)
def test_every_fully_connected(isa, weights):  # noqa: F811
    """One row, which has kernels of its own, and several."""
    for seed, kind, options in every_input_and_output(weights):
        batch, pixels, channels, units = [(1, 1, 77, 35), (5, 1, 70, 17), (9, 3, 33, 19)][seed % 3]
        options |= {"units": units, "channels": channels, "pixels": pixels, "input_axes": 2}
        node = fully_connected_node(np.random.default_rng(seed), kind, (batch, pixels, channels), options)
        check("SteFullyConnected", *node)
