"""SteGather: rows of tables in words and without gaps, in both runtimes, and the embeddings that become it."""

import keras
import numpy as np
import pytest
import reference_ops
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from single_op import Tensor, single_op_model
from tensorflow.lite.python import schema_py_generated as schema
from test_code_ops import lookups
from test_kernels import run

import keras_ste
from keras_ste import QuantDense, QuantEmbedding
from keras_ste.converter.graph import BuiltinOperator, Op, constant_tensor, read_model
from keras_ste.converter.packing import words_of
from keras_ste.converter.writer import write_model
from keras_ste.quantizers import TWN, Lsq, UniformQuantizer

WIDTHS = [(40, 3), (33, 1), (7, 2), (64, 4), (300, 4), (5, 8)]


def node(rows=9, channels=40, bits=3, gapless=False):
    """Options and a table."""
    numbers = np.random.default_rng(0).integers(0, 2**bits, (rows, channels))
    pack = reference_ops.pack_gapless if gapless else reference_ops.pack_numbers
    options = {"version": 4, "rows": rows, "channels": channels, "input_bits": bits, "input_encoding": "unsigned"}
    return options, pack(numbers, bits)


def model_of(options, table, indices):
    words = options["input_bits"] * words_of(options["channels"])
    inputs = [Tensor("indices", indices.shape, np.int32), Tensor.constant("table", table)]
    return single_op_model("SteGather", options, inputs, Tensor("rows", (*indices.shape, words), np.int32))


def run_micro(content, value):
    pytest.importorskip("tflite_micro")
    micro = keras_ste.MicroInterpreter(model_content=content)
    micro.set_input(value)
    micro.invoke()
    return micro.get_output()


@given(lookups())
@settings(max_examples=60)
def test_a_board_computes_what_the_reference_does(case):
    options, (indices,), (table,) = case
    expected = reference_ops.gather([indices, table], options)
    np.testing.assert_array_equal(run_micro(model_of(options, table, indices), indices), expected)


@pytest.mark.parametrize("gapless", [False, True])
@pytest.mark.parametrize("compute", [run_micro, lambda content, value: run(content, value)], ids=["micro", "litert"])
def test_one_index_gives_one_row(gapless, compute):
    options, table = node(gapless=gapless)
    index = np.array(5, np.int32)
    rows = compute(model_of(options, table, index), index)
    np.testing.assert_array_equal(rows, reference_ops.gather([index, table], options))


@pytest.mark.parametrize("gapless", [False, True])
@pytest.mark.parametrize("index", [9, -1, 2**31 - 1, -(2**31)])
@pytest.mark.parametrize("threads", [1, 2])
def test_an_index_outside_of_the_table_is_an_error(gapless, index, threads):
    options, table = node(gapless=gapless)
    indices = np.zeros((2, 30), np.int32)
    content = model_of(options, table, indices)
    indices[1, 17] = index
    message = f"SteGather: index {index} is not one of the table's 9 rows"
    interpreter = keras_ste.Interpreter(model_content=content, num_threads=threads)
    interpreter.allocate_tensors()
    tensor = interpreter.get_input_details()[0]["index"]
    interpreter.set_tensor(tensor, indices)
    with pytest.raises(RuntimeError, match=message):
        interpreter.invoke()
    indices[1, 17] = 8  # what is in the table is looked up afterwards
    interpreter.set_tensor(tensor, indices)
    interpreter.invoke()
    found = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    np.testing.assert_array_equal(found, reference_ops.gather([indices, table], options))


@pytest.mark.parametrize("gapless", [False, True])
@pytest.mark.parametrize("index", [9, -1])
def test_an_index_outside_of_the_table_is_an_error_on_a_board(gapless, index, capfd):
    pytest.importorskip("tflite_micro")
    options, table = node(gapless=gapless)
    indices = np.array([[8, index]], np.int32)
    micro = keras_ste.MicroInterpreter(model_content=model_of(options, table, indices))
    micro.set_input(indices)
    message = f"SteGather: index {index} is not one of the table's 9 rows"
    with pytest.raises(RuntimeError, match=f"TFLite Micro cannot run the model: {message}"):
        micro.invoke()
    assert message in capfd.readouterr().err
    indices[0, 1] = 0
    micro.set_input(indices)
    micro.invoke()
    np.testing.assert_array_equal(micro.get_output(), reference_ops.gather([indices, table], options))


def embedding(channels, bits, dtype="int32", shape=(5,), rows=50):
    """A model that looks up rows of random codes."""
    quantizer = Lsq(bits) if bits == 8 else "ste_sign" if bits == 1 else UniformQuantizer(bits, 0.3)
    keras.utils.set_random_seed(channels)
    layer = QuantEmbedding(rows, channels, embeddings_quantizer=quantizer, embeddings_initializer="random_normal", name="words")
    return keras.Sequential([keras.Input(shape, dtype=dtype), layer], name="net")


@pytest.mark.parametrize("channels, bits", WIDTHS)
def test_an_embedding_of_any_width_takes_its_bits_and_equals_keras(channels, bits):
    model = embedding(channels, bits)
    converted = keras_ste.convert(model, strict=True)
    x = np.random.default_rng(0).integers(0, 50, (3, 5), np.int32)
    np.testing.assert_array_equal(run(converted.model_content, x), model(x))
    np.testing.assert_array_equal(run_micro(converted.model_content, x[:1]), model(x[:1]))
    table, restored = converted.report.rows
    assert restored.op == "SteDequantize" and restored.layer == "net/words"
    if bits == 8:  # bytes, as TFLite has them
        assert (table.op, table.constant_bytes, table.size) == ("GATHER", 50 * channels, None)
        return
    assert (table.op, table.layer, table.input, table.packed) == ("SteGather", "net/words", "int32", "weights, output")
    assert (table.weight_bits, table.size.weights, table.size.bits) == (bits, 50 * channels, bits)
    assert table.size.verdict == "met" and table.size.weight_bytes == table.constant_bytes
    assert table.constant_bytes <= max(1.02 * 50 * channels * bits / 8, -(-50 * channels * bits // 8))
    assert table.moved_bytes == 4 * 5 + 2 * 4 * 5 * bits * words_of(channels)  # not the whole table


@given(shape=st.lists(st.integers(1, 4), min_size=1, max_size=4), batch=st.integers(1, 3))
@settings(max_examples=6, suppress_health_check=[HealthCheck.too_slow])
def test_indices_may_have_any_shape(shape, batch):
    model = embedding(40, 3, shape=tuple(shape))
    x = np.random.default_rng(0).integers(0, 50, (batch, *shape), np.int32)
    np.testing.assert_array_equal(run(keras_ste.convert(model, strict=True).model_content, x), model(x))


def test_lengths_known_at_run_time_only():
    model = embedding(40, 3, shape=(None,))
    content = keras_ste.convert(model, strict=True).model_content
    for length in (1, 7, 300):
        x = np.random.default_rng(0).integers(0, 50, (2, length), np.int32)
        np.testing.assert_array_equal(run(content, x), model(x))


@pytest.mark.parametrize("dtype", ["int64", "uint8", "int8", "float32"])
def test_indices_of_other_types(dtype):
    model = embedding(40, 3, dtype)
    content = keras_ste.convert(model, strict=True).model_content
    x = np.random.default_rng(0).integers(0, 50, (3, 5)).astype(dtype)
    np.testing.assert_array_equal(run(content, x), model(x))
    if dtype in ("int64", "uint8"):
        with pytest.raises(RuntimeError, match="a CAST can be of neither INT64 nor UINT8"):
            run_micro(content, x[:1])
    else:
        np.testing.assert_array_equal(run_micro(content, x[:1]), model(x[:1]))


@pytest.mark.parametrize("index", [2**32, 2**63 - 1, -(2**32), -(2**63), 50])
def test_no_large_index_becomes_a_small_one(index):
    content = keras_ste.convert(embedding(40, 3, "int64"), strict=True).model_content
    with pytest.raises(RuntimeError, match="is not one of the table's 50 rows"):
        run(content, np.full((1, 5), index, np.int64))


def test_tokens_that_are_bytes_in_an_integer_model():
    """They are no pixels: whoever looks rows up wants them as they are."""
    keras.utils.set_random_seed(0)
    layers = [
        keras.Input((5,), dtype="uint8", name="tokens"),
        QuantEmbedding(256, 40, embeddings_quantizer=UniformQuantizer(3, 0.3), embeddings_initializer="random_normal"),
        QuantDense(7, kernel_quantizer=TWN(), input_quantizer=UniformQuantizer(2, 0.4)),
    ]
    model = keras.Sequential(layers)
    x = np.random.default_rng(0).integers(0, 256, (40, 5)).astype(np.uint8)
    converted = keras_ste.convert(model, strict=True, inference_output_type="int8", representative_dataset=x)
    assert "SteGather" in [row.op for row in converted.report.rows]
    interpreter = keras_ste.Interpreter(model_content=converted.model_content)
    scale, zero_point = interpreter.get_output_details()[0]["quantization"]
    y = run(converted.model_content, x[:9])
    assert y.dtype == np.int8 and np.abs((y.astype(np.float32) - zero_point) * scale - model(x[:9])).max() <= scale
    with pytest.raises(ValueError, match="reads it as it is: it cannot take another type of integers"):
        keras_ste.convert(model, inference_input_type="int8", representative_dataset=x)


def test_one_table_that_is_read_twice_is_stored_once():
    keras.utils.set_random_seed(0)
    layer = QuantEmbedding(500, 40, embeddings_quantizer=UniformQuantizer(3, 0.3), embeddings_initializer="random_normal")
    a, b = (keras.Input((5,), dtype="int32", name=name) for name in "ab")
    model = keras.Model([a, b], keras.layers.Concatenate()([layer(a), layer(b)]))
    content = keras_ste.convert(model, strict=True).model_content
    table = 500 * 40 * 3 // 8
    assert table < len(content) < 2 * table


def test_files_of_before_in_which_tflite_gathers_words():
    model = embedding(40, 3)
    file = read_model(keras_ste.convert(model, strict=True).model_content)
    (graph,) = file.graphs
    (op,) = graph.select("SteGather")
    numbers = reference_ops._filter_rows(op.inputs[1].data, (50, 40), (3, "unsigned"))
    table = constant_tensor("table", reference_ops.pack_numbers(numbers, 3))
    raw = schema.OperatorT(builtinOptionsType=schema.BuiltinOptions.GatherOptions, builtinOptions=schema.GatherOptionsT())
    graph.ops[graph.ops.index(op)] = Op(BuiltinOperator.GATHER, [table, op.inputs[0]], op.outputs, raw=raw)
    content = write_model(file)
    x = np.random.default_rng(0).integers(0, 50, (3, 5), np.int32)
    np.testing.assert_array_equal(run(content, x), model(x))
    gathered, restored = keras_ste.inspect(content).rows
    assert (gathered.op, gathered.output, restored.input) == ("GATHER", "packed 3-bit signed", "packed 3-bit signed")
