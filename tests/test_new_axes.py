"""Slices that only add axes become ExpandDims, in a SavedModel that computes the same."""

import hypothesis
import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies as st
from tensorflow.core.protobuf import saved_model_pb2

import keras_ste
from keras_ste.converter.new_axes import spell_out_new_axes

WHOLE, ADDED = slice(None), tf.newaxis


@st.composite
def indices(draw):
    """What may stand in the brackets behind a tensor of three axes."""
    entries = draw(st.lists(st.sampled_from([WHOLE, slice(1, None), slice(None, None, -1), 0]), max_size=3))
    if draw(st.booleans()):
        entries.insert(draw(st.integers(0, len(entries))), Ellipsis)
    for _ in range(draw(st.integers(0, 3))):
        entries.insert(draw(st.integers(0, len(entries))), ADDED)
    return tuple(entries)


@hypothesis.given(indices())
@hypothesis.example((WHOLE, ADDED, ADDED, WHOLE, WHOLE))
@hypothesis.example((ADDED, Ellipsis, ADDED, WHOLE, ADDED))
@hypothesis.example((ADDED, slice(1, None)))
def test_what_is_computed_stays_the_same(tmp_path_factory, index):
    folder = str(tmp_path_factory.mktemp("saved"))
    module = tf.Module()
    module.f = tf.function(lambda x: x[index], input_signature=[tf.TensorSpec((None, None, None))])
    tf.saved_model.save(module, folder)
    spell_out_new_axes(folder)
    x = np.random.default_rng(0).normal(size=(2, 3, 4)).astype("float32")
    np.testing.assert_array_equal(tf.saved_model.load(folder).f(x), x[index])
    with open(f"{folder}/saved_model.pb", "rb") as file:
        (graph,) = saved_model_pb2.SavedModel.FromString(file.read()).meta_graphs
    ops = [node.op for function in graph.graph_def.library.function for node in function.node_def]
    only_adds = all(entry in (WHOLE, ADDED, Ellipsis) for entry in index) and ADDED in index
    assert ops.count("ExpandDims") == (index.count(ADDED) if only_adds else 0)
    assert ("StridedSlice" in ops) == (not only_adds)


class Masked(keras.layers.Layer):
    def call(self, x):
        tensor = tf.convert_to_tensor(x)
        return tensor[:, None, None] + tensor[..., None, :, None, :]


@pytest.mark.parametrize("length", [4, None])
def test_axes_among_unknown_sizes_convert(length):
    inputs = keras.Input((length, 3))
    model = keras.Model(inputs, Masked()(keras_ste.QuantDense(3, kernel_quantizer="ste_sign")(inputs)))
    interpreter = keras_ste.Interpreter(model_content=keras_ste.convert(model, strict=True).model_content)
    x = np.random.default_rng(0).normal(size=(2, 4, 3)).astype("float32")
    (given,), (result,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.resize_tensor_input(given["index"], x.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(given["index"], x)
    interpreter.invoke()
    np.testing.assert_allclose(interpreter.get_tensor(result["index"]), model(x), rtol=1e-6, atol=1e-6)
