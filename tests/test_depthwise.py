"""SteDepthwiseConv2D against the plain reference: every width, encoding, kind of input and of output.

`pytest -m exhaustive` tries all codes of weights with all of inputs and all kinds of output.
"""

import kernel_api
import numpy as np
import pytest
import reference_ops
from hypothesis import given, settings
from hypothesis import strategies as st
from test_code_ops import CODES, SEEDS, model_of, random_codes, random_numbers, random_outputs, random_scales, run
from test_code_products import every_input_and_output, with_data
from test_kernels import CHANNELS, check, isa  # noqa: F401: a fixture

KINDS = ["packed", "int8", "uint8", "float32"]


def random_thresholds(rng, shape, reach):
    """Most of them where the sums are, some beyond, in their order."""
    thresholds = rng.normal(0, reach, shape).astype(np.int32)
    thresholds[rng.random(shape) < 0.1] = 2**31 - 1
    thresholds[rng.random(shape) < 0.1] = -(2**31)
    return np.sort(thresholds, axis=0)


def random_integer_outputs(draw, rng, channels, reach):
    """The constants and the options of outputs of sums that are integers, about as large as `reach`."""
    output = draw(st.sampled_from(["float32", "packed", "int32", "int8", "int16"]))
    options = {"output": output}
    if output == "packed":
        bits, encoding = draw(CODES)
        thresholds = random_thresholds(rng, (2**bits - 1, channels), reach)
        if encoding == "ternary":
            thresholds[0] = -(2**31)
        options |= {"output_bits": bits, "output_encoding": encoding}
        return [None, None, thresholds[0] if bits == 1 else thresholds], options
    if output == "int32":
        return [], options
    if output == "float32":
        clamp = {"activation_min": -1.0, "activation_max": 6.0} if draw(st.booleans()) else {}
        return random_scales(draw, rng, channels), options | clamp
    multiplier = rng.integers(2**30, 2**31, channels).astype(np.int32)
    bias = rng.integers(-(2**12), 2**12, channels).astype(np.int32) if draw(st.booleans()) else None
    shifts = rng.integers(-12, 1, channels).astype(np.int32) + (8 if output == "int16" else 0)
    options["output_zero_point"] = int(rng.integers(-100, 100))
    if draw(st.booleans()):
        options |= {"output_min": options["output_zero_point"], "output_max": np.iinfo(output).max - 5}
    return [multiplier, bias, shifts], options


@st.composite
def windows(draw):
    """Options without those of codes and outputs, and a shape of images without their channels."""
    options = {"version": 2, "channels": draw(CHANNELS), "depth_multiplier": draw(st.sampled_from([1, 1, 2, 3]))}
    options |= {"padding": draw(st.sampled_from(["same", "valid", "causal"])), "pad_value": draw(st.integers(0, 1))}
    shape = [draw(st.integers(1, 3))]
    for axis, longest in (("h", 4), ("w", 12)):
        options[f"kernel_{axis}"], options[f"stride_{axis}"] = draw(st.integers(1, 4)), draw(st.integers(1, 3))
        options[f"dilation_{axis}"] = draw(st.integers(1, 3))
        reach = (options[f"kernel_{axis}"] - 1) * options[f"dilation_{axis}"] + 1
        shape.append((reach if options["padding"] == "valid" else 1) + draw(st.integers(0, longest)))
    return options, shape


@st.composite
def bits_to_bits(draw):
    """As depthwise_nodes, of one bit all over, with the thresholds among the sums."""
    options, shape = draw(windows())
    rng = np.random.default_rng(draw(SEEDS))
    options["depth_multiplier"] = 1
    bits = (1, "bipolar")
    filters = random_codes(rng, (options["kernel_h"], options["kernel_w"], options["channels"]), *bits)
    thresholds = random_thresholds(rng, options["channels"], reach=2)
    options |= {"output": "packed", "weight_bits": 1}
    return options, [random_codes(rng, (*shape, options["channels"]), *bits)], [filters, None, None, thresholds]


@st.composite
def depthwise_nodes(draw, kinds):
    """Options, the fed input in a list, and the constants."""
    kind = draw(st.sampled_from(kinds))
    options, shape = draw(windows())
    rng = np.random.default_rng(draw(SEEDS))
    value, input_options = random_numbers(draw, rng, (*shape, options["channels"]), "input", [kind])
    channels, weights = options["channels"] * options["depth_multiplier"], draw(CODES)
    filters = random_codes(rng, (options["kernel_h"], options["kernel_w"], channels), *weights)
    options |= {"weight_bits": weights[0], "weight_encoding": weights[1]}
    largest = {"packed": 2 ** input_options.get("input_bits", 0), "float32": 1}.get(kind, 128)
    reach = largest * 2 ** weights[0] * (options["kernel_h"] * options["kernel_w"]) ** 0.5 / 2
    outputs = random_outputs if kind == "float32" else random_integer_outputs
    constants, output_options = outputs(draw, rng, channels, reach)
    return options | input_options | output_options, [value], [filters, *constants]


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data(), misalign=st.integers(0, 3), threads=st.sampled_from([1, 2, 3]))
@settings(max_examples=100)
def test_equals_the_reference(isa, kind, data, misalign, threads):
    options, fed, constants = data.draw(depthwise_nodes([kind]))
    model, expected = model_of("SteDepthwiseConv2D", options, fed, constants, misalign)
    actual = run(model, fed, threads)
    assert actual.dtype == expected.dtype
    np.testing.assert_array_equal(actual, expected)


@given(case=bits_to_bits(), misalign=st.integers(0, 3), threads=st.sampled_from([1, 2, 3]))
@settings(max_examples=100)
def test_bits_to_bits(isa, case, misalign, threads):
    model, expected = model_of("SteDepthwiseConv2D", *case, misalign)
    np.testing.assert_array_equal(run(model, case[1], threads), expected)


@pytest.mark.exhaustive
@pytest.mark.parametrize("weights", kernel_api.CODES, ids=str)
def test_every_depthwise(isa, weights):
    """Of odd sizes, with and without padding, strides, dilation and several outputs of a channel."""
    for seed, kind, options in every_input_and_output(weights):
        if kind == "rows":
            continue
        rng = np.random.default_rng(seed)
        options |= {"channels": int(rng.choice([3, 33, 70])), "depth_multiplier": int(rng.choice([1, 1, 2]))}
        options |= {f"kernel_{axis}": int(rng.integers(1, 4)) for axis in "hw"}
        options |= {f"{what}_{axis}": int(rng.integers(1, 3)) for what in ("stride", "dilation") for axis in "hw"}
        options |= {"padding": str(rng.choice(["same", "valid"])), "pad_value": int(rng.integers(2))}
        taps, channels = options["kernel_h"] * options["kernel_w"], options["channels"] * options["depth_multiplier"]
        options, value, constants = with_data(rng, kind, (1, 5, 7, options["channels"]), options, channels, taps)
        filters = random_codes(rng, (options["kernel_h"], options["kernel_w"], channels), *weights)
        check("SteDepthwiseConv2D", options, value, [filters, *constants])


def one_output(options, value, filters):
    options = {
        "version": 2, "channels": 1, "depth_multiplier": 1, "stride_h": 1, "stride_w": 1, "dilation_h": 1,
        "dilation_w": 1, "padding": "valid", "pad_value": 0, "output": "int32", **options,
    }  # fmt: skip
    model, expected = model_of("SteDepthwiseConv2D", options, [value], [filters])
    np.testing.assert_array_equal(run(model, [value], 1), expected)
    return expected.item()


def test_the_largest_sums_are_exact(isa):
    """16,512 products of 255 by 255 stay below 2^30 by a little."""
    value = np.zeros((1, 16512 // 4, 4, 1), np.uint8)
    filters = reference_ops.pack_numbers(np.zeros((16512 // 4, 4, 1), np.int64), 8)
    options = {"kernel_h": 16512 // 4, "kernel_w": 4, "weight_bits": 8, "input_zero_point": 255}
    assert one_output(options, value, filters) == 16512 * 255 * 255


def test_dilation_far_beyond_the_image(isa):
    """Such an image has no padded copy."""
    value = np.full((1, 1, 1, 1), 3, np.int8)
    filters = reference_ops.pack(np.ones((3, 3, 1), bool))
    options = {"kernel_h": 3, "kernel_w": 3, "dilation_h": 40, "dilation_w": 40, "padding": "same"}
    assert one_output(options, value, filters) == 3
