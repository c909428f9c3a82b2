"""Runs in Larq's own environment: trains networks, and times steps, that the benchmarks ask for line by line."""

import json
import os
import pathlib
import sys

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path[:0] = [str(pathlib.Path(__file__).parents[1]), str(pathlib.Path(__file__).parents[2] / "examples")]

import larq
import networks
import numpy as np
import steps
import tensorflow as tf
import tf_keras

SIGNS = {"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign"}
STEPS = {
    "Conv2D 3x3x128, W1A1": lambda: larq.layers.QuantConv2D(**steps.CONV, **SIGNS),
    "Dense 1024, W1A1": lambda: larq.layers.QuantDense(**steps.DENSE, **SIGNS),
    "Dense 1024, ternary weights": lambda: larq.layers.QuantDense(**steps.DENSE, kernel_quantizer="ste_tern"),
    "Dense 1024, W4A4 DoReFa": lambda: larq.layers.QuantDense(
        **steps.DENSE,
        input_quantizer=larq.quantizers.DoReFa(4, mode="activations"),
        kernel_quantizer=larq.quantizers.DoReFa(4, mode="weights"),
    ),
}


def check_levels(model, most):
    """Under another Keras, Larq trains in float and says nothing: so its kernels are looked at."""
    layers = [layer for layer in model.layers if isinstance(layer, (larq.layers.QuantConv2D, larq.layers.QuantDense))]
    if not layers:
        raise RuntimeError("there is no layer of Larq's in this model")
    for layer in layers:
        with larq.context.quantized_scope(True):
            levels = np.unique(layer.get_weights()[0])
        if len(levels) > most or (most == 2 and not np.array_equal(levels, [-1.0, 1.0])):
            raise RuntimeError(f"Larq's layer {layer.name} computes with {len(levels)} levels: {levels[:9]}")


class Steps:
    """The steps of one case, compiled once."""

    def __init__(self):
        self.compiled = {}

    def answer(self, case, repeats, reference_first=False):
        if case not in self.compiled:
            if case.startswith("Conv2D"):
                plain, shape = tf_keras.layers.Conv2D(**steps.CONV), steps.CONV_INPUT
            else:
                plain, shape = tf_keras.layers.Dense(**steps.DENSE), steps.DENSE_INPUT
            quantized, model = steps.training_step(tf_keras, STEPS[case](), shape)
            check_levels(model, {"W1A1": 2, "ternary weights": 3}.get(case.split(", ")[1], 16))
            float_step, _ = steps.training_step(tf_keras, plain, shape)
            for _ in range(2):
                quantized()
                float_step()
            self.compiled = {case: (quantized, float_step)}
        quantized, float_step = self.compiled[case]
        return steps.seconds_of_both(quantized, float_step, repeats, reference_first)


def train(surrogate, directory, options, seed):
    """Trains accuracy.py's convnet with Larq's layers."""
    networks.use_one_thread()
    tf_keras.backend.clear_session()

    def binary(filters, **arguments):
        return [larq.layers.QuantConv2D(filters, input_quantizer=surrogate, kernel_quantizer="ste_sign", **arguments)]

    model = networks.convnet(tf_keras, binary, options["filters"])
    result = networks.trained(tf_keras, model, directory, options, seed)
    check_levels(model, 2)
    return result


def fine_tune(form, weights, teacher, directory, options, seed):
    """The network of one_network.py from the float weights of a file, its inner convolutions Larq's.

    `form` is the quantizer of their inputs: "ste_heaviside" stands behind the ReLU, signs in its place.
    """
    networks.use_one_thread()
    tf_keras.backend.clear_session()

    def binary(filters, **arguments):
        constraint = tf_keras.constraints.get(networks.clipped)
        quantizers = {"input_quantizer": form, "kernel_quantizer": "ste_sign", "kernel_constraint": constraint}
        before = [tf_keras.layers.ReLU()] if form == "ste_heaviside" else []
        return [*before, larq.layers.QuantConv2D(filters, **quantizers, **arguments)]

    model = networks.relu_convnet(tf_keras, binary)
    networks.load_weights(model, weights)
    result = networks.fine_tuned(tf_keras, model, directory, options, seed, teacher)
    check_levels(model, 2)
    return result


def main():
    if not tf_keras.__version__.startswith("2.") or "tf_keras" not in tf.keras.Model.__module__:
        raise RuntimeError("Larq needs Keras 2, which tf_keras is, behind tf.keras")
    answers, sys.stdout = sys.stdout, sys.stderr
    steps_of_cases = Steps()
    for line in sys.stdin:
        request = json.loads(line)
        task = {"cases": lambda: list(STEPS), "step": steps_of_cases.answer, "train": train, "fine_tune": fine_tune}[
            request.pop("task")
        ]
        answers.write(json.dumps(task(**request)) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
