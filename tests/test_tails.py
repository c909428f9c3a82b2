"""Tails: what is done to the sums of a product behind scale and bias, on every instruction set, against the plain reference."""

import numpy as np
import pytest
import test_code_ops
import test_code_products
import test_depthwise
from hypothesis import given, settings
from hypothesis import strategies as st
from single_op import Tensor, single_op_model
from test_code_ops import random_numbers, random_outputs, random_scales
from test_kernels import isa, reference_outputs  # noqa: F401: a fixture

import keras_ste

SEEDS = st.integers(0, 2**31)
STEPS = ["add", "multiply", "maximum", "minimum", "prelu"]
RESIDUALS = ["float32", "float32", *test_code_ops.NUMBERS]


@st.composite
def depthwise_nodes(draw, kind):
    options, (value,), constants = draw(test_depthwise.depthwise_nodes([kind]))
    return options, value, constants


NODES = test_code_products.NODES | {"SteDepthwiseConv2D": depthwise_nodes}
KINDS = test_code_products.KINDS + [("SteDepthwiseConv2D", kind) for kind in test_depthwise.KINDS]


@st.composite
def tails(draw, op, kind):
    """A product with a tail: options, the fed inputs with None for those that are constant, and all inputs."""
    options, value, (filters, *_) = draw(NODES[op](kind))
    options = {key: what for key, what in options.items() if not key.startswith(("output", "activation"))}
    (sums,) = reference_outputs(op, options | {"output": "float32"}, [value, filters])
    channels, rng = sums.shape[-1], np.random.default_rng(draw(SEEDS))
    multiplier, bias = random_scales(draw, rng, channels)
    spread = np.float32(1 + np.nanmedian(np.abs(sums)))
    if multiplier is not None:
        multiplier, spread = multiplier / spread, np.float32(1)
    if bias is not None:
        bias = bias * spread
    constants, output_options = random_outputs(draw, rng, channels, spread)
    if len(constants) == 2:  # a multiplier and a bias are those of the sums
        constants = []
    thresholds = constants[2] if constants else None
    steps = draw(st.lists(st.sampled_from(STEPS), max_size=4))
    rows = spread * rng.normal(size=(len(steps), channels)).astype(np.float32)
    for row, step in zip(rows, steps, strict=True):
        row /= spread if step in ("multiply", "prelu") else 1
    residual, scale, more = None, None, {}
    if not steps or draw(st.booleans()):
        steps.insert(draw(st.integers(0, len(steps))), "residual")
        residual, more = random_numbers(draw, rng, sums.shape, "residual", [draw(st.sampled_from(RESIDUALS))])
        scale = rng.normal(size=draw(st.sampled_from([1, channels]))).astype(np.float32) if draw(st.booleans()) else None
    if output_options["output"] != "float32" and draw(st.booleans()):
        steps.insert(draw(st.integers(0, len(steps))), "store")
    options |= output_options | more | {"version": 3, "tail": " ".join(steps)}
    inputs = [value, filters, multiplier, bias, thresholds, rows if len(rows) else None, residual, scale]
    return options, [i in (0, 6) for i in range(8)], inputs


def run_node(op, options, fed, inputs, threads=1):
    """What the runtime makes of a node whose inputs are the arrays, those that are `fed` no constants."""
    expected = reference_outputs(op, options, inputs)
    tensors = []
    for i, (array, is_fed) in enumerate(zip(inputs, fed, strict=True)):
        constant = None if array is None else Tensor.constant(f"constant{i}", array)
        tensors.append(Tensor(f"input{i}", array.shape, array.dtype) if is_fed and array is not None else constant)
    outputs = [Tensor(f"output{i}", y.shape, y.dtype) for i, y in enumerate(expected)]
    model = single_op_model(op, options, tensors, outputs)
    interpreter = keras_ste.Interpreter(model_content=model, num_threads=threads)
    interpreter.allocate_tensors()
    arrays = [array for array, is_fed in zip(inputs, fed, strict=True) if is_fed and array is not None]
    for detail, array in zip(interpreter.get_input_details(), arrays, strict=True):
        interpreter.set_tensor(detail["index"], array)
    interpreter.invoke()
    actual = [interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()]
    return actual, expected


@pytest.mark.parametrize("op, kind", KINDS)
@given(data=st.data(), threads=st.sampled_from([1, 2, 3]))
@settings(max_examples=25)
def test_equals_the_reference(isa, op, kind, data, threads):  # noqa: F811
    actual, expected = run_node(op, *data.draw(tails(op, kind)), threads)
    assert len(actual) == len(expected)
    for got, wanted in zip(actual, expected, strict=True):
        assert got.dtype == wanted.dtype
        np.testing.assert_array_equal(got, wanted)
