"""The export scope: which ops a model becomes when TensorFlow's own converter traces it there."""

import gc

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from flatbuffers import flexbuffers
from tensorflow.lite.python import schema_py_generated as schema

import keras_ste
from keras_ste import QuantConv2D, QuantDense, SteSign
from keras_ste.estimators import ste_round
from keras_ste.layers.export import export_scope
from keras_ste.quantizers import BitnetActivation, QuantSpec

BINARY = {"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign"}
XNOR = {"input_quantizer": "ste_sign", "kernel_quantizer": "xnor_sign"}
INT8, INT32, UINT8, FLOAT32 = (
    getattr(schema.TensorType, name) for name in ("INT8", "INT32", "UINT8", "FLOAT32")
)
PRODUCTS = ("SteConv2D", "SteFullyConnected")
BUILTINS = {v: k for k, v in vars(schema.BuiltinOperator).items() if isinstance(v, int)}


class Op:
    """An operator of a flatbuffer: its name, options and tensors."""

    def __init__(self, model, operator):
        graph = model.subgraphs[0]
        code = model.operatorCodes[operator.opcodeIndex]
        custom = code.customCode
        self.name = custom.decode() if custom else BUILTINS[code.builtinCode]
        self.options = flexbuffers.Loads(bytes(operator.customOptions)) if custom else None
        self.inputs = [graph.tensors[i] for i in operator.inputs]
        self.outputs = [graph.tensors[i] for i in operator.outputs]
        self._buffers = model.buffers

    def constant(self, index, dtype):
        tensor = self.inputs[index]
        return np.frombuffer(bytes(self._buffers[tensor.buffer].data), dtype).reshape(tensor.shape)


def convert(model):
    """The ops of the converted model, and the recorder's rows."""
    with export_scope() as rows:
        converter = tf.lite.TFLiteConverter.from_keras_model(model)
        converter.allow_custom_ops = True
        content = converter.convert()
    converted = schema.ModelT.InitFromPackedBuf(content, 0)
    return [Op(converted, operator) for operator in converted.subgraphs[0].operators], rows


def randomize(model, seed=0):
    rng = np.random.default_rng(seed)
    for variable in model.trainable_variables:
        variable.assign(rng.normal(size=variable.shape))
    return model


@pytest.fixture(scope="module")
def functional():
    inputs = keras.Input((9, 8, 3), dtype="uint8")
    x = QuantConv2D(4, 3, kernel_quantizer="ste_sign", name="first")(inputs)
    x = QuantConv2D(
        6, (3, 2), strides=2, padding="same", pad_values=1, groups=2, name="grouped", **XNOR
    )(x)
    x = QuantConv2D(
        33,
        2,
        dilation_rate=(2, 1),
        padding="same",
        use_bias=False,
        activation="relu",
        name="dilated",
        **BINARY,
    )(x)
    x = QuantDense(5, name="rows", **BINARY)(x)
    x = keras.layers.Flatten()(x)
    x = QuantDense(7, name="last", **XNOR)(x)
    model = randomize(keras.Model(inputs, x))
    ops, rows = convert(model)
    products = [op for op in ops if op.name in PRODUCTS]
    return model, {op.options["layer"]: op for op in products}, ops, rows


def test_each_layer_is_one_op_behind_its_quantizer(functional):
    _, _, ops, _ = functional
    names = [op.name for op in ops if op.name.startswith("Ste") or op.name in ("CONV_2D", "RELU")]
    assert names == [
        "SteConv2D", "SteQuantize", "SteConv2D", "SteQuantize", "SteConv2D", "RELU", "SteQuantize",
        "SteFullyConnected", "SteQuantize", "SteFullyConnected",
    ]  # fmt: skip


def test_conv_options(functional):
    _, by_layer, _, _ = functional
    common = {"version": 1, "output": "float32", "input_zero_point": 0}
    assert by_layer["first"].options == {
        **common, "layer": "first", "channels": 3, "filters": 4, "kernel_h": 3, "kernel_w": 3,
        "stride_h": 1, "stride_w": 1, "dilation_h": 1, "dilation_w": 1, "groups": 1,
        "padding": "valid", "pad_value": 0,
    }  # fmt: skip
    assert by_layer["grouped"].options == {
        **common, "layer": "grouped", "channels": 4, "filters": 6, "kernel_h": 3, "kernel_w": 2,
        "stride_h": 2, "stride_w": 2, "dilation_h": 1, "dilation_w": 1, "groups": 2,
        "padding": "same", "pad_value": 1,
    }  # fmt: skip
    assert by_layer["dilated"].options == {
        **common, "layer": "dilated", "channels": 6, "filters": 33, "kernel_h": 2, "kernel_w": 2,
        "stride_h": 1, "stride_w": 1, "dilation_h": 2, "dilation_w": 1, "groups": 1,
        "padding": "same", "pad_value": 0,
    }  # fmt: skip


def test_dense_options(functional):
    _, by_layer, _, _ = functional
    for layer, channels, units in (("rows", 33, 5), ("last", 4 * 3 * 5, 7)):
        assert by_layer[layer].options == {
            "version": 1, "layer": layer, "channels": channels, "units": units, "pixels": 1,
            "input_axes": 1, "output": "float32", "input_zero_point": 0,
        }  # fmt: skip


def test_quantize_ops_carry_their_layer_and_channels(functional):
    _, by_layer, ops, _ = functional
    quantizes = {op.options["layer"]: op for op in ops if op.name == "SteQuantize"}
    assert list(quantizes) == ["grouped", "dilated", "rows", "last"]
    for layer, op in quantizes.items():
        channels = by_layer[layer].options["channels"]
        assert op.options == {
            "version": 1, "bits": 1, "encoding": "bipolar", "channels": channels, "layer": layer,
        }  # fmt: skip
        (source,), (target,) = op.inputs, op.outputs
        assert (source.type, target.type) == (FLOAT32, INT32)
        assert source.shapeSignature[-1] == channels
        assert list(target.shapeSignature) == [*source.shapeSignature[:-1], -(-channels // 32)]
        assert target.name == by_layer[layer].inputs[0].name


def test_filters_are_int8_signs_with_the_outputs_first(functional):
    model, by_layer, _, _ = functional
    for layer, op in by_layer.items():
        kernel = model.get_layer(layer).kernel.numpy()
        signs = np.where(kernel >= 0, 1, -1)
        axes = (3, 0, 1, 2) if kernel.ndim == 4 else (1, 0)
        assert op.inputs[1].type == INT8
        np.testing.assert_array_equal(op.constant(1, np.int8), signs.transpose(axes))


def test_multiplier_and_bias_are_the_layers(functional):
    model, by_layer, _, _ = functional
    for name, op in by_layer.items():
        layer = model.get_layer(name)
        assert len(op.inputs) == 4
        multiplier, bias = op.constant(2, np.float32), op.constant(3, np.float32)
        assert multiplier.shape == bias.shape == layer.kernel.shape[-1:]
        # Bit for bit what the layer multiplies by.
        scale = layer.kernel_quantizer.factors(layer.kernel.value)[1]
        expected = np.ones(bias.shape) if scale is None else scale.numpy().reshape(-1)
        np.testing.assert_array_equal(multiplier, expected)
        np.testing.assert_array_equal(bias, 0 if layer.bias is None else layer.bias.numpy())


def test_types_and_shapes(functional):
    model, by_layer, _, _ = functional
    assert [by_layer[layer].inputs[0].type for layer in by_layer] == [UINT8] + [INT32] * 4
    for name, op in by_layer.items():
        expected = model.get_layer(name).output.shape
        assert list(op.outputs[0].shapeSignature) == [-1, *expected[1:]]
        assert op.outputs[0].type == FLOAT32


def test_rows(functional):
    model, by_layer, _, rows = functional
    assert [row["layer"] for row in rows] == ["first", "grouped", "dilated", "rows", "last"]
    for row in rows:
        layer = model.get_layer(row["layer"])
        assert row == {
            "layer": layer.name,
            "class_name": type(layer).__name__,
            "quantized": True,
            "packed": True,
            "reason": None,
            "op": by_layer[layer.name].name,
            "input": "uint8" if layer.name == "first" else "bipolar1",
            "kernel": "bipolar1",
            "weights": layer.kernel.numpy().size,
        }


def plain_sign(x):
    return tf.where(x >= 0, 1.0, -1.0)


class Halves(SteSign):
    def factors(self, x, training=False):
        return 0.5 * super().factors(x)[0], None

    @property
    def spec(self):
        return QuantSpec(bits=2, encoding="signed")


@pytest.mark.parametrize(
    "make, reason, described",
    [
        (lambda: QuantDense(3), "its kernel is not quantized: give it a kernel_quantizer", ("float32", "float32")),
        (
            lambda: QuantDense(3, input_quantizer="ste_sign"),
            "its kernel is not quantized: give it a kernel_quantizer",
            ("bipolar1", "float32"),
        ),
        (
            lambda: QuantDense(3, kernel_quantizer=plain_sign),
            "its kernel_quantizer plain_sign is a plain function, which has no code book",
            ("float32", "custom"),
        ),
        (
            lambda: QuantDense(3, **{**XNOR, "input_quantizer": plain_sign}),
            "its input_quantizer plain_sign is a plain function, which has no code book",
            ("custom", "bipolar1"),
        ),
        (
            lambda: QuantDense(3, kernel_quantizer=Halves()),
            "its kernel_quantizer gives other values than integers",
            ("float32", "signed2"),
        ),
        (
            lambda: QuantDense(3, **{**BINARY, "input_quantizer": "xnor_sign"}),
            "its input_quantizer has a scale that is computed from the input: give it a fixed or learned one, or "
            "BitnetActivation in a layer of products",
            ("bipolar1", "bipolar1"),
        ),
        (
            lambda: QuantDense(3, kernel_quantizer="ste_sign", input_quantizer=BitnetActivation(axis=0)),
            "its input_quantizer has several scales for what is added up: give it axis=(-1,)",
            ("signed8", "bipolar1"),
        ),
        (
            lambda: QuantDense(3, kernel_quantizer=SteSign(scale="mean_abs", scale_axis=0)),
            "the scale of its kernel_quantizer changes within an output channel",
            ("float32", "bipolar1"),
        ),
        (
            lambda: QuantDense(3, dtype="mixed_float16", **BINARY),
            "it computes in float16, not in float32",
            ("bipolar1", "bipolar1"),
        ),
    ],
    ids=["float", "inputs_only", "function", "input_function", "halves", "input_scale",
         "rows", "kernel_axis", "mixed_float16"],
)  # fmt: skip
def test_what_cannot_be_packed_stays_float_and_says_why(make, reason, described):
    layer = make()
    with export_scope() as rows:
        graph = tf.function(layer).get_concrete_function(tf.TensorSpec((None, 6)))
    (row,) = rows
    assert row["reason"] == reason and row["packed"] is False
    assert (row["input"], row["kernel"]) == described
    assert row["quantized"] == (described != ("float32", "float32"))
    x = np.random.default_rng(0).normal(size=(2, 6)).astype("float32")
    np.testing.assert_allclose(graph(tf.constant(x)), layer(x), rtol=1e-3, atol=1e-3)


def test_a_float_fallback_converts_to_builtin_ops_and_the_same_numbers():
    model = keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            QuantConv2D(3, 3, input_quantizer=plain_sign, kernel_quantizer="xnor_sign"),
        ]
    )
    randomize(model)
    with export_scope() as rows:
        content = tf.lite.TFLiteConverter.from_keras_model(model).convert()
    assert not rows[0]["packed"]
    converted = schema.ModelT.InitFromPackedBuf(content, 0)
    assert "CONV_2D" in [Op(converted, o).name for o in converted.subgraphs[0].operators]
    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    x = np.random.default_rng(0).normal(size=(1, 6, 6, 2)).astype("float32")
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    y = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    np.testing.assert_allclose(y, model(x), rtol=1e-5, atol=1e-5)


def test_unknown_image_sizes_stay_unknown():
    layers = [QuantConv2D(8, 3, padding="same", strides=2, **BINARY), QuantConv2D(9, 3, **BINARY)]
    ops, _ = convert(keras.Sequential([keras.Input((None, None, 3)), *layers]))
    assert [op.name for op in ops] == ["SteQuantize", "SteConv2D"] * 2
    shapes = [list(op.outputs[0].shapeSignature[1:]) for op in ops]
    assert shapes == [[-1, -1, 1], [-1, -1, 8], [-1, -1, 1], [-1, -1, 9]]


@pytest.mark.parametrize("dtype, expected", [
    ("float32", FLOAT32), ("uint8", UINT8), ("int8", INT8), ("int32", FLOAT32),
])  # fmt: skip
def test_unquantized_inputs_arrive_as_they_are(dtype, expected):
    inputs = keras.Input((6,), dtype=dtype)
    ops, rows = convert(keras.Model(inputs, QuantDense(3, kernel_quantizer="ste_sign")(inputs)))
    assert [op.name for op in ops] == (["CAST"] if dtype == "int32" else []) + ["SteFullyConnected"]
    assert ops[-1].inputs[0].type == expected
    assert rows[0]["input"] == dtype


def test_subclassed_and_nested_models_and_a_shared_layer():
    class Subclassed(keras.Model):
        def __init__(self):
            super().__init__(name="outer")
            self.conv = QuantConv2D(4, 2, **BINARY, name="conv")
            self.inner = keras.Sequential([QuantDense(4, **BINARY, name="dense")], name="inner")

        def call(self, x):
            x = self.conv(x)
            return self.inner(self.inner(x))

    model = Subclassed()
    model(np.zeros((1, 4, 4, 2), "float32"))
    ops, rows = convert(model)
    named = [op.options["layer"] for op in ops if op.name in PRODUCTS]
    assert named == ["outer/conv", "outer/inner/dense", "outer/inner/dense"]
    # The shared layer is called twice, but in the same way: one row.
    assert [row["layer"] for row in rows] == ["outer/conv", "outer/inner/dense"]


def test_layers_of_the_same_path_get_different_labels():
    layers = [QuantDense(4, **BINARY, name="dense") for _ in range(2)]
    for layer in layers:
        layer.build((None, 4))
    assert layers[0].path == layers[1].path

    class Both(keras.Model):
        def __init__(self):
            super().__init__()
            self.first, self.second = layers

        def call(self, x):
            return self.second(self.first(x))

    model = Both()
    model(np.zeros((1, 4), "float32"))
    ops, rows = convert(model)
    labels = [op.options["layer"] for op in ops if op.name == "SteFullyConnected"]
    assert labels == [row["layer"] for row in rows] == ["dense", "dense_1"]


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_a_mixed_precision_model_exports_once_its_policies_are_float32(policy):
    model = keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            QuantConv2D(4, 3, dtype=policy, **XNOR),
            keras.layers.BatchNormalization(dtype=policy),
            QuantDense(3, dtype=policy, **BINARY),
        ]
    )
    for layer in model._flatten_layers():
        layer.dtype_policy = keras.DTypePolicy("float32")
    ops, rows = convert(model)
    assert all(row["packed"] for row in rows)
    assert {t.type for op in ops for t in op.inputs + op.outputs} == {FLOAT32, INT32, INT8}


def test_the_scope_ends_and_calls_outside_and_in_eager_are_untouched():
    layer = QuantDense(3, **BINARY)
    x = np.random.default_rng(0).normal(size=(2, 6)).astype("float32")
    expected = layer(x)
    with export_scope() as rows:
        # Not being traced, it computes.
        np.testing.assert_array_equal(layer(x), expected)
        assert rows == []
        with export_scope() as inner:
            tf.function(layer).get_concrete_function(tf.TensorSpec((None, 6)))
        assert len(inner) == 1 and rows == []
        with pytest.raises(RuntimeError):
            with export_scope():
                raise RuntimeError
    np.testing.assert_array_equal(tf.function(layer)(x), expected)
    assert rows == []


def test_rows_are_not_repeated_by_a_second_trace():
    layer = QuantDense(3, **BINARY)
    with export_scope() as rows:
        for batch in (1, 2):
            tf.function(layer).get_concrete_function(tf.TensorSpec((batch, 6)))
    assert len(rows) == 1


def test_graphs_are_forgotten():
    """TensorFlow keeps every graph in which something has a gradient of its own."""

    def graphs():
        gc.collect()
        return sum(isinstance(each, tf.Graph) for each in gc.get_objects())

    # Quantizers that are computed: of a layer that cannot be packed, and of a recurrent one before its time steps.
    layer = QuantDense(2, kernel_quantizer=ste_round)
    unpacked = keras.Sequential([keras.Input((4, 3)), keras_ste.QuantGRU(3, kernel_quantizer=SteSign(), unroll=True), layer])
    before = graphs()
    keras_ste.convert(unpacked)
    assert graphs() == before
