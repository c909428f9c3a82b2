"""Random models convert, and compute in LiteRT and TFLite Micro what they compute in Keras."""

import hypothesis
import keras
import numpy as np
import pytest
from hypothesis import strategies as st
from random_models import examples, model_of, recipes

import keras_ste

# A conversion of several networks at once costs little more than that of one.
TOGETHER = 10
# Building and converting models is too slow to shrink a failing one.
GENERATE = [hypothesis.Phase.explicit, hypothesis.Phase.reuse, hypothesis.Phase.generate]


def check(chosen, seed, count=2):
    """Converts the networks as one model, strictly, and compares every output."""
    keras.utils.set_random_seed(seed)
    model, exact = model_of(chosen)
    converted = keras_ste.convert(model, strict=True)
    larger = [row.size for row in converted.report.rows if row.size is not None and row.size.verdict != "met"]
    # Integers of affine weights lie about a zero point: they need a bit more than their quantizer has.
    assert all("but its values have codes of" in size.reason for size in larger), larger
    x = {f"x{number}": examples(recipe, seed, count) for number, recipe in enumerate(chosen)}
    expected = {name: value.numpy() for name, value in model(list(x.values()), training=False).items()}
    found = keras_ste.Interpreter(model_content=converted.model_content).get_signature_runner()(**x)
    compare(expected, found, exact, chosen)
    return model, converted, x, expected, exact


def compare(expected, found, exact, chosen):
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        recipe = chosen[int(name[1:].partition("_")[0])]
        if exact[name]:
            np.testing.assert_array_equal(found[name], values, err_msg=f"{name} of {recipe}")
        else:
            np.testing.assert_allclose(found[name], values, rtol=1e-4, atol=1e-4, err_msg=f"{name} of {recipe}")


@hypothesis.settings(max_examples=28, phases=GENERATE)
@hypothesis.given(st.lists(recipes(most_steps=3), min_size=TOGETHER, max_size=TOGETHER), st.integers(0, 2**31))
def test_models_equal_keras(chosen, seed):
    check(chosen, seed)


@pytest.mark.exhaustive
@hypothesis.settings(max_examples=300, phases=GENERATE)
@hypothesis.given(st.lists(recipes(most_steps=8), min_size=TOGETHER, max_size=TOGETHER), st.integers(0, 2**31))
def test_many_models_equal_keras(chosen, seed):
    check(chosen, seed)


# TFLite Micro has no CAST of uint8, which a layer of floats would need, no initial state of a batch known at run time, and
# no BROADCAST_TO of such a batch, which TensorFlow's converter puts before some ops on volumes of floats.
FOR_BOARDS = recipes(dtypes=("int8", "float32"), recurrent=False, ranks=(0, 1, 2, 2, 2))


@hypothesis.settings(max_examples=3, phases=GENERATE)
@hypothesis.given(st.lists(FOR_BOARDS, min_size=TOGETHER, max_size=TOGETHER), st.integers(0, 2**31))
def test_models_equal_keras_on_a_board(chosen, seed):
    pytest.importorskip("tflite_micro")
    model, converted, x, expected, exact = check(chosen, seed, count=1)
    micro = keras_ste.MicroInterpreter(model_content=converted.model_content)
    for index, value in enumerate(x.values()):
        micro.set_input(value, index)
    micro.invoke()
    found = {name: micro.get_output(index) for index, name in enumerate(expected)}
    compare(expected, found, exact, chosen)
