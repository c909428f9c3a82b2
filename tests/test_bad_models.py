"""Bad models are refused with a message that names the op, the tensor and the expectation; nothing crashes."""

import bad_models
import numpy as np
import pytest
import reference_ops
from hypothesis import given, settings
from hypothesis import strategies as st
from single_op import Tensor
from test_kernels import reference_outputs

import keras_ste

BAD = list(bad_models.bad_nodes())
good_nodes = pytest.mark.parametrize("good", bad_models.GOOD, ids=lambda good: good.__name__)


def allocated(content):
    interpreter = keras_ste.Interpreter(model_content=content)
    interpreter.allocate_tensors()
    return interpreter


def feed(interpreter, seed=0):
    """Sets every input to something, and returns the first."""
    rng = np.random.default_rng(seed)
    for detail in reversed(interpreter.get_input_details()):
        shape, dtype = detail["shape"], detail["dtype"]
        if dtype == np.float32:
            value = rng.normal(size=shape).astype(dtype)
        elif detail["name"] == "indices":
            value = rng.integers(0, bad_models.TABLE_ROWS, shape, np.int32)
        elif dtype == np.int32:  # planes of two words, the second of which holds 8 channels
            value = reference_ops.pack(rng.random((*shape[:-1], shape[-1] // 2, 40)) < 0.5).reshape(shape)
        else:
            value = rng.integers(np.iinfo(dtype).min, np.iinfo(dtype).max, shape, dtype, endpoint=True)
        interpreter.set_tensor(detail["index"], value)
    return value


def result(interpreter):
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def check_result(node, interpreter, value):
    constants = [None if t is None else t.data for t in node.inputs[1:]]
    interpreter.invoke()
    expected = reference_outputs(node.op, node.options, [value, *constants])
    for detail, wanted in zip(interpreter.get_output_details(), expected, strict=True):
        np.testing.assert_array_equal(interpreter.get_tensor(detail["index"]), wanted)


@good_nodes
def test_what_the_cases_are_made_of_is_good(good):
    node = good()
    interpreter = allocated(node.model())
    check_result(node, interpreter, feed(interpreter))


@pytest.mark.parametrize("node, message", [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_message(node, message):
    content = node.model()
    with pytest.raises(RuntimeError) as refused:
        allocated(content)
    assert str(refused.value).partition("Node number ")[0] == message  # LiteRT goes on in the same line


@good_nodes
def test_constants_that_are_too_short_are_refused(good):
    """LiteRT says so itself when it reads the file; where nobody does, the op's own check does, as op_fuzz tests."""
    for i in range(1, len(good().inputs)):
        node = good()
        if node.inputs[i] is None:
            continue
        bad_models.tensor(i, data=node.inputs[i].data.ravel()[:-1])(node)
        with pytest.raises(ValueError, match=r"Tensor \d is invalidly specified in schema"):
            allocated(node.model())


@good_nodes
def test_after_a_refusal_nothing_runs_and_the_next_shape_may_be_good(good):
    node = good()
    interpreter = allocated(node.model())
    index = interpreter.get_input_details()[0]["index"]
    shape = node.inputs[0].shape
    wrong = 0 if node.op == "SteGather" else shape[-1] + 1
    interpreter.resize_tensor_input(index, [*shape[:-1], wrong])
    with pytest.raises(RuntimeError, match=rf"{node.op}: input 0 \((input|a|input 0|indices), '\w+'\): expected .*, got "):
        interpreter.allocate_tensors()
    with pytest.raises(RuntimeError):
        interpreter.invoke()
    interpreter.resize_tensor_input(index, shape)
    interpreter.allocate_tensors()
    check_result(node, interpreter, feed(interpreter))


@good_nodes
def test_a_constant_input_at_an_odd_address(good):
    for misalign in range(4):
        node = good()
        fed = allocated(node.model())
        value = feed(fed)
        node.inputs[0] = Tensor.constant("x", value)
        check_result(node, allocated(node.model(misalign=misalign)), value)


@st.composite
def spoiled(draw, whole):
    """Bytes of options with some changed, cut off or put in between."""
    content = bytearray(whole)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(0, len(content) - 1)))
        match draw(st.sampled_from(["change", "flip", "cut", "cut front", "insert", "repeat"])):
            case "change":
                content[at : at + 1] = [draw(st.sampled_from([0, 1, 127, 128, 255]))]
            case "flip":
                content[at : at + 1] = [b ^ 1 << draw(st.integers(0, 7)) for b in content[at : at + 1]]
            case "cut":
                del content[at:]
            case "cut front":
                del content[:at]
            case "insert":
                content[at:at] = draw(st.binary(max_size=9))
            case _:
                content += content[at:]
    return bytes(content)


@good_nodes
@given(data=st.data())
@settings(max_examples=200)
def test_spoiled_options_are_refused_or_run(good, data):
    node = good()
    node.options = data.draw(st.one_of(spoiled(node.option_bytes()), st.binary(max_size=80)))
    try:
        interpreter = allocated(node.model())
    except RuntimeError as refused:
        assert str(refused).startswith(f"{node.op}: "), refused
        return
    feed(interpreter)
    assert result(interpreter).size > 0
