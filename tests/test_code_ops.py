"""The ops on codes of 1 to 8 bits that are not products, against the plain reference on every instruction set."""

import numpy as np
import pytest
import reference_ops
from hypothesis import given, settings
from hypothesis import strategies as st
from single_op import Tensor, single_op_model
from test_kernels import CHANNELS, isa, random_bits  # noqa: F401: a fixture

import keras_ste

SEEDS = st.integers(0, 2**31)
# Bits and encoding.
CODES = st.one_of(
    st.just((2, "ternary")), st.tuples(st.integers(1, 8), st.sampled_from(["bipolar", "unsigned", "signed"]))
)


def random_codes(rng, shape, bits, encoding):
    """Packed codes that are worth anything they can be."""
    codes = rng.integers(0, 2**bits, shape)
    if encoding == "ternary":
        codes = np.where(codes == 2, 0, codes)
    return reference_ops.pack_codes(codes, bits)


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


# Of each op: its options, the inputs that are fed, and its constants behind them, which may be None.
NODES = {
    "SteMaxPool2D": max_pools(),
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
