"""Every exported layer, walked through everything a layer has to do (tests/layer_cases.py)."""

import importlib
import inspect
import pathlib
import re

import keras
import layer_cases
import layer_checks
import numpy as np
import pytest
import tensorflow as tf

import keras_ste
from keras_ste import layers, straight_through
from keras_ste.layers.common import QuantizedLayer
from keras_ste.quantizers import Quantizer, QuantSpec, SteSign, VariableQuantizer

EXPORTED = {name: cls for name in layers.__all__ if inspect.isclass(cls := getattr(layers, name))}
DOCS = pathlib.Path(__file__).parent.parent / "docs" / "layers.md"
each_case = pytest.mark.parametrize("case", layer_cases.CASES.values(), ids=layer_cases.CASES)


@keras.saving.register_keras_serializable(package="tests")
class LearnedStep(VariableQuantizer):
    """Codes of 6 bits times a learned step, as a stand-in for all that have variables."""

    @property
    def spec(self):
        return QuantSpec(bits=6, encoding="signed")

    def build(self, shape):
        self.step = self.add_weight(name="step", shape=(), initializer=keras.initializers.Constant(0.1))

    def factors(self, x, training=False):
        self._ensure_built(x)
        step = tf.cast(self.step.value, x.dtype)
        codes = tf.clip_by_value(straight_through(tf.round, "identity")(x / step), -32, 31)
        return codes, step

    def encode(self, x):
        return tf.cast(tf.clip_by_value(tf.round(x / self.step), -32, 31), tf.int8)

    def decode(self, codes, dtype="float32"):
        return tf.cast(codes, dtype) * tf.cast(self.step.value, dtype)


class Spy(Quantizer):
    """Says what it was called with."""

    def __init__(self):
        super().__init__()
        self.training = set()

    def factors(self, x, training=False):
        self.training.add(training)
        return x, None


def make(case, seed=0, **changes):
    """The layer, built, with weights on both sides of zero, and its inputs."""
    layer = case.cls(**{**case.arguments, **changes})
    rng = np.random.default_rng(seed)
    inputs = []
    for shape in case.shapes:
        if case.indices:
            inputs.append(rng.integers(0, case.indices, shape).astype("int32"))
        else:
            x = rng.normal(size=shape).astype("float32")
            x[rng.random(shape) < 0.1] = 0.0
            inputs.append(x)
    layer.build(*case.shapes)
    layer_checks.randomize_all(layer, seed + 1)
    return layer, inputs


def model_of(case, layer, batch=None):
    dtype = "int32" if case.indices else "float32"
    inputs = [keras.Input(shape[1:], batch, dtype=dtype, name=f"x{i}") for i, shape in enumerate(case.shapes)]
    return keras.Model(inputs, layer(*inputs))


def learning(case):
    """The case's arguments, every quantizer one with a variable."""
    names = layer_checks.quantizer_arguments(case.cls)
    return {name: LearnedStep(name=f"{name}_step") for name in names}


def test_every_layer_has_a_case_an_example_and_its_place_in_the_docs():
    """Whatever is exported, in the package and in its documentation, is walked through here."""
    text = DOCS.read_text(encoding="utf-8")
    cases = {case.cls for case in layer_cases.CASES.values()}
    assert set(layer_cases.TESTED_ELSEWHERE) <= set(EXPORTED)
    for name, cls in EXPORTED.items():
        assert cls in cases or name in layer_cases.TESTED_ELSEWHERE, f"{name} has no case"
        assert ">>> " in cls.__doc__, f"{name} has no example"
        assert re.search(rf"^\| `{name}`", text, re.MULTILINE), f"{name} has no row in docs/layers.md"
        assert getattr(keras_ste, name) is cls and name in keras_ste.__all__
    for name, place in layer_cases.TESTED_ELSEWHERE.items():
        assert re.search(rf"\b{name}\b", inspect.getsource(importlib.import_module(place))), name
    defined = {
        cls.__name__
        for file in pathlib.Path(layers.__file__).parent.glob("*.py")
        for cls in vars(importlib.import_module(f"keras_ste.layers.{file.stem}")).values()
        if inspect.isclass(cls)
        and issubclass(cls, keras.layers.Layer)
        and cls.__module__.startswith("keras_ste.layers")
    }
    assert defined == set(EXPORTED)


@pytest.mark.parametrize("cls", EXPORTED.values(), ids=EXPORTED)
def test_arguments_are_those_of_keras_and_the_quantizers(cls):
    base = layer_checks.float_class(cls)
    if base in (keras.layers.Layer, None):
        pytest.skip("it stands for no layer of Keras")
    ours = inspect.signature(cls).parameters
    theirs = inspect.signature(base).parameters
    wanted = [name for name, p in theirs.items() if p.kind != p.VAR_KEYWORD]
    # What only Keras's own quantization takes arrives through **kwargs.
    wanted = [name for name in wanted if name in ours or not re.search("gptq|quantization_config", name)]
    assert list(ours)[: len(wanted)] == wanted
    for name in wanted:
        assert ours[name].default == theirs[name].default
    own = layer_checks.quantizer_arguments(cls)
    assert own and set(own) >= {*cls.quantized_tensors, *cls.quantized_weights}
    for name in own:
        assert ours[name].kind == inspect.Parameter.KEYWORD_ONLY and ours[name].default is None


@each_case
def test_config(case):
    layer, inputs = make(case)
    config = layer.get_config()
    assert set(layer_checks.quantizer_arguments(case.cls)) <= set(config)
    again = case.cls.from_config(config)
    assert again.get_config() == layer.get_config() == config
    again.build(*case.shapes)
    again.set_weights(layer.get_weights())
    np.testing.assert_array_equal(again(*inputs), layer(*inputs))


@each_case
def test_files(case, tmp_path):
    """`.keras` and `.weights.h5` hold everything, the variables of quantizers too."""
    for changes in ({}, learning(case)):
        layer, inputs = make(case, **changes)
        model = model_of(case, layer)
        expected = model(inputs).numpy()
        model.save(tmp_path / "model.keras")
        loaded = keras.models.load_model(tmp_path / "model.keras")
        np.testing.assert_array_equal(loaded(inputs), expected)
        assert loaded.layers[-1].get_config() == layer.get_config()
        paths = [[layer_checks.path_in_layer(v) for v in each.layers[-1].weights] for each in (model, loaded)]
        assert paths[0] == paths[1]
        model.save_weights(tmp_path / "model.weights.h5")
        cloned = keras.models.clone_model(model)
        assert changes == {} or not np.array_equal(cloned(inputs), expected)
        cloned.load_weights(tmp_path / "model.weights.h5")
        np.testing.assert_array_equal(cloned(inputs), expected)


@each_case
def test_it_computes_with_quantized_weights(case):
    """It gives what the float layer gives with quantized weights, and not what it gives with latent ones."""
    layer, inputs = make(case)
    for name, values in layer_checks.quantized_values(layer).items():
        if "sign" in str(layer_checks.quantizer_of(layer, name)):
            magnitudes = np.abs(values)
            assert (magnitudes > 0).all()
            # One magnitude, or one for each index of one axis.
            assert len(np.unique(magnitudes)) <= max(values.shape), name
    twin = layer_checks.float_twin(layer, case.shapes)
    quantized = layer_checks.quantized_inputs(layer, inputs) if case.inputs_outside else inputs
    if case.exact:
        np.testing.assert_array_equal(layer(*inputs), twin(*quantized))
    else:
        np.testing.assert_allclose(layer(*inputs), twin(*quantized), rtol=1e-5, atol=1e-5)
    latent = layer_checks.float_twin(layer, case.shapes, quantized=False)
    assert not np.allclose(layer(*inputs), latent(*quantized), atol=1e-2)


@each_case
def test_gradients(case):
    """They are those of the float layer with quantized weights, times the surrogate's derivative."""
    arguments = {
        name: SteSign()
        for name in ("kernel_quantizer", *layer_checks.weight_arguments(case.cls))
        if name in case.arguments
    }
    layer, inputs = make(case, **arguments)
    twin = layer_checks.float_twin(layer, case.shapes)
    quantized = layer_checks.quantized_inputs(layer, inputs) if case.inputs_outside else inputs
    results = []
    for each, x in ((layer, inputs), (twin, quantized)):
        x = [tf.convert_to_tensor(value) for value in x]
        sources = [] if case.indices else x
        with tf.GradientTape() as tape:
            tape.watch(sources)
            y = each(*x)
            loss = tf.reduce_sum(y * layer_checks.upstream(y))
        variables = {layer_checks.path_in_layer(v): v for v in each.trainable_variables}
        gradients = tape.gradient(loss, [variables, sources])
        results.append(gradients)
    (ours, by_input), (expected, expected_by_input) = results
    masks = layer_checks.sign_masks(layer)
    expected = {path: tf.convert_to_tensor(g).numpy() * masks.get(path, 1.0) for path, g in expected.items()}
    expected = layer_checks.before_folding(layer, expected)
    assert set(ours) == set(expected)
    for path, wanted in expected.items():
        np.testing.assert_allclose(tf.convert_to_tensor(ours[path]), wanted, rtol=1e-4, atol=1e-4, err_msg=path)
    for x, gradient, wanted in zip(inputs, by_input, expected_by_input, strict=not case.indices):
        if case.inputs_outside and getattr(layer, "input_quantizer", None) is not None:
            wanted = wanted * (np.abs(x) <= 1)
        np.testing.assert_allclose(gradient, wanted, rtol=1e-4, atol=1e-4)


@each_case
def test_learned_quantizers(case, tmp_path):
    """Their variables are the layer's, trained with it, each under the name of its argument."""
    layer, inputs = make(case, **learning(case))
    paths = {v.path for v in layer.trainable_variables}
    for name in layer_checks.quantizer_arguments(case.cls):
        assert any(f"/{name}/" in path for path in paths), (name, paths)
    with tf.GradientTape() as tape:
        y = layer(*inputs, training=True)
        loss = tf.reduce_sum(y * layer_checks.upstream(y))
    steps = [v for v in layer.trainable_variables if v.name == "step"]
    gradients = tape.gradient(loss, [v.value for v in steps])
    assert len(steps) >= len(layer_checks.quantizer_arguments(case.cls))
    for variable, gradient in zip(steps, gradients, strict=True):
        assert gradient is not None and np.isfinite(gradient) and gradient != 0, variable.path


@each_case
def test_training(case):
    layer, inputs = make(case, **learning(case))
    model = model_of(case, layer)
    targets = np.ones(model(inputs).shape, "float32")
    before = [v.numpy().copy() for v in layer.trainable_variables]
    model.compile(optimizer=keras.optimizers.SGD(0.01), loss="mse", jit_compile=True)
    history = model.fit(inputs, targets, epochs=2, batch_size=len(inputs[0]), verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    for variable, value in zip(layer.trainable_variables, before, strict=True):
        assert not np.array_equal(variable.numpy(), value), variable.path


@each_case
def test_the_quantizers_are_told_of_training(case):
    for training in (False, True):
        spies = {name: Spy() for name in layer_checks.quantizer_arguments(case.cls)}
        layer, inputs = make(case, **spies)
        for spy in spies.values():
            spy.training.clear()
        layer(*inputs, training=training)
        for name, spy in spies.items():
            assert spy.training == {training}, name


@each_case
def test_compiled(case):
    layer, inputs = make(case)
    expected = layer(*inputs)
    inputs = [tf.constant(x) for x in inputs]
    for jit_compile in (False, True):
        compiled = tf.function(layer, jit_compile=jit_compile)(*inputs)
        np.testing.assert_allclose(compiled, expected, rtol=1e-5, atol=1e-5)


@each_case
def test_unknown_sizes(case):
    layer, inputs = make(case)
    dtype = "int32" if case.indices else "float32"
    for unknown in ((), (0,), (0, *case.unknown)):
        shapes = [[None if axis in unknown else n for axis, n in enumerate(s)] for s in case.shapes]
        symbolic = [keras.KerasTensor(shape, dtype) for shape in shapes]
        outputs = layer(*symbolic)
        assert outputs.shape == tuple(layer.compute_output_shape(*(x.shape for x in symbolic)))
        signature = [tf.TensorSpec(shape, dtype) for shape in shapes]
        result = tf.function(layer, input_signature=signature)(*(tf.constant(x) for x in inputs))
        np.testing.assert_allclose(result, layer(*inputs), rtol=1e-5, atol=1e-5)
        assert result.shape.is_compatible_with(layer.compute_output_shape(*case.shapes))


@each_case
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "bfloat16"])
def test_dtype_policies(case, policy):
    """It computes in the policy's dtype, as the float layer does, on numbers quantized in the variables'."""
    layer, inputs = make(case, dtype=policy)
    for variable in layer.weights:
        if keras.backend.is_float_dtype(variable.dtype):
            assert variable.dtype == layer.variable_dtype or variable.path.count("quantizer")
    for _, weight, _ in layer_checks.quantized_variables(layer):
        # float16 has no such number: cast before it is quantized, it would be -0.0, whose sign is +1.
        values = weight.numpy()
        values.flat[0] = -1e-9
        weight.assign(values)
        if layer.variable_dtype == "float32":
            assert layer_checks.quantized_values(layer)[layer_checks.path_in_layer(weight)].flat[0] <= 0
    y = layer(*inputs)
    assert y.dtype.name == layer.compute_dtype != "float32"
    twin = layer_checks.float_twin(layer, case.shapes)
    inputs = [x if case.indices else tf.cast(x, layer.compute_dtype) for x in inputs]
    if case.inputs_outside:
        inputs = layer_checks.quantized_inputs(layer, inputs)
    tolerance = {"rtol": 0, "atol": 0} if case.exact else {"rtol": 0.05, "atol": 0.05}
    y, expected = (tf.cast(value, "float32").numpy() for value in (y, twin(*inputs)))
    np.testing.assert_allclose(y, expected, **tolerance)


@each_case
def test_lora_is_quantized_with_the_weight(case):
    if not hasattr(case.cls, "enable_lora"):
        pytest.skip(f"Keras has no lora for {layer_checks.float_class(case.cls).__name__}")
    layer, inputs = make(case)
    layer.enable_lora(2)
    layer_checks.randomize_all(layer, 3)
    ((argument, merged),) = layer.quantized_weights.items()
    name = merged.removeprefix("folded_")
    merged = getattr(layer, merged)
    assert not np.array_equal(getattr(layer, name), getattr(layer, f"_{name}"))
    quantized = getattr(layer, f"quantized_{name}")
    np.testing.assert_array_equal(quantized, getattr(layer, argument)(merged))
    twin = layer_checks.float_twin(layer, case.shapes, values={name: quantized})
    expected = twin(*layer_checks.quantized_inputs(layer, inputs))
    np.testing.assert_allclose(layer(*inputs), expected, rtol=1e-5, atol=1e-5)


@each_case
def test_keras_s_own_quantization_is_refused(case):
    layer, _ = make(case)
    with pytest.raises(NotImplementedError, match="quantized by its own quantizers.*'int8'"):
        layer.quantize("int8")
    with pytest.raises(ValueError, match="float dtype policy.*int8_from_float32"):
        case.cls(**{**case.arguments, "dtype": "int8_from_float32"})


@each_case
def test_conversion(case):
    """The file gives the model's numbers; what is not packed is named in the report, and refused if strict."""
    layer, inputs = make(case)
    model = model_of(case, layer)
    if case.converted not in ("packed", "float"):
        with pytest.raises(Exception, match=case.converted):
            keras_ste.convert(model)
        return
    converted = keras_ste.convert(model)
    named = [row for row in converted.report.rows if row.reason]
    if case.converted == "packed":
        assert not converted.report.unpacked
        keras_ste.convert(model, strict=True)
    else:
        assert [row.op for row in named] == layer_checks.left_in_float(case.cls)
        assert all(layer.path in row.layer for row in named)
        with pytest.raises(ValueError, match=f"strict=True.*\n.*{layer.path}"):
            keras_ste.convert(model, strict=True)
    interpreter = keras_ste.Interpreter(model_content=converted.model_content)
    runner = interpreter.get_signature_runner()
    (y,) = runner(**{f"x{i}": x for i, x in enumerate(inputs)}).values()
    np.testing.assert_allclose(y, model(inputs), rtol=1e-4, atol=1e-4)
