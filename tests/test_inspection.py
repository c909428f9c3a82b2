"""keras_ste.inspect reads files back: options, layers, sizes, metadata, labels; broken files are refused."""

import json
import zipfile

import bad_models
import keras
import make_golden
import numpy as np
import pytest
import single_op
from hypothesis import given
from hypothesis import strategies as st

import keras_ste
from keras_ste import quantizers
from keras_ste.converter.graph import read_model, ste_op
from keras_ste.converter.sizes import check_size

SIGNS = {"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign"}


def model(**classes):
    layers = [
        keras.Input((8, 8, 32), name="image"),
        keras_ste.QuantConv2D(40, 3, name="full", **SIGNS),
        keras.layers.BatchNormalization(),
        keras_ste.QuantConv2D(7, 1, name="narrow", **SIGNS),
        keras.layers.Flatten(),
        keras_ste.QuantDense(3, kernel_quantizer=quantizers.UniformQuantizer(bits=4), name="classes"),
    ]
    return keras.Sequential(layers, name="net")


@pytest.fixture(scope="module")
def converted():
    return keras_ste.convert(model(), labels=["shirt", "käse", "shoe"])


def test_the_file_says_what_the_report_says(converted, tmp_path):
    path = tmp_path / "model.tflite"
    converted.save(path)
    found = keras_ste.inspect(path)
    assert found == keras_ste.inspect(converted.model_content)
    assert [(row.op, row.layer, row.input, row.output, row.size) for row in found.rows] == [
        (row.op, row.layer, row.input, row.output, row.size) for row in converted.report.rows
    ]
    (conv,) = [op for op in found.ops if op.row.layer == "net/full" and op.row.op == "SteConv2D"]
    assert (conv.options["channels"], conv.options["kernel_h"], conv.options["version"]) == (32, 3, 1)
    assert conv.row.size.verdict == "met" and conv.row.size.weight_bytes == 40 * 9 * 32 // 8
    assert [tensor.constant for tensor in conv.inputs if tensor][:2] == [False, True]
    assert found.metadata["version"] == keras_ste.__version__
    assert {layer["layer"]: layer["kernel"] for layer in found.metadata["layers"]} == {
        "net/full": "bipolar1", "net/narrow": "bipolar1", "net/classes": "signed4",
    }  # fmt: skip
    assert found.signatures["serving_default"]["inputs"]["image"].shape == (-1, 8, 8, 32)
    assert json.loads(found.to_json())["metadata"] == found.metadata


def test_rows_that_do_not_fill_words_have_no_gaps(converted):
    (narrow,) = [op for op in keras_ste.inspect(converted.model_content).ops if op.row.layer == "net/narrow"]
    assert narrow.row.size.verdict == "met" and narrow.row.size.weight_bytes == 7 * 40 // 8
    assert narrow.options["version"] == 4 and (narrow.inputs[1].type, narrow.inputs[1].shape) == ("uint8", (35,))


def test_layers_that_words_of_32_channels_pad_are_named():
    """Files of before have none without gaps."""
    found = keras_ste.inspect(make_golden.GOLDEN / "0.1.0" / "conv2d_codes_v2.tflite")
    (row,) = found.rows
    assert row.size.verdict == "padded" and "rows of 40 channels fill words of 32: 64 bits for 40" in row.size.reason
    assert row.size.ratio == pytest.approx(64 / 40) and row.size.reason in str(found)


def test_labels_are_where_tflite_has_them(converted, tmp_path):
    path = tmp_path / "model.tflite"
    converted.save(path)
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ["labels.txt"] and archive.testzip() is None
        assert archive.read("labels.txt").decode("utf-8") == "shirt\nkäse\nshoe\n"
    assert keras_ste.inspect(path).labels == {"labels.txt": ["shirt", "käse", "shoe"]}
    metadata = read_model(converted.model_content).metadata["TFLITE_METADATA"]
    assert metadata[4:8] == b"M001" and b"labels.txt" in metadata
    keras_ste.Interpreter(model_path=path).allocate_tensors()


def test_labels_that_do_not_fit(tmp_path):
    (tmp_path / "labels.txt").write_text("a\nb\n")
    for labels, error, message in (
        (tmp_path / "labels.txt", ValueError, "'classes' has 3 channels, got 2 labels"),
        ({"other": ["a"]}, ValueError, "no output 'other', but classes"),
        (["a", "b\n", "c"], ValueError, "a label is one line"),
        (3, TypeError, "a list of names or the path of a text file, got int"),
        (tmp_path / "nothing.txt", FileNotFoundError, "nothing.txt"),
    ):
        with pytest.raises(error, match=message):
            keras_ste.convert(model(), labels=labels)


def packed_size(name, options, shape, packed_input):
    """The check of an op whose weights are packed as the converter does."""
    from keras_ste.converter.graph import Graph, Tensor, TensorType, constant_tensor
    from keras_ste.converter.passes.pack_weights import pack_weights

    kind = TensorType.INT32 if packed_input else TensorType.FLOAT32
    op = ste_op(name, [Tensor("x", kind, (1, 1, 1, 1)), constant_tensor("w", np.ones(shape, np.int8))], [], options)
    pack_weights(Graph([], [], [op]))
    return check_size(op)


@given(
    channels=st.integers(1, 100),
    filters=st.integers(1, 40),
    bits=st.integers(1, 8),
    kind=st.sampled_from(["conv", "depthwise", "dense", "transposed"]),
    packed_input=st.booleans(),
)
def test_packed_weights_take_their_bits(channels, filters, bits, kind, packed_input):
    codes = {"weight_bits": bits, "weight_encoding": "unsigned" if bits == 1 else "signed", "groups": 1}
    window = {"kernel_h": 2, "kernel_w": 3}
    name, options, shape = {
        "conv": ("SteConv2D", {"filters": filters, **window}, (filters, 2, 3, channels)),
        "depthwise": ("SteDepthwiseConv2D", {"depth_multiplier": 1, **window}, (channels, 2, 3)),
        "dense": ("SteFullyConnected", {"units": filters, "pixels": 1}, (filters, channels)),
        "transposed": ("SteTransposeConv2D", {"filters": filters, **window}, (filters, 2, 3, channels)),
    }[kind]
    check = packed_size(name, {"channels": channels, **codes, **options}, shape, packed_input)
    assert check.weights == np.prod(shape) and check.bits == bits
    assert check.verdict == "met" and check.weight_bytes <= max(1.02 * check.weights * bits / 8, -(-check.weights * bits // 8))


def test_tables_of_embeddings_are_checked():
    layer = keras_ste.QuantEmbedding(50, 64, embeddings_quantizer=quantizers.UniformQuantizer(4, 0.5))
    content = keras_ste.convert(keras.Sequential([keras.Input((5,), dtype="int32"), layer])).model_content
    (size,) = [row.size for row in keras_ste.inspect(content).rows if row.op == "SteGather"]
    assert (size.weights, size.bits, size.weight_bytes, size.verdict) == (50 * 64, 4, 50 * 64 // 2, "met")


def test_weights_of_more_bits_than_their_quantizer_are_missed():
    options = {"units": 4, "channels": 32, "weight_bits": 4, "weight_encoding": "signed"}
    op = ste_op("SteFullyConnected", [None, None], [], options)
    from keras_ste.converter.graph import Tensor, TensorType, constant_tensor

    op.inputs = [Tensor("x", TensorType.INT32, (1, 4)), constant_tensor("w", np.zeros((4, 4), np.int32))]
    assert check_size(op).verdict == "met"
    check = check_size(op, quantizer_bits=2)
    assert check.verdict == "missed" and check.ratio == 2 and "2 bits, but its values have codes of 4" in check.reason


@pytest.mark.parametrize("length", [0, 3, 8, 100, 0.5, 0.9])
def test_truncated_files_are_refused(converted, length):
    content = converted.model_content
    cut = content[: int(length * len(content)) if isinstance(length, float) else length]
    for read in (keras_ste.inspect, keras_ste.benchmark):
        with pytest.raises(ValueError, match="not a whole .tflite file"):
            read(cut)


def test_unknown_versions_and_unreadable_options_are_refused():
    node = bad_models.conv2d()
    node.options["version"] = 99
    with pytest.raises(ValueError, match="SteConv2D has the version 99; this keras_ste knows versions up to"):
        keras_ste.inspect(node.model())
    for options, message in (
        (b"\1\2", "options of SteConv2D cannot be read|are no map"),
        ({"version": 1}, "SteConv2D lacks the option 'channels'|lacks the option"),
    ):
        node.options = options
        with pytest.raises(ValueError, match=message):
            keras_ste.inspect(node.model())


def test_files_of_others_are_read_too():
    node = bad_models.quantize()
    found = keras_ste.inspect(single_op.single_op_model("SteQuantize", node.options, node.inputs, node.output))
    assert found.metadata is None and found.labels == {} and found.rows[0].layer is None
    assert "a writer that the file does not name" in str(found)


def test_what_is_no_model(tmp_path):
    with pytest.raises(FileNotFoundError, match="no model file"):
        keras_ste.inspect(tmp_path / "none.tflite")
    with pytest.raises(TypeError, match="path of a .tflite file or its bytes, got int"):
        keras_ste.inspect(3)


@pytest.mark.parametrize("good", bad_models.GOOD, ids=lambda good: good.__name__)
def test_outputs_are_packed_where_their_options_say_so(good):
    node = good()
    output = node.output[0] if isinstance(node.output, list) else node.output
    (op,) = keras_ste.inspect(node.model()).ops
    kept = node.op in ("SteConcat", "SteGather", "SteMaxPool2D", "StePad", "SteShuffle")
    bits = node.options.get("input_bits" if kept else "output_bits", 1)
    if output.dtype == np.int32 and node.op != "SteNearest" and node.options.get("output", "packed") == "packed":
        assert op.row.output.startswith(f"packed {bits}-bit") and "output" in op.row.packed
    else:
        assert op.row.output.partition(", ")[0] == np.dtype(output.dtype).name and "output" not in op.row.packed
