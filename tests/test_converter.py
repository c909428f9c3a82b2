"""keras_ste.convert: the file computes what the Keras model computes, and the report says how."""

import json
import os

import hypothesis
import keras
import numpy as np
import pytest
import reference_graph
import reference_ops
import tensorflow as tf
from hypothesis import strategies as st

import keras_ste
from keras_ste import QuantConv2D, QuantDense
from keras_ste.converter.graph import read_model

BINARY = {"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign"}
XNOR = {"input_quantizer": "ste_sign", "kernel_quantizer": "xnor_sign"}


def as_trained(model, seed=0):
    """Batch norm as training leaves it, with negative and zero γ among it, and biases that are not zero."""
    rng = np.random.default_rng(seed)
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            n = layer.gamma.shape[0]
            layer.gamma.assign(rng.choice([-1.5, -0.3, 0, 0.2, 1], n))
            layer.beta.assign(rng.normal(size=n))
            layer.moving_mean.assign(3 * rng.normal(size=n))
            layer.moving_variance.assign(rng.uniform(0.01, 60, n))
        elif getattr(layer, "bias", None) is not None:
            layer.bias.assign(rng.normal(size=layer.bias.shape))
    return model


def signed_inputs_equal(model, converted, x):
    """Every packed tensor that a layer reads has the signs of that layer's input in the Keras model."""
    layers = {
        layer.path: layer
        for layer in model.layers
        if isinstance(layer, (QuantConv2D, QuantDense)) and layer.input_quantizer is not None
    }
    probe = keras.Model(model.inputs, [layer.input for layer in layers.values()])
    expected = dict(zip(layers, probe([x], training=False)))
    name = model.inputs[0].name
    _, tensors = reference_graph.run(converted.model_content, keep=True, **{name: x})
    ops = read_model(converted.model_content).graphs[0].ops
    checked = set()
    for op, row in zip(ops, converted.report.rows):
        if row.layer in layers and op.name != "SteQuantize":
            signs = reference_ops.unpack(tensors[op.inputs[0].name], op.options["channels"])
            values = expected[row.layer].numpy()
            np.testing.assert_array_equal(
                signs.reshape(values.shape), np.where(values >= 0, 1, -1), err_msg=row.layer
            )
            checked.add(row.layer)
    assert checked == set(layers)


def run_native(content, x):
    interpreter = keras_ste.Interpreter(model_content=content)
    index = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(index, x.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(index, x)
    interpreter.invoke()
    return [interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()]


channel_counts = st.sampled_from([1, 31, 33, 100])


@st.composite
def convnets(draw):
    """The plan of a random binary convnet, for `build`."""
    blocks, channels = [], draw(channel_counts)
    first = {"filters": channels, "kernel_size": 3, "padding": draw(st.sampled_from(["valid", "same"]))}
    for _ in range(2):
        filters = draw(channel_counts)
        groups = draw(st.sampled_from([1, 4])) if channels == filters == 100 else 1
        padding, strides, dilation = draw(
            st.sampled_from([("same", 1, 1), ("same", 2, 1), ("same", 1, 2), ("valid", 1, 1), ("valid", (1, 2), 1)])
        )
        block = {
            "filters": filters,
            "kernel_size": draw(st.sampled_from([1, (2, 3), 3])),
            "strides": strides,
            "padding": padding,
            "dilation_rate": dilation,
            "groups": groups,
            "use_bias": draw(st.booleans()),
            "pad_values": draw(st.integers(0, 1)) if padding == "same" else 0,
            "activation": draw(st.sampled_from([None, None, "relu", "relu6"])),
            **draw(st.sampled_from([BINARY, XNOR])),
        }
        blocks.append((block, draw(st.sampled_from(["normalize", "normalize pool", "pool normalize", ""]))))
        channels = filters
    return {
        "dtype": draw(st.sampled_from(["uint8", "float32"])),
        "pixels": (22, 25, draw(st.sampled_from([1, 3]))),
        "first": first,
        "blocks": blocks,
        "units": draw(channel_counts),
        "last": draw(st.sampled_from([BINARY, XNOR])),
        "seed": draw(st.integers(0, 1000)),
    }


def build(plan):
    x = inputs = keras.Input(plan["pixels"], dtype=plan["dtype"], name="image")
    x = QuantConv2D(kernel_quantizer="ste_sign", **plan["first"])(x)
    x = keras.layers.BatchNormalization()(x)
    for block, behind in plan["blocks"]:
        x = QuantConv2D(**block)(x)
        for name in behind.split():
            if name == "pool":
                x = keras.layers.MaxPooling2D(2, padding=block["padding"])(x)
            else:
                x = keras.layers.BatchNormalization()(x)
    x = keras.layers.Flatten()(x)
    x = QuantDense(plan["units"], **XNOR)(x)
    x = keras.layers.BatchNormalization()(x)
    x = QuantDense(10, name="classes", **plan["last"])(x)
    return as_trained(keras.Model(inputs, x), plan["seed"])


# Building and converting models is too slow to shrink a failing one.
GENERATE = [hypothesis.Phase.explicit, hypothesis.Phase.reuse, hypothesis.Phase.generate]


@hypothesis.settings(max_examples=25, phases=GENERATE)
@hypothesis.given(convnets(), st.sampled_from([1, 5]), st.integers(0, 1000))
def test_random_convnets_equal_keras_bit_for_bit(plan, batch, seed):
    model = build(plan)
    converted = keras_ste.convert(model, strict=True)
    x = np.random.default_rng(seed).integers(0, 256, (batch, *model.input_shape[1:]))
    # Multiples of 1/8, so that float sums are exact in any order.
    x = x.astype(np.uint8) if model.input.dtype == "uint8" else ((x - 128) / 8).astype(np.float32)
    signed_inputs_equal(model, converted, x)
    expected = model(x, training=False).numpy()
    result = reference_graph.run(converted.model_content, image=x)["classes"]
    np.testing.assert_array_equal(result, expected)
    (native,) = run_native(converted.model_content, x)
    np.testing.assert_array_equal(native.view(np.int32), result.view(np.int32))
    # Between the layers nothing but packed signs.
    names = reference_graph.op_names(converted.model_content)
    allowed = {"SteConv2D", "SteMaxPool2D", "SteFullyConnected", "RESHAPE"}
    if "SteQuantize" in names:  # pixels of one channel are flattened as bytes
        assert names.count("SteQuantize") == 2 and plan["blocks"][-1][0]["filters"] == 1
        allowed |= {"SteQuantize"}
    assert set(names) <= allowed


def two_headed():
    """A nested model with two inputs and two outputs, one head of them in float."""
    left, right = keras.Input((40,), name="left"), keras.Input((40,), name="right")
    body = keras.Sequential(
        [keras.Input((40,)), QuantDense(33, name="first", **BINARY), keras.layers.BatchNormalization()],
        name="body",
    )
    a, b = body(left), body(right)
    score = keras.layers.Dense(1, name="score")(keras.layers.Subtract()([a, b]))
    kind = QuantDense(3, name="kind", **XNOR)(a)
    # Named so that an order by name is not the model's.
    return as_trained(keras.Model([right, left], [score, kind], name="two_headed"))


def rows_of(seed, *shapes):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape).astype(np.float32) for shape in shapes]


def test_names_and_order_of_inputs_and_outputs():
    model = two_headed()
    converted = keras_ste.convert(model)
    right, left = rows_of(0, (5, 40), (5, 40))
    score, kind = model([right, left])
    result = reference_graph.run(converted.model_content, left=left, right=right)
    assert list(result) == ["score", "kind"]
    np.testing.assert_allclose(result["score"], score, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(result["kind"], kind)
    graph = read_model(converted.model_content).graphs[0]
    assert [tensor.signature for tensor in graph.outputs] == [(-1, 1), (-1, 3)]
    assert ["right" in tensor.name for tensor in graph.inputs] == [True, False]


class Classifier(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.first = QuantDense(33, **BINARY)
        self.normalize = keras.layers.BatchNormalization()
        self.second = QuantDense(4, **XNOR)

    def call(self, features, training=False):
        x = self.normalize(self.first(features), training=training)
        return {"logits": self.second(x), "scaled": 2 * x}


class Comparison(Classifier):
    def call(self, one, other, training=False):
        return super().call(one - other, training)["logits"]


class Structured(Classifier):
    def call(self, inputs):
        return super().call(inputs["a"])["logits"], super().call(inputs["b"])["logits"]


def test_a_subclassed_model_is_converted_as_it_was_called():
    model = Classifier()
    (x,) = rows_of(0, (5, 40))
    model(x)
    as_trained(model)
    expected = model(x)
    result = reference_graph.run(keras_ste.convert(model).model_content, features=x)
    assert list(result) == ["logits", "scaled"]
    np.testing.assert_array_equal(result["logits"], expected["logits"])
    np.testing.assert_allclose(result["scaled"], expected["scaled"], rtol=1e-6)


def test_a_subclassed_model_with_several_arguments_wants_a_signature():
    model = Comparison()
    one, other = rows_of(0, (5, 40), (5, 40))
    model(one, other)
    as_trained(model)
    with pytest.raises(ValueError, match="input_signature"):
        keras_ste.convert(model)
    spec = tf.TensorSpec((None, 40), tf.float32)
    converted = keras_ste.convert(model, input_signature=[spec, spec])
    result = reference_graph.run(converted.model_content, one=one, other=other)
    np.testing.assert_array_equal(result["output_0"], model(one, other))


def test_a_subclassed_model_with_a_dictionary():
    model = Structured()
    a, b = rows_of(0, (5, 40), (5, 40))
    model({"a": a, "b": b})
    as_trained(model)
    result = reference_graph.run(keras_ste.convert(model).model_content, a=a, b=b)
    for value, expected in zip(result.values(), model({"a": a, "b": b})):
        np.testing.assert_array_equal(value, expected)


def test_integer_inputs_and_a_fixed_batch_by_signature():
    model = keras.Sequential([QuantConv2D(5, 3, kernel_quantizer="ste_sign"), keras.layers.ReLU()])
    x = np.random.default_rng(0).integers(0, 256, (2, 6, 6, 3)).astype(np.uint8)
    model(x)
    content = keras_ste.convert(model, input_signature=tf.TensorSpec((2, 6, 6, 3), tf.uint8)).model_content
    (op,) = read_model(content).graphs[0].ops
    assert op.inputs[0].type_name == "uint8" and op.outputs[0].signature == (2, 4, 4, 5)
    assert op.options["activation_min"] == 0
    (name,) = read_model(content).signatures[0].inputs
    (result,) = reference_graph.run(content, **{name: x}).values()
    np.testing.assert_array_equal(result, model(x))


def state_of(model):
    layers = list(model._flatten_layers())
    return (
        [variable.numpy().tobytes() for variable in model.variables],
        [layer.trainable for layer in layers],
        [id(layer.dtype_policy) for layer in layers],
        [layer.built for layer in layers],
        len(model.variables),
    )


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "bfloat16", "float64"])
def test_half_precision_models_compute_in_float32(policy):
    """And are themselves as before."""
    layers = [
        QuantDense(33, **XNOR),
        keras.layers.BatchNormalization(),
        QuantDense(40, **BINARY),
        keras.layers.Dense(3),
    ]
    single = as_trained(keras.Sequential([keras.Input((40,)), *layers]))
    config = single.get_config()
    keras.config.set_dtype_policy(policy)
    try:
        for layer in config["layers"][1:]:
            layer["config"]["dtype"] = policy
        half = keras.Sequential.from_config(config)
    finally:
        keras.config.set_dtype_policy("float32")
    for source, target in zip(single.variables, half.variables):
        target.assign(tf.cast(source, target.dtype))
        source.assign(tf.cast(target, source.dtype))
    before = state_of(half)
    content = keras_ste.convert(half, strict=True).model_content
    assert state_of(half) == before
    (x,) = rows_of(0, (5, 40))
    (name,) = read_model(content).signatures[0].inputs
    (result,) = reference_graph.run(content, **{name: x}).values()
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, single(x), rtol=0, atol=1e-4)


class Failing(keras.layers.Layer):
    def call(self, x):
        if not tf.executing_eagerly() and not isinstance(x, keras.KerasTensor) and Failing.armed:
            raise RuntimeError("this layer fails")
        return x

    armed = False


def test_a_conversion_that_fails_leaves_nothing_behind():
    layers = [keras.Input((40,)), QuantDense(3, **BINARY), Failing()]
    model = keras.Sequential(layers)
    for layer in model.layers[:1]:
        layer.dtype_policy = "mixed_bfloat16"
    before = state_of(model)
    Failing.armed = True
    try:
        with pytest.raises(RuntimeError, match="this layer fails"):
            keras_ste.convert(model)
    finally:
        Failing.armed = False
    assert state_of(model) == before
    # Traced outside of the converter, layers emit nothing.
    graph = tf.function(model).get_concrete_function(tf.TensorSpec((1, 40))).graph
    assert not any("SteFullyConnected" in str(op.node_def) for op in graph.get_operations())


def test_the_model_still_trains_and_predicts():
    model = two_headed()
    before = state_of(model)
    inputs = rows_of(0, (8, 40), (8, 40))
    expected = model.predict(inputs, verbose=0)
    keras_ste.convert(model)
    assert state_of(model) == before
    for a, b in zip(model.predict(inputs, verbose=0), expected):
        np.testing.assert_array_equal(a, b)
    model.compile("sgd", "mse")
    history = model.fit(inputs, [np.zeros((8, 1)), np.zeros((8, 3))], verbose=0)
    assert np.isfinite(history.history["loss"][0])


def partly_packed():
    layers = [
        keras.Input((40,), name="x"),
        QuantDense(33, name="packed", **BINARY),
        QuantDense(20, name="callable", input_quantizer=keras.ops.tanh, kernel_quantizer="ste_sign"),
        QuantDense(20, name="only_inputs", input_quantizer="ste_sign"),
        QuantDense(20, name="not_at_all"),
        keras.layers.Dense(3, name="float", activation="softmax"),
    ]
    return as_trained(keras.Sequential(layers, name="net"))


def test_the_report_names_what_stayed_in_float_and_why():
    converted = keras_ste.convert(partly_packed())
    report = converted.report
    unpacked = dict(report.unpacked)
    assert set(unpacked) == {"net/callable", "net/only_inputs"}
    assert "plain function" in unpacked["net/callable"]
    assert "kernel is not quantized" in unpacked["net/only_inputs"]
    quantize, dense = report.rows[:2]
    assert (quantize.op, quantize.input, quantize.output) == ("SteQuantize", "float32", "packed 1-bit")
    assert quantize.reason == "its input is an input of the model"
    assert (dense.op, dense.layer) == ("SteFullyConnected", "net/packed")
    assert (dense.weight_bits, dense.macs, dense.mac_width) == (1, 33 * 40, "1x1")
    assert (dense.packed, dense.output) == ("weights", "float32")
    assert dense.constant_bytes == 33 * 40 // 8 + 33 * 4  # weights and bias
    assert report.macs["1x1"] == 33 * 40
    assert report.macs["32x32"] == 33 * 20 + 20 * 20 + 20 * 20 + 20 * 3
    assert report.file_bytes == len(converted.model_content)
    said = json.loads(report.to_json())
    assert said["macs"] == report.macs and len(said["rows"]) == len(report.rows)
    table = str(report)
    assert all(row.op in table for row in report.rows)
    assert "left as it is: its kernel is not quantized" in table
    assert f"{report.file_bytes:,} bytes" in table


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_refused(value):
    model = keras.Sequential([keras.Input((40,)), QuantDense(3, name="broken", **BINARY)])
    kernel = model.layers[0].kernel
    kernel.assign(tf.tensor_scatter_nd_update(kernel.value, [[3, 1]], [value]))
    with pytest.raises(ValueError, match="layer 'broken' has a NaN or an infinite value"):
        keras_ste.convert(model)


def test_strict_names_every_layer_that_is_not_packed():
    with pytest.raises(ValueError, match="strict") as error:
        keras_ste.convert(partly_packed(), strict=True)
    assert "net/callable (QuantDense): its input_quantizer" in str(error.value)
    assert "net/only_inputs (QuantDense): its kernel is not quantized" in str(error.value)
    assert "not_at_all" not in str(error.value)


class OwnCall(QuantDense):
    def call(self, inputs):
        return keras.ops.matmul(inputs, self.quantized_kernel)


def test_a_layer_that_computes_by_itself_is_noticed():
    model = keras.Sequential([keras.Input((4,)), OwnCall(3, name="own", **BINARY)], name="net")
    with pytest.raises(ValueError, match=r"net/own \(OwnCall\)"):
        keras_ste.convert(model, strict=True)


def test_metadata_says_version_and_layers():
    model = read_model(keras_ste.convert(two_headed()).model_content)
    metadata = json.loads(model.metadata["keras_ste"])
    assert metadata["version"] == keras_ste.__version__
    assert [layer["layer"] for layer in metadata["layers"]] == ["body/first", "kind"]
    assert all(layer["packed"] for layer in metadata["layers"])
    assert "min_runtime_version" in model.metadata
    assert not any("layer" in op.options for op in model.graphs[0].ops)


def test_binary_layers_need_a_bit_a_weight():
    layers = [keras.Input((512,)), *(QuantDense(512, use_bias=False, **BINARY) for _ in range(4))]
    content = keras_ste.convert(keras.Sequential(layers)).model_content
    assert len(content) < 4 * 512 * 512 / 8 + 20_000


def test_save_is_whole_or_not_at_all(tmp_path):
    converted = keras_ste.convert(keras.Sequential([keras.Input((4,)), QuantDense(3, **BINARY)]))
    path = tmp_path / "model.tflite"
    path.write_bytes(b"old")
    converted.save(path)
    assert path.read_bytes() == converted.model_content
    converted.save(str(path))
    assert os.listdir(tmp_path) == ["model.tflite"]
    with pytest.raises(FileNotFoundError, match="missing' does not exist"):
        converted.save(tmp_path / "missing" / "model.tflite")
    with pytest.raises(IsADirectoryError, match="folder"):
        converted.save(tmp_path)
    assert os.listdir(tmp_path) == ["model.tflite"]


@pytest.mark.parametrize(
    ("model", "options", "error", "message"),
    [
        (lambda: 3, {}, TypeError, "takes a keras.Model, .* got int"),
        (lambda: keras.layers.Dense(3), {}, TypeError, "takes a keras.Model, .* got Dense"),
        (lambda: keras.Sequential([QuantDense(3)]), {}, ValueError, "no weights yet"),
        (Classifier, {"input_signature": tf.TensorSpec((None, 3))}, ValueError, "no weights yet"),
        (two_headed, {"input_signature": [(None, 40)]}, TypeError, "tf.TensorSpec"),
    ],
)
def test_what_cannot_be_converted(model, options, error, message):
    with pytest.raises(error, match=message):
        keras_ste.convert(model(), **options)


def test_ops_that_tflite_lacks_are_named():
    codes = keras.Input((4,), dtype="int32")
    model = keras.Model(codes, keras.ops.add(codes, np.arange(4, dtype=np.int32)))
    with pytest.raises(ValueError, match=r"TFLite has no op .*: BiasAdd \("):
        keras_ste.convert(model)


def test_layers_without_weights_inside_a_built_model():
    model = Classifier()
    model.build((None, 40))
    with pytest.raises(ValueError, match="call the model on data"):
        keras_ste.convert(model)


def test_eager_functions_are_refused():
    tf.config.run_functions_eagerly(True)
    try:
        with pytest.raises(ValueError, match="run_functions_eagerly"):
            keras_ste.convert(two_headed())
    finally:
        tf.config.run_functions_eagerly(False)


class Unused(keras.Model):
    def __init__(self):
        super().__init__()
        self.used, self.unused = QuantDense(3, **BINARY), QuantDense(3, name="unused", **BINARY)

    def call(self, x):
        self.unused(x)
        return self.used(x)


def test_a_lost_layer_is_an_error():
    model = Unused()
    model(np.ones((1, 4), np.float32))
    with pytest.raises(RuntimeError, match="unused"):
        keras_ste.convert(model)
