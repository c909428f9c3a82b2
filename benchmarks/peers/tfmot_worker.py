"""Runs tensorflow-model-optimization, which is for tf_keras: fine-tunes accuracy.py's network with its 4-bit scheme."""

import json
import os
import pathlib
import sys

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path[:0] = [str(pathlib.Path(__file__).parents[1]), str(pathlib.Path(__file__).parents[2] / "examples")]

import networks
import numpy as np
import tensorflow_model_optimization as tfmot
import tf_keras
from tensorflow_model_optimization.python.core.api.quantization.keras.experimental import default_n_bit


def check_levels(model, bits):
    """What each kernel is multiplied as has no more levels, for each output channel, than its width allows."""
    wrappers = [layer for layer in model.layers if getattr(layer, "_weight_vars", None)]
    if not wrappers:
        raise RuntimeError("tfmot quantizes no kernel of this model")
    for wrapper in wrappers:
        for weight, quantizer, variables in wrapper._weight_vars:
            levels = np.asarray(quantizer(weight, False, variables))
            most = max(len(np.unique(levels[..., channel])) for channel in range(levels.shape[-1]))
            if most > 2**bits:
                raise RuntimeError(f"tfmot's layer {wrapper.name} computes with {most} levels")


def fine_tune(weights, teacher, directory, options, seed, bits):
    """The network with the float weights of a file, quantized by tfmot's scheme of so many bits and trained."""
    networks.use_one_thread()
    tf_keras.backend.clear_session()
    tf_keras.utils.set_random_seed(seed)
    model = networks.relu_convnet(tf_keras)
    networks.load_weights(model, weights)
    scheme = default_n_bit.DefaultNBitQuantizeScheme(num_bits_weight=bits, num_bits_activation=bits)
    annotated = tfmot.quantization.keras.quantize_annotate_model(model)
    model = tfmot.quantization.keras.quantize_apply(annotated, scheme)
    result = networks.fine_tuned(tf_keras, model, directory, options, seed, teacher)
    check_levels(model, bits)
    return result


def main():
    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        request = json.loads(line)
        answer = {"fine_tune": fine_tune}[request.pop("task")](**request)
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
