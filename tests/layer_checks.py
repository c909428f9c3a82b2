"""Checks that every quantized layer has to pass, whatever it computes.

A layer is checked against the Keras layer it derives from, its float twin, which is given the
quantized kernel and quantized inputs: the same ops on the same numbers, so that the results are
compared bit for bit wherever no scale is involved.
"""

import inspect

import keras
import numpy as np
import tensorflow as tf

from keras_ste.layers.batch_norm_folding import BatchNormFolding
from keras_ste.layers.common import QuantizedLayer
from keras_ste.quantizers import Quantizer, SteSign, XnorSign


def twin(layer, x):
    """The float layer with the quantized kernel of `layer`, and what to give it in place of `x`.

    Where the layer pads with ones, they are put around the twin's input, and the twin pads nothing.
    """
    config = layer.get_config()
    for argument in ("input_quantizer", "kernel_quantizer", "pad_values"):
        config.pop(argument, None)
    x = tf.convert_to_tensor(x)
    if layer.input_quantizer is not None:
        x = layer.input_quantizer(x)
    if getattr(layer, "pad_values", 0):
        x = tf.pad(x, same_padding(layer, x.shape), constant_values=1)
        config["padding"] = "valid"
    result = float_class(type(layer)).from_config({**config, "name": f"{layer.name}_twin"})
    result.build(x.shape)
    result.kernel.assign(layer.quantized_kernel)
    if layer.use_bias:
        result.bias.assign(layer.bias)
    return result, x


def float_class(cls):
    """The Keras layer that a quantized layer derives from."""
    return next(base for base in cls.__mro__ if base.__module__.startswith("keras.src.layers"))


def same_padding(layer, shape):
    """How much "same" pads on each side of each axis, by counting how far the windows reach."""
    amounts = [(0, 0)]
    for size, kernel, stride, dilation in zip(
        shape[1:3], layer.kernel_size, layer.strides, layer.dilation_rate, strict=True
    ):
        windows = len(range(0, size, stride))
        reach = (windows - 1) * stride + (kernel - 1) * dilation + 1
        missing = max(reach - size, 0)
        amounts.append((missing // 2, missing - missing // 2))
    return amounts + [(0, 0)]


def randomize(layer, seed=0, bias=True):
    """Weights on both sides of zero and of the clipping bounds, exact zeros among them."""
    rng = np.random.default_rng(seed)
    kernel = rng.normal(size=layer.kernel.shape)
    kernel[rng.random(kernel.shape) < 0.1] = 0.0
    layer._kernel.assign(kernel)
    if bias and layer.use_bias:
        layer.bias.assign(rng.normal(size=layer.bias.shape))
    return layer


def check_effective_kernel(layer, shape):
    """What the layer multiplies its inputs by, found from outside, is `quantized_kernel`.

    Each weight is found as half of the change of the output when its input goes from +1 to -1,
    which every sign quantizer lets through. `shape` is that of an input with a single output
    position, without the batch.
    """
    assert layer.activation is keras.activations.linear
    if layer.use_bias:
        layer.bias.assign(np.zeros(layer.bias.shape))
    size = int(np.prod(shape))
    ones = np.ones((1, size), "float32")
    flipped = np.where(np.eye(size) == 1, -1, 1).astype("float32")
    batch = np.concatenate([ones, flipped]).reshape(-1, *shape)
    y = layer(batch).numpy().reshape(size + 1, -1)
    effective = (y[:1] - y[1:]) / 2
    kernel = layer.quantized_kernel.numpy().reshape(-1, y.shape[1])
    groups = getattr(layer, "groups", 1)
    if groups > 1:
        places, outputs = int(np.prod(layer.kernel_size)), y.shape[1]
        dense = np.zeros((places, groups, shape[-1] // groups, groups, outputs // groups))
        parts = kernel.reshape(places, -1, groups, outputs // groups)
        for g in range(groups):
            dense[:, g, :, g] = parts[:, :, g]
        kernel = dense.reshape(-1, outputs)
    np.testing.assert_allclose(effective, kernel, rtol=1e-5, atol=1e-5)
    if type(layer.kernel_quantizer) is SteSign:
        assert set(np.unique(effective)) <= {-1.0, 0.0, 1.0}
    assert not np.array_equal(layer.kernel.numpy(), layer.quantized_kernel.numpy())


def check_gradients(layer, x, seed=0):
    """The gradients of kernel, bias and inputs, against the twin's and the closed forms."""
    float_twin, x_quantized = twin(layer, x)
    inputs, x_quantized = tf.Variable(x), tf.Variable(x_quantized)
    with tf.GradientTape() as tape:
        y = layer(inputs)
    upstream = tf.constant(np.random.default_rng(seed).normal(size=y.shape), y.dtype)
    sources = [inputs, layer._kernel.value] + ([layer.bias.value] if layer.use_bias else [])
    gradients = tape.gradient(y, sources, output_gradients=upstream)
    with tf.GradientTape() as tape:
        y = float_twin(x_quantized)
    sources = [x_quantized, float_twin.kernel.value]
    sources += [float_twin.bias.value] if layer.use_bias else []
    expected = tape.gradient(y, sources, output_gradients=upstream)
    expected = [g.numpy() for g in expected]
    if getattr(layer, "pad_values", 0):
        # The places outside of the image take their share of the gradient along.
        for axis, (before, after) in enumerate(same_padding(layer, x.shape)):
            expected[0] = np.delete(expected[0], np.s_[expected[0].shape[axis] - after :], axis)
            expected[0] = np.delete(expected[0], np.s_[:before], axis)
    if layer.input_quantizer is not None:
        expected[0] = expected[0] * (np.abs(x) <= 1)
    w = layer.kernel.numpy()
    inside = np.abs(w) <= 1
    if type(layer.kernel_quantizer) is SteSign:
        expected[1] = expected[1] * inside
    elif type(layer.kernel_quantizer) is XnorSign:
        alpha = np.abs(w).mean(axis=tuple(range(w.ndim - 1)), keepdims=True)
        expected[1] = expected[1] * (alpha.size / w.size + alpha * inside)
    for gradient, wanted in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(gradient, wanted, rtol=1e-4, atol=1e-4)


def check_config(layer, x):
    """A layer made from the config has the same config, and with its weights the same output."""
    again = type(layer).from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    again.build(x.shape)
    again.set_weights(layer.get_weights())
    np.testing.assert_array_equal(again(x), layer(x))


def check_saving(layer, x, folder):
    """The `.keras` and `.weights.h5` files hold everything."""
    model = keras.Sequential([keras.Input(x.shape[1:]), layer])
    expected = model(x).numpy()
    model.save(folder / "model.keras")
    loaded = keras.models.load_model(folder / "model.keras")
    np.testing.assert_array_equal(loaded(x), expected)
    assert loaded.layers[-1].get_config() == layer.get_config()
    model.save_weights(folder / "model.weights.h5")
    cloned = keras.models.clone_model(model)
    cloned.load_weights(folder / "model.weights.h5")
    np.testing.assert_array_equal(cloned(x), expected)


def check_compiled(layer, x):
    """Graph and XLA give what eager gives."""
    expected = layer(x)
    np.testing.assert_allclose(tf.function(layer)(tf.constant(x)), expected, rtol=1e-5, atol=1e-5)
    compiled = tf.function(layer, jit_compile=True)(tf.constant(x))
    np.testing.assert_allclose(compiled, expected, rtol=1e-5, atol=1e-5)


def check_unknown_sizes(layer, x, unknown):
    """Symbolic inputs whose sizes are None on the `unknown` axes give the same numbers."""
    shape = [None if axis in unknown else size for axis, size in enumerate(x.shape)]
    inputs = keras.Input(shape[1:])
    outputs = layer(inputs)
    assert outputs.shape == layer.compute_output_shape(inputs.shape)
    signature = tf.TensorSpec(shape, tf.float32)
    result = tf.function(layer, input_signature=[signature])(tf.constant(x))
    np.testing.assert_array_equal(result, layer(x))
    assert result.shape == layer.compute_output_shape(x.shape)


def check_mixed_precision(layer, x, policy):
    """The layer computes in the policy's compute dtype, on integers that are exact in it."""
    mixed = type(layer).from_config({**layer.get_config(), "dtype": policy})
    mixed.build(x.shape)
    kernel = layer.kernel.numpy().copy()
    # float16 has no such number: cast before it is quantized, it would be -0.0, whose sign is +1.
    kernel.flat[0] = -1e-9
    mixed.set_weights([kernel, *layer.get_weights()[1:]])
    y = mixed(x)
    assert y.dtype.name == mixed.compute_dtype != "float32"
    assert mixed.kernel.dtype == mixed.variable_dtype == "float32"
    if isinstance(mixed.kernel_quantizer, Quantizer):
        assert mixed.quantized_kernel.numpy().flat[0] < 0
        integers, _ = mixed._kernel_factors()
        assert integers.dtype == y.dtype
        assert set(np.unique(integers)) <= {-1, 1}
    if type(mixed.kernel_quantizer) is not XnorSign:
        float_twin, x_quantized = twin(mixed, tf.cast(x, mixed.compute_dtype))
        np.testing.assert_array_equal(y.numpy(), float_twin(x_quantized).numpy())


def check_training(layer, x, **compile_arguments):
    """`fit` moves the latent kernel, and the quantized one stays quantized."""
    model = keras.Sequential([keras.Input(x.shape[1:]), layer, keras.layers.Flatten()])
    before = layer.kernel.numpy().copy()
    targets = np.ones(model(x).shape, "float32")
    model.compile(optimizer=keras.optimizers.SGD(0.01), loss="mse", **compile_arguments)
    history = model.fit(x, targets, epochs=2, batch_size=len(x), verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    assert not np.array_equal(before, layer.kernel.numpy())


def randomize_all(layer, seed=0):
    """All float weights, those of sublayers too, on both sides of zero; learned steps stay positive."""
    rng = np.random.default_rng(seed)
    for variable in layer.weights:
        if keras.backend.is_float_dtype(variable.dtype):
            values = rng.normal(size=variable.shape)
            if variable.name in ("step", "gamma") or "variance" in variable.name:
                values = 0.05 + 0.1 * np.abs(values)
            variable.assign(values)


def path_in_layer(variable):
    """A variable's path without the names of the model and the layer it is in."""
    path = variable.path.split("/")
    start = next((i for i, part in enumerate(path) if part.startswith(("quant_", "twin"))), 0)
    return "/".join(path[start + 1 :])


def _quantized_layers(layer):
    every = layer._flatten_layers()
    return [each for each in every if isinstance(each, QuantizedLayer)]


def quantizer_arguments(cls):
    """The arguments that are quantizers."""
    return [name for name in inspect.signature(cls).parameters if name.endswith("_quantizer")]


def weight_arguments(cls):
    """The arguments that quantize weights."""
    return tuple(cls.quantized_weights)


def quantized_variables(layer):
    """Of every weight, in sublayers too, that has a quantizer: that, its variable, and what is quantized."""
    return [
        (getattr(each, argument), *_variable(each, name))
        for each in _quantized_layers(layer)
        for argument, name in each.quantized_weights.items()
        if getattr(each, argument) is not None
    ]


def _variable(layer, name):
    """The variable and what is quantized: the variable itself, or what is folded of it."""
    latent = name.removeprefix("folded_")
    # With lora, the attribute without the underscore is a sum.
    variable = getattr(layer, f"_{latent}", None) if hasattr(layer, f"_{latent}") else getattr(layer, latent)
    return variable, variable.value if name == latent else getattr(layer, name)


def quantizer_of(layer, path):
    """The quantizer of the weight with this path."""
    return {path_in_layer(v): q for q, v, _ in quantized_variables(layer)}[path]


def quantized_values(layer):
    """Path and quantized values of every weight that has a quantizer."""
    return {path_in_layer(v): q(values).numpy() for q, v, values in quantized_variables(layer)}


def sign_masks(layer):
    """Where the clipped identity lets the gradients of each quantized weight through."""
    return {path_in_layer(v): np.abs(values.numpy()) <= 1 for _, v, values in quantized_variables(layer)}


def before_folding(layer, gradients):
    """The gradients by a layer's variables, from those by the kernel and bias that it computes with."""
    if not isinstance(layer, BatchNormFolding):
        return gradients
    with tf.GradientTape() as tape:
        folded = [layer.folded_kernel, layer.folded_bias]
    upstream = [tf.constant(gradients[name]) for name in ("kernel", "bias")]
    variables = {path_in_layer(v): v for v in layer.trainable_variables}
    return tape.gradient(folded, variables, output_gradients=upstream)


def quantized_inputs(layer, inputs):
    """The inputs as the layer's input quantizer makes them."""
    quantizer = getattr(layer, "input_quantizer", None)
    return [x if quantizer is None else quantizer(tf.convert_to_tensor(x)) for x in inputs]


def float_twin(layer, shapes, quantized=True, values=None):
    """The Keras layer that `layer` derives from, with its weights, those that it quantizes quantized."""
    config = layer.get_config()
    folding = isinstance(layer, BatchNormFolding)
    own = inspect.signature(BatchNormFolding).parameters if folding else ()
    for argument in (*quantizer_arguments(type(layer)), *own, "pad_values", "lora_rank", "lora_alpha"):
        config.pop(argument, None)
    if folding:
        config["use_bias"] = True
    twin = float_class(type(layer)).from_config({**config, "name": f"twin_{layer.name}"})
    twin.build(*shapes)
    known = {path_in_layer(v): v.numpy() for v in layer.weights}
    known.update({"bias": layer.folded_bias} if folding else {})
    known.update(quantized_values(layer) if quantized else {})
    known.update(values or {})
    for variable in twin.weights:
        variable.assign(known[path_in_layer(variable)])
    return twin


def upstream(y):
    """Some numbers of the shape and dtype of `y`, always the same."""
    return tf.constant(np.random.default_rng(5).normal(size=y.shape), y.dtype)


def left_in_float(cls):
    """The classes that the converter's report names for a layer it cannot pack."""
    return [getattr(cls, "cell_class", cls).__name__]
