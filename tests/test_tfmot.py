"""tf_keras models made binary and k-bit by tensorflow-model-optimization with this package's quantizers, down to the device."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras

import keras_ste
from keras_ste import quantizers
from keras_ste.estimators import EDE, schedules
from keras_ste.optimization import LayerScheme, schemes
from keras_ste.optimization import tfmot as ste
from keras_ste.quantizers import Lsq, Pact, RSign, SteSign, StochasticBinary, UniformQuantizer

L = tf_keras.layers
annotate_layer = tfmot.quantization.keras.quantize_annotate_layer
annotate_model = tfmot.quantization.keras.quantize_annotate_model
apply = tfmot.quantization.keras.quantize_apply

# Every layer with a kernel, the config for it, and the shape of an input.
LAYERS = {
    "Dense": (lambda: L.Dense(3), ste.DenseQuantizeConfig, (6,)),
    "Conv1D": (lambda: L.Conv1D(3, 2), ste.ConvQuantizeConfig, (5, 4)),
    "Conv2D": (lambda: L.Conv2D(3, 2, strides=2, padding="same"), ste.ConvQuantizeConfig, (5, 5, 4)),
    "Conv1DTranspose": (lambda: L.Conv1DTranspose(3, 2, strides=2), ste.ConvTransposeQuantizeConfig, (4, 4)),
    "Conv2DTranspose": (lambda: L.Conv2DTranspose(3, 3, strides=2, padding="same"), ste.ConvTransposeQuantizeConfig, (4, 4, 4)),
    "DepthwiseConv1D": (lambda: L.DepthwiseConv1D(2, depth_multiplier=2), ste.DepthwiseConvQuantizeConfig, (5, 4)),
    "DepthwiseConv2D": (lambda: L.DepthwiseConv2D(3, padding="same"), ste.DepthwiseConvQuantizeConfig, (5, 5, 4)),
    "SeparableConv1D": (lambda: L.SeparableConv1D(3, 2), ste.SeparableConvQuantizeConfig, (5, 4)),
    "SeparableConv2D": (lambda: L.SeparableConv2D(3, 2), ste.SeparableConvQuantizeConfig, (5, 5, 4)),
}

# Those that look at blocks or tokens along an axis need sizes that others do not.
ARGUMENTS = {"blockwise_quantizer": {"block_size": 2, "axis": 0}}


def quantizer(name):
    return quantizers.get({"class_name": name, "config": ARGUMENTS.get(name, {})})


def data(shape, examples=3, seed=0):
    return np.random.default_rng(seed).normal(size=(examples, *shape)).astype("float32")


def quantized(model, scheme, **options):
    with ste.quantize_scope():
        return apply(annotate_model(model), scheme=ste.QuantizeScheme(scheme, **options))


def network():
    """One of each kind of layer that has an op on the device."""
    return tf_keras.Sequential(
        [
            L.Conv2D(8, 3, padding="same", input_shape=(8, 8, 3)),
            L.BatchNormalization(),
            L.ReLU(),
            L.DepthwiseConv2D(3, padding="same"),
            L.BatchNormalization(),
            L.Conv2D(16, 1, use_bias=False),
            L.BatchNormalization(),
            L.Activation("relu6"),
            L.Conv2DTranspose(8, 2, strides=2),
            L.MaxPooling2D(2),
            L.Flatten(),
            L.Dense(12, activation="relu"),
            L.Dense(4),
        ]
    )


def outputs_of(model, x):
    return model(x, training=False).numpy()


def train(model, examples=8, epochs=2, eagerly=True):
    model.compile("adam", tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True), run_eagerly=eagerly)
    x = data(model.input_shape[1:], examples)
    model.fit(x, np.arange(examples) % model.output_shape[-1], epochs=epochs, verbose=0)
    return x


def test_the_package_imports_neither_tf_keras_nor_tfmot():
    code = (
        "import sys, keras_ste, keras_ste.optimization\n"
        "print([name for name in ('tf_keras', 'tensorflow_model_optimization') if name in sys.modules])"
    )
    # tfmot sets it in this process, and TensorFlow imports tf_keras by it.
    environment = {key: value for key, value in os.environ.items() if key != "TF_USE_LEGACY_KERAS"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == "[]"


# Configs and quantizers


@pytest.mark.parametrize("name", quantizers.names())
def test_every_quantizer_trains_the_weights_of_every_layer(name):
    """Gradients reach latent weights and scales, and what is computed with is what the Keras 3 quantizer makes of them."""
    for kind, (make, config, shape) in LAYERS.items():
        given = {argument: quantizer(name) for argument in config.weight_attributes}
        if name == "blockwise_quantizer" and kind in ("Conv1DTranspose", "Conv2DTranspose"):
            continue
        wrapper = ste.SteQuantizeWrapper(make(), config(**given))
        x = tf.constant(data(shape))
        with tf.GradientTape() as tape:
            outputs = wrapper(x, training=True)
            loss = tf.reduce_sum(outputs * tf.constant(data(outputs.shape[1:], seed=1)))
        variables = wrapper.trainable_weights
        gradients = tape.gradient(loss, variables)
        assert all(gradient is not None and np.isfinite(gradient).all() for gradient in gradients), kind
        gradient_of = {id(variable): gradient for variable, gradient in zip(variables, gradients)}
        for attribute, values in wrapper.quantized_weights.items():
            latent = getattr(wrapper.layer, attribute)
            assert isinstance(latent, tf.Variable) and np.any(gradient_of[id(latent)]), (kind, attribute)
            (found,) = [own.bound(made) for weight, own, made in wrapper._weight_vars if weight is latent]
            np.testing.assert_array_equal(values, found.decode(found.encode(tf.convert_to_tensor(latent))))
            # A scale for each number takes it as it is.
            if name != "bitnet_activation" or latent.shape[-1] > 1:
                assert not np.array_equal(values, latent), (kind, attribute)


@pytest.mark.parametrize("name", quantizers.names())
def test_every_quantizer_quantizes_inputs_and_outputs(name):
    if name == "blockwise_quantizer":
        pytest.skip("of weights")
    config = ste.DenseQuantizeConfig("ste_sign", input_quantizer=quantizer(name), output_quantizer=quantizer(name))
    wrapper = ste.SteQuantizeWrapper(L.Dense(4), config)
    x = tf.constant(data((6,)))
    with tf.GradientTape() as tape:
        outputs = wrapper(x, training=True)
        loss = tf.reduce_sum(outputs * tf.constant(data((4,), seed=1)))
    gradients = tape.gradient(loss, wrapper.trainable_weights)
    assert all(gradient is not None and np.isfinite(gradient).all() for gradient in gradients)
    assert len(wrapper.trainable_weights) >= 2
    outputs = wrapper(x, training=False)
    own = config.output_quantizer.bound(wrapper._output_quantizer_vars)
    source = config.input_quantizer.bound(wrapper._input_quantizer_vars)
    plain = source(x) @ wrapper.quantized_weights["kernel"] + wrapper.layer.bias
    if own.spec.dynamic_scale or source.spec.dynamic_scale or own.spec.bits > 4:
        np.testing.assert_allclose(outputs, own(plain), rtol=1e-4, atol=1e-4 + 2.0 ** (2 - own.spec.bits))
    else:
        # A value on a border may go either way.
        assert np.mean(np.isclose(outputs, own(plain), atol=1e-4)) >= 0.75


def test_a_step_of_training_moves_latent_weights_and_learned_scales():
    model = quantized(network(), "lsq(4, 4)")
    before = {w.name: w.numpy() for w in model.trainable_weights}
    train(model, eagerly=False)
    moved = {w.name: not np.array_equal(before[w.name], w.numpy()) for w in model.trainable_weights}
    assert any("kernel_step" in name for name in moved) and any("input_step" in name for name in moved)
    assert all(moved.values()), moved


def test_regularizers_and_penalties_of_quantizers_count():
    dense = ste.DenseQuantizeConfig("ste_sign", input_quantizer=Pact(4, alpha_regularizer=keras.regularizers.L2(0.5)))
    wrapper = ste.SteQuantizeWrapper(L.Dense(2), dense)
    wrapper(tf.constant(data((3,))))
    (alpha,) = wrapper._input_quantizer_vars.values()
    assert float(tf.add_n(wrapper.losses)) == pytest.approx(0.5 * float(alpha) ** 2)
    learned = quantizers.LearnedBitWidth(4, penalty=2.0, target_bits=1.0)
    wrapper = ste.SteQuantizeWrapper(L.Dense(2), ste.DenseQuantizeConfig(learned))
    wrapper(tf.constant(data((3,))), training=True)
    assert float(tf.add_n(wrapper.losses)) == pytest.approx(2.0 * 3.0, rel=1e-5)


def test_one_quantizer_among_the_arguments_of_many_layers_has_variables_for_each():
    shared = Lsq(4)
    everywhere = LayerScheme(shared)
    scheme = schemes.get(everywhere).replace(first=everywhere, last=everywhere)
    model = quantized(tf_keras.Sequential([L.Dense(5, input_shape=(6,)), L.Dense(3)]), scheme)
    steps = [w for w in model.weights if "kernel_step" in w.name]
    assert len(steps) == 2 and steps[0] is not steps[1]
    train(model)
    assert float(steps[0]) != float(steps[1])


def test_a_frozen_layer_is_not_trained_and_keeps_its_order_of_weights():
    wrapper = ste.SteQuantizeWrapper(L.Dense(2), ste.DenseQuantizeConfig(Lsq(4)))
    wrapper(tf.constant(data((3,))))
    names = [w.name for w in wrapper.weights]
    wrapper.trainable = False
    assert wrapper.trainable_weights == [] and [w.name for w in wrapper.weights] == names


# The scheme


def test_only_what_has_a_kernel_is_wrapped_and_the_graph_stays():
    model = quantized(network(), "binary")
    kinds = [type(layer).__name__ for layer in model.layers]
    assert kinds == [
        name if name not in ("Conv2D", "DepthwiseConv2D", "Conv2DTranspose", "Dense") else "SteQuantizeWrapper"
        for name in (type(layer).__name__ for layer in network().layers)
    ]


def test_weights_of_a_trained_model_are_kept():
    model = network()
    train(model)
    made = quantized(model, "w4a8")
    for layer, new in zip(model.layers, made.layers, strict=True):
        inner = new.layer if isinstance(new, ste.SteQuantizeWrapper) else new
        for old, kept in zip(layer.get_weights(), inner.get_weights(), strict=True):
            np.testing.assert_array_equal(old, kept)
    # The original is not touched.
    assert all(not hasattr(layer, "layer") for layer in model.layers)


def test_first_last_and_nonnegative_inputs_are_found_in_the_graph():
    inputs = tf_keras.Input((8, 8, 3))
    x = L.Conv2D(4, 1, name="first")(inputs)
    a = L.ReLU()(x)
    b = L.Conv2D(4, 1, name="behind_relu")(L.ZeroPadding2D()(L.MaxPooling2D(1)(a)))
    c = L.Conv2D(4, 3, padding="same", name="behind_conv")(b)
    d = L.Add()([L.Activation("sigmoid")(c), L.ReLU()(b)])
    y = L.Dense(3, name="behind_sum")(d)
    outputs = L.Dense(2, name="last")(L.GlobalAveragePooling2D()(y))
    model = quantized(tf_keras.Model(inputs, outputs), "lsq(2, 3)")
    found = {}
    for layer in model.layers:
        if isinstance(layer, ste.SteQuantizeWrapper):
            weights = layer.quantize_config.weight_quantizers["kernel_quantizer"].quantizer.spec.bits
            source = layer.quantize_config.input_quantizer.quantizer
            found[layer.layer.name] = (weights, source.spec.bits, source.signed)
    assert found == {
        "first": (8, 8, True),
        "behind_relu": (2, 3, False),
        "behind_conv": (2, 3, True),
        "behind_sum": (2, 3, False),
        "last": (8, 8, True),
    }


def test_rules_overrides_and_configs_of_layers_come_first():
    scheme = schemes.binary().keep("kept").where(L.DepthwiseConv2D, LayerScheme("twn"))
    model = tf_keras.Sequential(
        [
            L.Conv2D(4, 1, input_shape=(4, 4, 3), name="first"),
            L.Conv2D(4, 1, name="kept"),
            L.DepthwiseConv2D(2, name="ruled"),
            annotate_layer(L.Conv2D(4, 1, name="own"), ste.ConvQuantizeConfig("bitnet_ternary")),
            L.Flatten(),
            L.Dense(2, name="last"),
        ]
    )
    made = quantized(model, scheme)
    names = {}
    for layer in made.layers:
        if isinstance(layer, ste.SteQuantizeWrapper):
            (weights,) = layer.quantize_config.weight_quantizers.values()
            names[layer.layer.name] = weights.quantizer.name
    assert names == {"first": "uniform_quantizer", "ruled": "twn", "own": "bitnet_ternary", "last": "uniform_quantizer"}


def test_a_layer_called_twice_stays_one_layer():
    inputs = tf_keras.Input((6,))
    shared = L.Dense(6, name="shared")
    model = quantized(tf_keras.Model(inputs, L.Dense(2)(shared(shared(inputs)))), schemes.xnor(first=schemes.xnor().default))
    assert sum(layer.name == "quant_shared" for layer in model.layers) == 1
    x = data((6,))
    expected = model(x)
    np.testing.assert_array_equal(ste.to_keras3(model)(x), expected)


# Saving and loading


EDE_SIGN = SteSign(EDE(t=schedules.EDESchedule()))
DRAWN = LayerScheme(StochasticBinary(seed=3), UniformQuantizer(4, rounding="stochastic"))


@pytest.mark.parametrize(
    "scheme",
    ["lsq(4, 4)", schemes.get(DRAWN).replace(first=LayerScheme(EDE_SIGN), last=LayerScheme(EDE_SIGN))],
    ids=["learned", "drawn"],
)
def test_saved_models_and_weights_are_the_same_when_loaded(scheme, tmp_path):
    model = quantized(network(), scheme)
    x = train(model, epochs=1)
    expected = outputs_of(model, x)
    for path, options in (("model.h5", {}), ("folder", {"save_format": "tf"}), ("model.keras", {})):
        model.save(tmp_path / path, **options)
        with ste.quantize_scope():
            loaded = tf_keras.models.load_model(tmp_path / path)
        np.testing.assert_array_equal(outputs_of(loaded, x), expected, err_msg=path)
    fresh = quantized(network(), scheme)
    for path in ("all.weights.h5", "checkpoint"):
        model.save_weights(tmp_path / path)
        fresh.set_weights([np.zeros_like(w) for w in fresh.get_weights()])
        fresh.load_weights(tmp_path / path)
        np.testing.assert_array_equal(outputs_of(fresh, x), expected, err_msg=path)
    # A loaded model trains on.
    loaded.fit(x, np.arange(len(x)) % 4, verbose=0)


def test_schedules_are_moved_by_hand():
    model = quantized(tf_keras.Sequential([L.Dense(3, input_shape=(4,))]), schemes.get(LayerScheme(EDE_SIGN)).replace(first=LayerScheme(EDE_SIGN)))
    (schedule,) = ste.schedules_of(model)
    x = tf.constant([[1.0, 0.5, -0.5, 0.25]])

    def gradient():
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(model(x))
        return tape.gradient(loss, model.trainable_weights[0]).numpy()

    before = gradient()
    schedule.progress = 1.0
    assert not np.allclose(before, gradient())


# Conversion


@pytest.mark.parametrize(
    "scheme",
    ["binary", "lsq(4, 4)"]
    + [pytest.param(each, marks=pytest.mark.exhaustive) for each in ("xnor", "ternary", "bitnet", "dorefa(1, 2)", "int8")],
)
def test_a_quantized_tf_keras_model_converts_strictly_and_agrees(scheme):
    model = quantized(network(), scheme)
    x = train(model)
    converted = keras_ste.convert(model, strict=True, verify=x, verify_layers=True)
    ops = [row.op for row in converted.report.rows if row.op.startswith("Ste")]
    products = [op for op in ops if op not in ("SteQuantize", "SteDequantize", "SteMaxPool2D")]
    assert products == [
        "SteConv2D", "SteDepthwiseConv2D", "SteConv2D", "SteTransposeConv2D", "SteFullyConnected", "SteFullyConnected",
    ]  # fmt: skip
    interpreter = keras_ste.Interpreter(model_content=converted.model_content)
    np.testing.assert_allclose(run(interpreter, x), outputs_of(model, x), rtol=1e-4, atol=1e-4)


def test_saved_models_of_quantized_tf_keras_models_convert_alike(tmp_path):
    model = quantized(network(), "lsq(2, 4)")
    x = train(model)
    keras_ste.export_saved_model(model, tmp_path / "ours")
    with keras_ste.export_scope():
        model.save(tmp_path / "tf_keras", save_format="tf")
        tf.saved_model.save(model, str(tmp_path / "tensorflow"))
    content = keras_ste.convert(model, strict=True).model_content
    assert keras_ste.convert(tmp_path / "ours", strict=True).model_content == content
    expected = run(keras_ste.Interpreter(model_content=content), x)
    for folder in ("tf_keras", "tensorflow"):
        converted = keras_ste.convert(tmp_path / folder, strict=True)
        assert np.array_equal(run(keras_ste.Interpreter(model_content=converted.model_content), x), expected), folder


def run(interpreter, x):
    signature = interpreter.get_signature_runner()
    (name,) = signature.get_input_details()
    (outputs,) = signature(**{name: x}).values()
    return outputs


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("scheme", ["binary", "lsq(3, 4)"])
def test_the_keras_3_model_computes_the_same_bit_for_bit(kind, scheme):
    make, _, shape = LAYERS[kind]
    layer = schemes.get(scheme).default
    model = quantized(
        tf_keras.Sequential([tf_keras.Input(shape), make(), L.Flatten(), L.Dense(4, activation="relu")]),
        schemes.get(scheme).replace(first=layer, last=layer),
    )
    x = train(model, epochs=1)
    np.testing.assert_array_equal(outputs_of(ste.to_keras3(model), x), outputs_of(model, x))


def test_the_keras_3_model_of_a_whole_network_trains_on_and_is_saved(tmp_path):
    model = quantized(network(), "lsq(4, 4)")
    x = train(model)
    made = ste.to_keras3(model)
    np.testing.assert_array_equal(outputs_of(made, x), outputs_of(model, x))
    made.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(outputs_of(loaded, x), outputs_of(made, x))
    made.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    made.fit(x, np.arange(8) % 4, verbose=0)


def test_output_quantizers_become_input_quantizers_of_the_layers_behind_them():
    """The manner of tfmot: what a layer gives is quantized, and its graph stays packed through pooling."""
    two_bits = Lsq(2, signed=False)
    model = tf_keras.Sequential(
        [
            annotate_layer(
                L.Conv2D(32, 3, activation="relu", input_shape=(8, 8, 3)), ste.ConvQuantizeConfig("ste_sign", output_quantizer=two_bits)
            ),
            L.MaxPooling2D(),
            annotate_layer(L.Conv2D(32, 1), ste.ConvQuantizeConfig("twn")),
            annotate_layer(L.BatchNormalization(), ste.BatchNormQuantizeConfig()),
            annotate_layer(L.Activation("relu"), ste.ActivationQuantizeConfig(Lsq(4, signed=False))),
            L.Flatten(),
            annotate_layer(L.Dense(4), ste.DenseQuantizeConfig("xnor_sign")),
        ]
    )
    made = apply(model, scheme=ste.QuantizeScheme("binary"))
    x = train(made)
    stripped = ste.to_keras3(made)
    np.testing.assert_allclose(outputs_of(stripped, x), outputs_of(made, x), rtol=1e-5, atol=1e-5)
    report = keras_ste.convert(stripped, strict=True, verify=x).report
    found = [(row.op, row.input) for row in report.rows if row.op in ("SteConv2D", "SteMaxPool2D", "SteFullyConnected")]
    assert found == [
        ("SteConv2D", "float32"),
        ("SteMaxPool2D", "packed 2-bit unsigned"),
        ("SteConv2D", "packed 2-bit unsigned"),
        ("SteFullyConnected", "packed 4-bit unsigned"),
    ]
    keras_ste.convert(made, strict=True, verify=x)


def test_configs_work_in_tfmots_own_wrapper_and_a_scheme_of_ones_own(tmp_path):
    class Plain(tfmot.quantization.keras.QuantizeScheme):
        def get_layout_transformer(self):
            class Identity(tfmot.quantization.keras.QuantizeLayoutTransform):
                def apply(self, model, layer_quantize_map):
                    return model, layer_quantize_map

            return Identity()

        def get_quantize_registry(self):
            return ste.QuantizeScheme("binary").get_quantize_registry()

    model = tf_keras.Sequential(
        [
            annotate_layer(L.Dense(6, input_shape=(5,)), ste.DenseQuantizeConfig(Lsq(4, scale_axis=-1), output_quantizer=Lsq(4))),
            annotate_layer(L.Dense(4), ste.DenseQuantizeConfig("xnor_sign")),
        ]
    )
    made = apply(model, scheme=Plain())
    assert [type(layer).__name__ for layer in made.layers] == ["QuantizeWrapperV2"] * 2
    x = train(made)
    stripped = ste.to_keras3(made)
    np.testing.assert_allclose(outputs_of(stripped, x), outputs_of(made, x), rtol=1e-5, atol=1e-5)
    # Here tfmot has put a tensor in the place of the kernel.
    assert not isinstance(made.layers[0].layer.kernel, tf.Variable)
    latent, quantizer, variables = made.layers[0]._weight_vars[0]
    np.testing.assert_array_equal(quantizer(latent, False, variables), stripped.layers[1].quantized_kernel)
    with pytest.raises(ValueError, match="to_keras3"):
        keras_ste.convert(made)
    for path in ("model.h5", "model.keras"):
        made.save(tmp_path / path)
        with ste.quantize_scope():
            loaded = tf_keras.models.load_model(tmp_path / path)
        np.testing.assert_array_equal(outputs_of(loaded, x), outputs_of(made, x))


def test_tfmots_default_scheme_is_not_loaded_from_keras_files(tmp_path):
    tfmot.quantization.keras.quantize_model(dense()).save(tmp_path / "model.keras")
    with ste.quantize_scope(), pytest.raises(ValueError, match="expected 5 variables, but received 3 variables"):
        tf_keras.models.load_model(tmp_path / "model.keras")


# Pruning and clustering


def pruned(model):
    schedule = tfmot.sparsity.keras.ConstantSparsity(0.5, begin_step=0, frequency=1)
    made = tfmot.sparsity.keras.prune_low_magnitude(model, pruning_schedule=schedule)
    made.compile("adam", tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    x = data(model.input_shape[1:], 8)
    made.fit(x, np.arange(8) % 4, epochs=2, verbose=0, callbacks=[tfmot.sparsity.keras.UpdatePruningStep()])
    return tfmot.sparsity.keras.strip_pruning(made)


def clustering(model, count=3):
    start = tfmot.clustering.keras.CentroidInitialization.KMEANS_PLUS_PLUS
    return tfmot.clustering.keras.cluster_weights(model, number_of_clusters=count, cluster_centroids_init=start)


def clustered(model, count):
    made = clustering(model, count)
    train(made)
    return tfmot.clustering.keras.strip_clustering(made)


def small():
    return tf_keras.Sequential(
        [L.Conv2D(8, 3, input_shape=(6, 6, 4)), L.ReLU(), L.Flatten(), L.Dense(8, activation="relu"), L.Dense(4)]
    )


def wrappers(model):
    return [layer for layer in model.layers if isinstance(layer, ste.SteQuantizeWrapper)]


def test_zeros_of_pruning_stay_in_training_and_on_the_device(tmp_path):
    model = pruned(small())
    scheme = LayerScheme(Lsq(4, scale_axis=-1), Lsq(4), Lsq(4, signed=False))
    made = quantized(model, scheme, preserve_sparsity=True)
    zeros = [layer.layer.kernel.numpy() == 0 for layer in wrappers(made)]
    assert all(0.4 < where.mean() < 0.6 for where in zeros)
    x = train(made, epochs=3)
    for layer, where in zip(wrappers(made), zeros):
        assert not layer.quantized_weights["kernel"].numpy()[where].any()
        assert layer.quantized_weights["kernel"].numpy().any()
    made.save(tmp_path / "model.h5")
    with ste.quantize_scope():
        loaded = tf_keras.models.load_model(tmp_path / "model.h5")
    np.testing.assert_array_equal(outputs_of(loaded, x), outputs_of(made, x))
    stripped = ste.to_keras3(loaded)
    np.testing.assert_array_equal(outputs_of(stripped, x), outputs_of(made, x))
    for layer, where in zip((layer for layer in stripped.layers if hasattr(layer, "quantized_kernel")), zeros):
        assert not layer.quantized_kernel.numpy()[where].any()
    keras_ste.convert(made, strict=True, verify=x)


def test_clusters_stay_in_training_and_on_the_device(tmp_path):
    model = clustered(small(), 6)
    scheme = schemes.get(LayerScheme(Lsq(4), Lsq(4), Lsq(4, signed=False))).replace(first=LayerScheme(Lsq(8)), last=LayerScheme(Lsq(8)))
    made = quantized(model, scheme, clusters=6)
    groups = [layer.layer.kernel.numpy() for layer in wrappers(made)]
    before = [group.copy() for group in groups]
    x = train(made, epochs=3)
    for layer, group, old in zip(wrappers(made), groups, before):
        values = layer.quantized_weights["kernel"].numpy()
        assert not np.array_equal(layer.layer.kernel.numpy(), old)
        assert 2 <= len(np.unique(values)) <= 6
        assert all(len(np.unique(values[old == value])) == 1 for value in np.unique(old))
    made.save(tmp_path / "model.h5")
    with ste.quantize_scope():
        loaded = tf_keras.models.load_model(tmp_path / "model.h5")
    np.testing.assert_array_equal(outputs_of(loaded, x), outputs_of(made, x))
    np.testing.assert_array_equal(outputs_of(ste.to_keras3(made), x), outputs_of(made, x))
    keras_ste.convert(made, strict=True, verify=x)


def test_zeros_and_clusters_stay_together():
    model = tf_keras.Sequential([L.Dense(8, input_shape=(6,)), L.Dense(4)])
    rng = np.random.default_rng(0)
    for layer in model.layers:
        layer.kernel.assign(rng.choice([-0.5, 0.0, 0.25, 0.75], layer.kernel.shape))
    one_scale = LayerScheme(Lsq(4), Lsq(4))
    scheme = schemes.get(one_scale).replace(first=one_scale, last=one_scale)
    made = quantized(model, scheme, preserve_sparsity=True, clusters=4)
    x = train(made, epochs=2)
    for wrapper, layer in zip(wrappers(made), model.layers, strict=True):
        old, new = layer.kernel.numpy(), wrapper.quantized_weights["kernel"].numpy()
        assert not new[old == 0].any() and new.any()
        assert all(len(np.unique(new[old == value])) == 1 for value in np.unique(old))
    keras_ste.convert(made, strict=True, verify=x)


# What is refused


def dense(**options):
    return tf_keras.Sequential([L.Dense(4, input_shape=(3,), **options)])


def with_layer(layer, shape=(4, 4)):
    return tf_keras.Sequential([tf_keras.Input(shape), layer])


def mixed():
    tf_keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        return apply(annotate_model(dense()), scheme=ste.QuantizeScheme("binary"))
    finally:
        tf_keras.mixed_precision.set_global_policy("float32")


def subclassed():
    class Net(tf_keras.Model):
        def call(self, x):
            return x

    return Net()


ONE_BIT = LayerScheme("ste_sign")
REFUSED = {
    "plain function": (lambda: ste.DenseQuantizeConfig(tf.sign), TypeError, "takes a quantizer of keras_ste"),
    "unknown quantizer": (lambda: ste.DenseQuantizeConfig("nothing"), ValueError, "Unknown quantizer"),
    "no number of clusters": (lambda: ste.WeightQuantizer("twn", clusters=1), TypeError, "number of at least 2"),
    "clusters and axis": (lambda: ste.WeightQuantizer(Lsq(4, scale_axis=-1), clusters=4), ValueError, "takes equal weights apart"),
    "not clustered": (
        lambda: quantized(tf_keras.Sequential([L.Dense(40, input_shape=(9,))]), schemes.get(LayerScheme(Lsq(4))).replace(first=LayerScheme(Lsq(4))), clusters=4),
        ValueError,
        "different values",
    ),
    "zeros of signs": (
        lambda: quantized(dense(), schemes.get(ONE_BIT).replace(first=ONE_BIT), preserve_sparsity=True),
        ValueError,
        "makes 0 of 0",
    ),
    "wrong layer": (
        lambda: apply(with_layer(annotate_layer(L.Dense(2), ste.ConvQuantizeConfig("ste_sign"))), scheme=ste.QuantizeScheme("binary")),
        TypeError,
        "ConvQuantizeConfig is for Conv1D, Conv2D",
    ),
    "wrong subclass": (
        lambda: ste.ConvQuantizeConfig("ste_sign").check(L.Conv2DTranspose(2, 2)),
        TypeError,
        "takes a ConvTransposeQuantizeConfig",
    ),
    "input quantizer without the scheme": (
        lambda: apply(with_layer(annotate_layer(L.Dense(2), ste.DenseQuantizeConfig("ste_sign", "ste_sign")))),
        ValueError,
        "tensorflow-model-optimization knows nothing of",
    ),
    "other kernel": (lambda: quantized(with_layer(L.LSTM(2)), "binary"), ValueError, r"cannot quantize .*\(LSTM\)"),
    "GRU": (lambda: quantized(with_layer(L.GRU(2)), "binary"), ValueError, r"cannot quantize .*\(GRU\)"),
    "three dimensions": (
        lambda: quantized(with_layer(L.Conv3D(2, 1), (4, 4, 4, 1)), "binary"),
        ValueError,
        r"cannot quantize .*\(Conv3D\)",
    ),
    "embedding": (
        lambda: quantized(tf_keras.Sequential([tf_keras.Input((3,)), L.Embedding(5, 2), L.Dense(2)]), "binary"),
        ValueError,
        r"\(Embedding\)",
    ),
    "nested": (lambda: quantized(with_layer(dense(), (3,)), "binary"), ValueError, "inside another keras Model"),
    "subclassed": (lambda: quantized(subclassed(), "binary"), ValueError, "Sequential or Functional"),
    "Keras 3": (lambda: annotate_model(keras.Sequential([keras.layers.Dense(2)])), ValueError, "keras.Model"),
    "pruned already": (
        lambda: quantized(tfmot.sparsity.keras.prune_low_magnitude(dense()), "binary"),
        ValueError,
        "still a PruneLowMagnitude",
    ),
    "clustered already": (
        lambda: quantized(clustering(dense()), "binary"),
        ValueError,
        "still a ClusterWeights: call tfmot.clustering.keras.strip_clustering",
    ),
    "pruned, outside of the scope": (
        lambda: apply(
            annotate_model(tfmot.sparsity.keras.prune_low_magnitude(dense())), scheme=ste.QuantizeScheme("binary")
        ),
        ValueError,
        "Unable to clone model",
    ),
    "mixed precision": (mixed, ValueError, "computes in float16"),
    "folding": (lambda: ste.QuantizeScheme(schemes.binary(fold_batch_norm=True)), ValueError, "no folding"),
    "merge": (lambda: ste.QuantizeScheme(schemes.binary(merge=Lsq(8))), ValueError, "quantizers for what layers merge"),
    "rule for Keras 3": (
        lambda: ste.QuantizeScheme(schemes.binary().keep(keras.layers.Dense)),
        ValueError,
        "name tf_keras's",
    ),
    "further arguments": (
        lambda: quantized(dense(), schemes.get(ONE_BIT).replace(first=LayerScheme("ste_sign", arguments={"pad_values": 1}))),
        ValueError,
        "further arguments",
    ),
    "threshold for each channel of an activation": (
        lambda: ste.ActivationQuantizer(RSign()).build(None, "post_activation", built(L.Dense(2))),
        ValueError,
        "has to be known",
    ),
    "to_keras3 of Keras 3": (lambda: ste.to_keras3(keras.Sequential()), TypeError, "a model of tf_keras"),
    "to_keras3 of a subclass": (lambda: ste.to_keras3(subclassed()), ValueError, "is subclassed"),
    "to_keras3 of annotations": (lambda: ste.to_keras3(annotate_model(dense())), ValueError, "quantize_apply first"),
    "to_keras3 of pruning": (
        lambda: ste.to_keras3(tfmot.sparsity.keras.prune_low_magnitude(dense())),
        ValueError,
        "strip_pruning first",
    ),
    "to_keras3 of lambdas": (lambda: ste.to_keras3(with_layer(L.Lambda(abs))), ValueError, "no counterpart in Keras 3"),
    "to_keras3 of other quantizers": (
        lambda: ste.to_keras3(tfmot.quantization.keras.quantize_model(dense())),
        ValueError,
        "not by a quantizer of keras_ste",
    ),
}  # fmt: skip


def built(layer):
    layer.build((None, 3))
    return layer


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_is_refused(case):
    action, error, message = REFUSED[case]
    with pytest.raises(error, match=message):
        action()


# Networks that were written elsewhere

APPLICATIONS = {"MobileNet": {"alpha": 0.25}, "MobileNetV2": {"alpha": 0.35}, "ResNet50": {}, "EfficientNetB0": {}}


def application(name, scheme):
    model = getattr(tf_keras.applications, name)(weights=None, input_shape=(32, 32, 3), classes=10, **APPLICATIONS[name])
    return quantized(model, scheme)


def step(model, x):
    with tf.GradientTape() as tape:
        losses = tf_keras.losses.sparse_categorical_crossentropy(np.arange(len(x)), model(x, training=True))
        loss = tf.reduce_mean(losses)
    variables = model.trainable_variables
    gradients = tape.gradient(loss, variables)
    assert all(gradient is not None and np.isfinite(gradient).all() for gradient in gradients)
    # Not by hand: an optimizer keeps to the constraints of variables, by which steps stay positive.
    tf_keras.optimizers.SGD(0.01).apply_gradients(zip(gradients, variables))
    return gradients


def check_effective_kernels(model, bits):
    """None of them is in float: of each, an output channel has at most as many values as its bits can say."""
    for layer in wrappers(model):
        for name, values in layer.quantized_weights.items():
            axis = layer.quantize_config.output_axes["depthwise_quantizer" if "depthwise" in name else "kernel_quantizer"]
            rows = np.moveaxis(values.numpy(), axis, 0).reshape(values.shape[axis], -1)
            width = 8 if layer in (wrappers(model)[0], wrappers(model)[-1]) else bits
            assert max(len(np.unique(row)) for row in rows) <= 2**width


def pixels(name, size=2):
    """As the network takes them: EfficientNet divides them by 255 itself, to the others they are given scaled."""
    low, high = (0, 255) if name.startswith("EfficientNet") else (-1, 1)
    return np.random.default_rng(0).uniform(low, high, (size, 32, 32, 3)).astype("float32")


@pytest.mark.parametrize(
    "name",
    ["MobileNet", "MobileNetV2"] + [pytest.param(each, marks=pytest.mark.exhaustive) for each in ("ResNet50", "EfficientNetB0")],
)
def test_applications_train_a_step_and_become_keras_3_models(name, tmp_path):
    model = application(name, "lsq(2, 4)")
    x = pixels(name)
    gradients = step(model, x)
    assert np.mean([bool(np.any(gradient)) for gradient in gradients]) > 0.9
    check_effective_kernels(model, 2)
    expected = model(x, training=False)
    stripped = ste.to_keras3(model)
    np.testing.assert_array_equal(stripped(x, training=False), expected)
    if name == "MobileNet":
        keras_ste.convert(model, strict=True, verify=x)


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    "scheme", ["binary", "xnor", "ternary", "bitnet", "dorefa(1, 2)", "lsq(4, 4)", "w4a8", "int8"]
)
@pytest.mark.parametrize("name", APPLICATIONS)
def test_applications_in_every_scheme_are_saved_loaded_and_converted(name, scheme, tmp_path):
    model = application(name, scheme)
    x = pixels(name)
    step(model, x)
    expected = model(x, training=False)
    for path in ("model.h5", "model.keras"):
        model.save(tmp_path / path)
        with ste.quantize_scope():
            loaded = tf_keras.models.load_model(tmp_path / path)
        np.testing.assert_array_equal(loaded(x, training=False), expected)
    keras_ste.convert(model, strict=True, verify=x)
    np.testing.assert_array_equal(ste.to_keras3(model)(x, training=False), expected)
