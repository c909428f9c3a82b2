"""`quantize_model`: what becomes of models of every kind, of their weights, and of the originals."""

import json
import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

import keras_ste
from keras_ste import optimization
from keras_ste.layers.common import QuantizedLayer
from keras_ste.optimization import LayerScheme, Rule, Scheme, quantize_annotate_layer, quantize_apply, quantize_model
from keras_ste.optimization.counterparts import COUNTERPARTS, is_quantized
from keras_ste.optimization.report import IMPOSSIBLE, KEPT, QUANTIZED
from keras_ste.quantizers import LearnedBitWidth, Lsq, Quantizer, SteSign, XnorSign

FLOAT = LayerScheme()
# Quantized layers without quantizers: they compute what Keras's do.
NOTHING = Scheme("nothing", FLOAT, first=FLOAT, last=FLOAT, embeddings=FLOAT)
CONVERTED = ["binary", "dorefa(1, 2)", "lsq(4, 4)", "w4a8"]
OTHERS = ["xnor", "ternary", "bitnet", "dorefa(3, 1)", "lsq(1, 1)", "int8"]
SCHEMES = CONVERTED + OTHERS


@keras.saving.register_keras_serializable(package="tests")
class Block(keras.layers.Layer):
    """Layers in attributes, lists and dictionaries; one of them in two places."""

    def __init__(self, units=6, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.first = keras.layers.Dense(units, activation="relu")
        self.more = [keras.layers.Dense(units), keras.layers.Dense(units)]
        self.named = {"norm": keras.layers.LayerNormalization(), "again": self.first}

    def build(self, shape):
        self.first.build(shape)
        for dense in self.more:
            dense.build(shape)
        self.named["norm"].build(shape)

    def call(self, x, scale=None, training=None):
        y = self.named["norm"](self.first(x))
        for dense in self.more:
            y = dense(y)
        y = self.named["again"](y)
        return y if scale is None else y * scale

    def get_config(self):
        return {**super().get_config(), "units": self.units}


@keras.saving.register_keras_serializable(package="tests")
class Subclassed(keras.Model):
    """A model without a graph."""

    def __init__(self, units=5, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.inner = keras.Sequential([keras.layers.Dense(6, activation="relu"), keras.layers.Dense(6)])
        self.block = Block()
        self.head = keras.layers.Dense(units)

    def call(self, x, training=None):
        return self.head(self.block(self.inner(x)))

    def get_config(self):
        return {**super().get_config(), "units": self.units}


@keras.saving.register_keras_serializable(package="tests")
class OddDense(keras.layers.Dense):
    """A layer that computes something else than its base."""

    def call(self, x, training=None):
        return 2 * super().call(x)


def small_convnet():
    return keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            keras.layers.Conv2D(4, 3, padding="same", use_bias=False, name="stem"),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
            keras.layers.DepthwiseConv2D(3, padding="same", name="depthwise"),
            keras.layers.BatchNormalization(),
            keras.layers.Conv2D(6, 1, activation="relu", name="pointwise"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(4, name="middle"),
            keras.layers.Dense(3, name="head"),
        ],
        name="net",
    )


def residual():
    x = inputs = keras.Input((8, 8, 3), name="image")
    x = keras.layers.Conv2D(4, 3, padding="same", activation="relu", name="stem")(x)
    y = keras.layers.Conv2D(4, 3, padding="same", use_bias=False, name="conv")(x)
    y = keras.layers.BatchNormalization(name="norm")(y)
    z = keras.layers.Add(name="add")([x, y])
    z = keras.layers.Concatenate(name="concat")([z, x * 0.5])
    z = keras.layers.GlobalAveragePooling2D()(z)
    return keras.Model(inputs, {"scores": keras.layers.Dense(3, name="head")(z), "features": z}, name="residual")


def nested():
    inner = keras.Sequential([keras.Input((6,)), keras.layers.Dense(6, name="deep"), keras.layers.ReLU()], name="inner")
    x = keras.Input((6,))
    y = inner(keras.layers.Dense(6, activation="relu", name="first")(x))
    # The second time with the same weights.
    y = keras.layers.Dense(3, name="head")(inner(y))
    return keras.Model(x, y, name="outer")


def sequences():
    x = keras.Input((5,), dtype="int32")
    y = keras.layers.Embedding(20, 8)(x)
    y = keras.layers.Bidirectional(keras.layers.LSTM(4, return_sequences=True))(y)
    y = keras.layers.TimeDistributed(keras.layers.Dense(8))(y)
    y = keras.layers.MultiHeadAttention(2, 4)(y, y)
    y = keras.layers.GRU(6)(keras.layers.Conv1D(8, 3)(y))
    return keras.Model(x, keras.layers.Dense(3)(y))


def holder():
    x = keras.Input((6,))
    return keras.Model(x, keras.layers.Dense(3)(Block(name="block")(x, scale=keras.layers.Dense(6)(x))))


def subclassed():
    model = Subclassed(name="sub")
    model(np.zeros((1, 7), "float32"))
    return model


MODELS = {
    "convnet": (small_convnet, (8, 8, 3)),
    "residual": (residual, (8, 8, 3)),
    "nested": (nested, (6,)),
    "sequences": (sequences, (5,)),
    "holder": (holder, (6,)),
    "subclassed": (subclassed, (7,)),
}
each_model = pytest.mark.parametrize("name", MODELS)


def data(name, count=4):
    rng = np.random.default_rng(1)
    shape = (count, *MODELS[name][1])
    if name == "sequences":
        return rng.integers(0, 20, shape).astype("int32")
    return rng.normal(size=shape).astype("float32")


def scrambled(model):
    """The model, all weights of which are other ones than an initializer's."""
    rng = np.random.default_rng(0)
    for variable in model.weights:
        variable.assign(variable.numpy() * 0.7 + rng.uniform(0.05, 0.3, variable.shape))
    return model


def all_results(model, x):
    return [np.asarray(value) for value in keras.tree.flatten(model(x))]


def quantized_layers(model):
    found = [layer for layer in model._flatten_layers() if isinstance(layer, QuantizedLayer)]
    return [layer for layer in found if not isinstance(layer, keras_ste.QuantActivation)]


@each_model
def test_without_quantizers_the_copy_computes_what_the_original_does(name):
    model = scrambled(MODELS[name][0]())
    copy = quantize_model(model, NOTHING)
    assert quantized_layers(copy)
    for a, b in zip(all_results(model, data(name)), all_results(copy, data(name)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@each_model
def test_the_original_stays_as_it_was_and_nothing_is_shared(name):
    model = scrambled(MODELS[name][0]())
    model.compile("adam", "mse")
    config = json.dumps(keras.saving.serialize_keras_object(model), default=str)
    weights = [value.copy() for value in model.get_weights()]
    variables = {id(variable) for variable in model.variables}
    layers = {id(layer) for layer in model._flatten_layers()}
    nodes = [len(layer._inbound_nodes) for layer in model._flatten_layers()]
    copy = quantize_model(model, "w4a8")
    copy(data(name), training=True)
    for variable in copy.variables:
        variable.assign(tf.zeros_like(variable))
    assert json.dumps(keras.saving.serialize_keras_object(model), default=str) == config
    assert all(np.array_equal(*pair) for pair in zip(model.get_weights(), weights, strict=True))
    assert not variables & {id(variable) for variable in copy.variables}
    assert not layers & {id(layer) for layer in copy._flatten_layers()}
    assert [len(layer._inbound_nodes) for layer in model._flatten_layers()] == nodes
    assert model.compiled and not copy.compiled


def check_gradients_and_kernels(model, x):
    """Gradients reach every latent weight and scale, and every layer computes with what its quantizer makes."""
    model(x, training=True)
    with tf.GradientTape() as tape:
        results = keras.tree.flatten(model(x, training=True))
        rng = np.random.default_rng(2)
        loss = sum(tf.reduce_sum(result * rng.normal(size=result.shape).astype("float32")) for result in results)
        loss += sum(model.losses)
    gradients = tape.gradient(loss, [variable.value for variable in model.trainable_variables])
    for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
        assert gradient is not None, variable.path
        if "_quantizer" in variable.path or "kernel" in variable.name:
            assert np.any(tf.convert_to_tensor(gradient)), variable.path
    plain = [layer.path for layer in model._flatten_layers() if type(layer) in COUNTERPARTS and not is_quantized(layer)]
    assert plain == []
    for layer in quantized_layers(model):
        for argument in layer.quantized_weights:
            quantizer = getattr(layer, argument)
            assert isinstance(quantizer, Quantizer), (layer.path, argument)
            kernel = tf.convert_to_tensor(layer._weight(argument))
            integers, _ = quantizer.factors(kernel)
            assert np.array_equal(integers, np.rint(integers)), layer.path
            assert len(np.unique(integers)) <= 2**quantizer.spec.bits
            assert not np.array_equal(layer._quantized(argument, kernel), kernel), layer.path


@each_model
@pytest.mark.parametrize("scheme", ["xnor", "lsq(4, 4)"])
def test_gradients_reach_every_weight_and_no_kernel_is_float(name, scheme):
    check_gradients_and_kernels(quantize_model(MODELS[name][0](), scheme), data(name))


@pytest.mark.parametrize("scheme", [s for s in SCHEMES if s not in ("xnor", "lsq(4, 4)")])
def test_so_it_is_with_every_scheme(scheme):
    check_gradients_and_kernels(quantize_model(small_convnet(), scheme), data("convnet"))


@each_model
def test_saved_and_loaded_by_itself_the_copy_computes_the_same(name, tmp_path):
    model = quantize_model(MODELS[name][0](), "lsq(4, 4)")
    x = data(name)
    model(x, training=True)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for a, b in zip(all_results(model, x), all_results(loaded, x), strict=True):
        np.testing.assert_array_equal(a, b)
    assert [type(layer) for layer in quantized_layers(loaded)] == [type(layer) for layer in quantized_layers(model)]


def check_converted(model, x):
    """The converted model, whose results are the model's."""
    converted = keras_ste.convert(model, strict=True)
    runner = keras_ste.Interpreter(model_content=converted.model_content).get_signature_runner()
    (given,) = runner.get_input_details()
    results = runner(**{given: x})
    expected = keras.tree.flatten(model.predict(x, verbose=0))
    for result, value in zip(results.values(), expected, strict=True):
        np.testing.assert_allclose(result, value, rtol=1e-4, atol=1e-4)
    return converted


@pytest.mark.parametrize("scheme", [*CONVERTED, *(pytest.param(s, marks=pytest.mark.exhaustive) for s in OTHERS)])
def test_every_scheme_trains_converts_and_runs(scheme):
    model = quantize_model(small_convnet(), scheme)
    x, y = data("convnet"), np.array([0, 1, 2, 0])
    model.compile(keras.optimizers.Adam(1e-2), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    before = [variable.numpy() for variable in model.trainable_variables]
    model.fit(x, y, epochs=2, verbose=0)
    assert all(np.isfinite(variable).all() for variable in model.get_weights())
    assert any(not np.array_equal(old, new) for old, new in zip(before, model.trainable_variables, strict=True))
    check_converted(model, x)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_training_compiled_by_xla_is_the_training(scheme):
    x = keras.Input((6, 6, 3))
    y = keras.layers.Conv2D(4, 3, activation="relu")(x)
    y = keras.layers.Conv2D(6, 2)(y)
    y = keras.layers.Dense(5)(keras.layers.Flatten()(y))
    net = keras.Model(x, keras.layers.Dense(3)(y))
    images = np.random.default_rng(1).normal(size=(4, 6, 6, 3)).astype("float32")
    trained = []
    for jit_compile in (False, True):
        model = quantize_model(net, scheme)
        model.compile(keras.optimizers.SGD(1e-3), "mse", jit_compile=jit_compile)
        before = model.get_weights()
        loss = model.fit(images, np.ones((4, 3)), verbose=0).history["loss"]
        moved = [new - old for old, new in zip(before, model.get_weights(), strict=True)]
        assert all(np.isfinite(step).all() for step in moved)
        trained.append((loss, moved))
    # Steps of quantizers start from the batch in this step, by one of two computations.
    np.testing.assert_allclose(trained[0][0], trained[1][0], rtol=1e-3)
    for eager, compiled in zip(trained[0][1], trained[1][1], strict=True):
        assert np.any(compiled) == np.any(eager)


@pytest.mark.parametrize("name", ["holder", "subclassed"])
def test_layers_and_models_that_hold_others_convert(name):
    model = quantize_model(MODELS[name][0](), "lsq(4, 4)")
    rows = [row.layer for row in model.quantization_report.rows]
    assert len(rows) == len(set(rows))
    kernels = [row.weights for row in model.quantization_report.rows if row.weights]
    ends = (kernels[0], kernels[-1]) if name == "subclassed" else kernels[-1:] * 2
    assert ends == ("8 signed", "8 signed") or ends == ["8 signed", "8 signed"]
    assert kernels.count("4 signed") == len(kernels) - kernels.count("8 signed") >= 3
    x = data(name)
    model(x, training=True)
    check_converted(model, x)


def widths(model):
    rows = model.quantization_report.rows
    return {row.layer.split("/")[-1]: (row.weights, row.inputs) for row in rows if row.weights}


def test_first_and_last_layers_have_8_bits_and_inputs_without_negatives_their_own_quantizer():
    model = quantize_model(small_convnet(), "lsq(2, 3)")
    assert widths(model) == {
        "stem": ("8 signed", "8 signed"),
        "depthwise": ("2 signed", "3 unsigned"),
        "pointwise": ("2 signed", "3 signed"),
        "middle": ("2 signed", "3 unsigned"),
        "head": ("8 signed", "8 signed"),
    }


def test_scales_are_those_of_the_output_channels_wherever_they_are():
    x = keras.Input((6, 6, 4))
    y = keras.layers.Conv2D(5, 3, name="conv")(x)
    y = keras.layers.DepthwiseConv2D(3, name="depthwise")(y)
    y = keras.layers.Conv2DTranspose(7, 2, name="transposed")(y)
    y = keras.layers.EinsumDense("bhwc,cde->bhwde", (3, 3, 2, 3), name="einsum")(y)
    each = LayerScheme(Lsq(4, scale_axis=-1), Lsq(4))
    model = quantize_model(keras.Model(x, y), Scheme("channels", each, first=each, last=each))
    steps = {
        layer.name: tuple(getattr(layer, argument).step.shape)
        for layer in quantized_layers(model)
        for argument in layer.quantized_weights
    }
    assert steps == {
        "conv": (1, 1, 1, 5),
        "depthwise": (1, 1, 5, 1),
        "transposed": (1, 1, 7, 1),
        "einsum": (1, 1, 3),
    }


def test_pixels_of_bytes_stay_bytes():
    pixels = keras.Input((4, 4, 1), dtype="uint8")
    model = keras.Sequential([pixels, keras.layers.Conv2D(2, 3), keras.layers.Conv2D(2, 2)])
    first, second = quantize_model(model, "binary").layers
    assert first.input_quantizer is None and second.input_quantizer is not None


def test_rules_overrides_and_functions_decide_in_their_order():
    scheme = optimization.schemes.get("ternary").where(re.compile("^mid"), LayerScheme("ste_sign"))
    scheme = scheme.where(keras.layers.DepthwiseConv2D, None)
    model = quantize_model(small_convnet(), scheme, overrides={"point*": LayerScheme(Lsq(5)), "head": None})
    assert widths(model) == {
        "stem": ("8 signed", "8 signed"),
        "pointwise": ("5 signed", ""),
        "middle": ("1 bipolar", ""),
    }
    reasons = {row.layer: (row.status, row.reason) for row in model.quantization_report.rows}
    assert reasons["depthwise"] == reasons["head"] == (KEPT, "the scheme leaves it in float")

    def by_function(layer):
        return LayerScheme("xnor_sign") if layer.name == "middle" else None

    assert widths(quantize_model(small_convnet(), Scheme("f", by_function, first=None, last=None))) == {
        "middle": ("1 bipolar", "")
    }


def test_normalizations_are_folded_where_there_is_a_layer_for_it():
    scheme = optimization.schemes.get("int8").replace(fold_batch_norm=True, freeze_after=1)
    for make, name in ((small_convnet, "convnet"), (residual, "residual")):
        model = scrambled(make())
        folded = quantize_model(model, scheme)
        assert not any(isinstance(layer, keras.layers.BatchNormalization) for layer in folded.layers)
        rows = {row.layer: row for row in folded.quantization_report.rows}
        assert any(row.folded for row in rows.values())
        nothing = quantize_model(model, NOTHING.replace(fold_batch_norm=True))
        for a, b in zip(all_results(model, data(name)), all_results(nothing, data(name)), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    conv = folded.get_layer("conv")
    folded(data("residual"), training=True)
    moved = conv.moving_mean.numpy()
    folded(data("residual") + 1, training=True)
    np.testing.assert_array_equal(conv.moving_mean, moved)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_normalization_stays_where_its_scale_would_be_lost(scheme):
    model = quantize_model(small_convnet(), optimization.schemes.get(scheme).replace(fold_batch_norm=True), strict=True)
    reasons = {row.layer: row.reason for row in model.quantization_report.rows if (row.reason or "").startswith("not")}
    # Signs, and weights that DoReFa divides by the largest, are the same for a kernel of any size.
    lost = {"binary": "SteSign", "dorefa(3, 1)": "DorefaWeight"}.get(scheme)
    assert set(reasons) == ({"depthwise"} if lost else set())
    assert all(f"not folded: the values of {lost} are the same" in reason for reason in reasons.values())
    assert any(row.folded for row in model.quantization_report.rows)
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert len(norms) == len(reasons)


def test_what_is_merged_shares_a_scale():
    scheme = optimization.schemes.get("lsq(4, 4)").replace(merge=Lsq(8))
    model = quantize_model(residual(), scheme)
    shared = [layer for layer in model.layers if isinstance(layer, keras_ste.QuantActivation)]
    assert [layer.name for layer in shared] == ["add_inputs", "concat_inputs"]
    assert [len(layer._inbound_nodes) for layer in shared] == [2, 2]
    model(data("residual"), training=True)
    step = shared[1].quantizer.step.numpy()
    probe = keras.Model(model.inputs[0], model.get_layer("concat").output)(data("residual"))
    np.testing.assert_array_equal(probe / step, np.rint(probe / step))


@pytest.mark.parametrize("merge", [Lsq(8), Lsq(4), SteSign()], ids=["8 bits", "4 bits", "signs"])
def test_what_is_merged_converts(merge):
    model = quantize_model(residual(), optimization.schemes.get("lsq(4, 4)").replace(merge=merge))
    x = data("residual")
    for _ in range(2):
        model(x, training=True)
    check_converted(model, x)


def test_widths_that_are_learned_are_those_of_the_file(tmp_path):
    kernels = LearnedBitWidth(6, penalty=1.0, target_bits=2.0)
    rule = LayerScheme(kernels, LearnedBitWidth(6), LearnedBitWidth(6, signed=False))
    scheme = optimization.schemes.int8().where("pointwise", rule).where("middle", rule)
    model = quantize_model(small_convnet(), scheme)
    learned = [model.get_layer(name) for name in ("pointwise", "middle")]
    x = data("convnet")
    model(x, training=True)
    assert len(model.losses) == 2
    for layer in learned:
        # A range starts with the greatest value, and only those beyond it move it.
        layer.input_quantizer.range.assign(0.5 * layer.input_quantizer.range)
    check_gradients_and_kernels(model, x)
    model.compile(keras.optimizers.SGD(0.02), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(x, np.array([0, 1, 2, 0]), epochs=8, verbose=0)
    bits = [layer.kernel_quantizer.spec.bits for layer in learned]
    assert all(2 <= width < 6 for width in bits)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(x), model(x))
    assert [loaded.get_layer(layer.name).kernel_quantizer.spec.bits for layer in learned] == bits
    rows = {row.layer.split("/")[-1]: row for row in check_converted(loaded, x).report.rows if row.layer}
    assert [rows[layer.name].weight_bits for layer in learned] == bits


def test_layers_that_cannot_be_quantized_are_named_and_strict_refuses_them():
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(6), OddDense(6, name="odd"), keras.layers.Dense(2)])
    copy = quantize_model(scrambled(model), NOTHING)
    np.testing.assert_allclose(model(data("nested")), copy(data("nested")), rtol=1e-5)
    ((layer, reason),) = copy.quantization_report.impossible
    assert layer == "odd" and "subclass of Dense" in reason
    with pytest.raises(ValueError, match="odd: OddDense is a subclass of Dense"):
        quantize_model(model, "int8", strict=True)
    assert [row.status for row in copy.quantization_report.rows] == [QUANTIZED, IMPOSSIBLE, QUANTIZED]
    assert "cannot be quantized" in str(copy.quantization_report)
    assert json.loads(copy.quantization_report.to_json())["scheme"] == "nothing"


def test_a_layer_map_names_what_stands_for_a_class():
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(6), OddDense(6, name="odd"), keras.layers.Dense(2)])
    copy = quantize_model(model, "xnor", layer_map={OddDense: keras_ste.QuantDense}, strict=True)
    assert isinstance(copy.get_layer("odd"), keras_ste.QuantDense)
    np.testing.assert_array_equal(copy.get_layer("odd").kernel, model.get_layer("odd").kernel)


@keras.saving.register_keras_serializable(package="tests")
class SubclassedWithOdd(keras.Model):
    """A model without a graph, of a layer that only a layer map can name."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.stem, self.odd, self.head = keras.layers.Dense(6), OddDense(6, name="odd"), keras.layers.Dense(3)

    def call(self, x, training=None):
        return self.head(self.odd(self.stem(x)))


def test_a_layer_map_counts_in_subclassed_models(tmp_path):
    model = SubclassedWithOdd(name="sub")
    x = data("subclassed")
    model(x)
    ((layer, reason),) = quantize_model(model, "xnor").quantization_report.impossible
    assert layer.endswith("odd") and "subclass of Dense" in reason
    with pytest.raises(ValueError, match="OddDense is a subclass of Dense"):
        quantize_model(model, "xnor", strict=True)
    copy = quantize_model(model, "xnor", layer_map={OddDense: keras_ste.QuantDense}, strict=True)
    assert isinstance(copy.layer.odd, keras_ste.QuantDense)
    np.testing.assert_array_equal(copy.layer.odd.kernel, model.odd.kernel)
    assert [row.weights for row in copy.quantization_report.rows] == ["8 signed", "1 bipolar", "8 signed"]
    copy.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "model.keras")(x), copy(x))
    keras_ste.convert(copy, strict=True, verify=x)


def test_bad_arguments_are_refused():
    with pytest.raises(TypeError, match="Keras 3 model"):
        quantize_model(keras.layers.Dense(2), "int8")
    with pytest.raises(ValueError, match="no weights yet"):
        quantize_model(keras.Sequential([keras.layers.Dense(2)]), "int8")
    with pytest.raises(ValueError, match="Unknown scheme 'tenary'"):
        quantize_model(small_convnet(), "tenary")
    with pytest.raises(ValueError, match="no widths"):
        quantize_model(small_convnet(), "int8(4, 4)")
    with pytest.raises(ValueError, match="1 to 8 bits"):
        quantize_model(small_convnet(), "lsq(4, 9)")
    with pytest.raises(TypeError, match="A scheme must be"):
        quantize_model(small_convnet(), 8)
    with pytest.raises(ValueError, match="match no layer.*'haed'"):
        quantize_model(small_convnet(), "int8", overrides={"haed": None})
    with pytest.raises(TypeError, match="rule matches by"):
        Rule(3, None)
    with pytest.raises(TypeError, match="must be a LayerScheme"):
        Scheme("bad", default="int8")
    with pytest.raises(ValueError, match="Unknown quantizer"):
        LayerScheme("no_sign")


def test_marked_layers_alone_are_quantized(tmp_path):
    marked = quantize_annotate_layer(keras.layers.Dense(5, name="marked"), LayerScheme(XnorSign(), SteSign()))
    end = quantize_annotate_layer(keras.layers.Dense(2, name="end"))
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(5, name="plain"), marked, end])
    x = data("nested")
    model.save(tmp_path / "marked.keras")
    loaded = keras.models.load_model(tmp_path / "marked.keras")
    np.testing.assert_array_equal(model(x), loaded(x))
    for source in (model, loaded):
        result = quantize_apply(source, "int8")
        assert [type(layer).__name__ for layer in result.layers] == ["Dense", "QuantDense", "QuantDense"]
        assert widths(result) == {"marked": ("1 bipolar", "1 bipolar"), "end": ("8 signed", "8 signed")}
        np.testing.assert_array_equal(result.get_layer("marked").kernel, model.layers[1].layer.kernel)
    with pytest.raises(ValueError, match="no marked layers"):
        quantize_apply(small_convnet())


def test_quantizing_again_leaves_quantized_layers_alone():
    once = quantize_model(small_convnet(), "xnor")
    twice = quantize_model(once, "int8")
    assert [type(layer) for layer in twice.layers] == [type(layer) for layer in once.layers]
    np.testing.assert_array_equal(once(data("convnet")), twice(data("convnet")))
    assert all(row.status == KEPT for row in twice.quantization_report.rows)


ACTIVATIONS = ["relu", "sigmoid", None, "tanh"]


@settings(max_examples=10)
@given(st.lists(st.sampled_from(ACTIVATIONS), min_size=1, max_size=3), st.sampled_from(SCHEMES), st.booleans())
def test_random_dense_models_keep_their_weights(activations, scheme, functional):
    model = keras.Sequential([keras.Input((4,)), *(keras.layers.Dense(4, activation=name) for name in activations)])
    if functional:
        model = keras.Model(model.inputs, model.outputs)
    copy = quantize_model(model, scheme, strict=True)
    rows = copy.quantization_report.rows
    assert len(rows) == len(activations)
    for old, new in zip(model.layers[-len(activations) :], quantized_layers(copy), strict=True):
        np.testing.assert_array_equal(old.kernel, new.kernel)
        np.testing.assert_array_equal(old.bias, new.bias)
    for before, row in zip([None, *activations], rows, strict=False):
        if row not in (rows[0], rows[-1]) and scheme.startswith("lsq(4"):
            assert row.inputs.endswith("unsigned") == (before in ("relu", "sigmoid"))
