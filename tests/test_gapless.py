"""Filters without gaps, on every instruction set and in TFLite Micro: what they compute is what words of the same weights do."""

import numpy as np
import pytest
import reference_ops
import test_code_products
import test_depthwise
from hypothesis import given, settings
from hypothesis import strategies as st
from single_op import Tensor, single_op_model
from test_kernels import check, isa  # noqa: F401: a fixture

import keras_ste


@st.composite
def depthwise_nodes(draw, kind):
    signs = kind == "packed" and draw(st.booleans())
    options, (value,), constants = draw(test_depthwise.bits_to_bits() if signs else test_depthwise.depthwise_nodes([kind]))
    return options, value, constants


NODES = test_code_products.NODES | {"SteDepthwiseConv2D": depthwise_nodes}
KINDS = test_code_products.KINDS + [("SteDepthwiseConv2D", kind) for kind in test_depthwise.KINDS]


def weights_of(op, filters, packed, options):
    """What the weights are worth, those of a row along the last axis."""
    codes, o = reference_ops.codes_of(options, "weight"), options
    if op == "SteConv2D":
        weights = reference_ops._conv_weights(filters, packed, options)
        return weights if packed else weights.reshape(o["filters"], -1)
    if op == "SteFullyConnected":
        shape = (o["units"], o["pixels"], o["channels"]) if packed else (o["units"], o["pixels"] * o["channels"])
    elif op == "SteTransposeConv2D":
        shape = (o["filters"], o["kernel_h"], o["kernel_w"], o["channels"])
    else:
        shape = (o["kernel_h"], o["kernel_w"], o["channels"] * o["depth_multiplier"])
    return reference_ops._filter_rows(filters, shape, codes)


def without_gaps(op, filters, packed, options):
    """The filter as bytes."""
    codes = reference_ops.codes_of(options, "weight")
    return reference_ops.pack_gapless(reference_ops.code_of(weights_of(op, filters, packed, options), *codes), codes[0])


@st.composite
def gapless_nodes(draw, op, kind):
    options, value, (filters, *constants) = draw(NODES[op](kind))
    filters = without_gaps(op, filters, value.dtype == np.int32, options)
    return options | {"version": 4}, value, [filters, *constants]


@pytest.mark.parametrize("op, kind", KINDS)
@given(data=st.data(), misalign=st.integers(0, 3), threads=st.sampled_from([1, 2, 3]))
@settings(max_examples=40)
def test_equals_the_reference(isa, op, kind, data, misalign, threads):  # noqa: F811
    check(op, *data.draw(gapless_nodes(op, kind)), threads, misalign)


@pytest.mark.parametrize("op, kind", KINDS)
@given(data=st.data())
@settings(max_examples=20)
def test_equals_the_reference_on_a_board(op, kind, data):
    pytest.importorskip("tflite_micro")
    options, value, constants = data.draw(gapless_nodes(op, kind))
    value = value[:1]
    expected = reference_ops.OPS[op]([value, *constants], options)
    tensors = [None if c is None else Tensor.constant(f"constant{i}", c) for i, c in enumerate(constants)]
    fed, output = Tensor("input", value.shape, value.dtype), Tensor("output", expected.shape, expected.dtype)
    micro = keras_ste.MicroInterpreter(model_content=single_op_model(op, options, [fed, *tensors], output))
    micro.set_input(value)
    micro.invoke()
    np.testing.assert_array_equal(micro.get_output(), expected)


@pytest.mark.parametrize("op, kind", [("SteConv2D", "packed"), ("SteFullyConnected", "int8")])
@pytest.mark.parametrize("more", [-1, 1])
def test_another_number_of_bytes_is_refused(op, kind, more):
    shape = {"kernel_h": 3, "kernel_w": 3} if op == "SteConv2D" else {}
    options = {"version": 4, "channels": 5, "output": "int32", "weight_bits": 2, "weight_encoding": "ternary", **shape}
    if op == "SteConv2D":
        options |= {f"{what}_{axis}": 1 for what in ("stride", "dilation") for axis in "hw"}
        options |= {"filters": 7, "groups": 1, "padding": "same", "pad_value": 0}
        fed, size = Tensor("input", (1, 4, 4, 1), np.int32), 7 * 9 * 5 * 2
    else:
        options |= {"units": 7}
        fed, size = Tensor("input", (1, 5), np.int8), 7 * 5 * 2
    filters = Tensor.constant("filter", np.zeros(-(-size // 8) + more, np.uint8))
    model = single_op_model(op, options, [fed, filters], Tensor("output", (1, 4, 4, 7)[:: 1 if shape else 3], np.int32))
    with pytest.raises((RuntimeError, ValueError), match=rf"filter.*expected \[{-(-size // 8)}\]"):
        keras_ste.Interpreter(model_content=model).allocate_tensors()
