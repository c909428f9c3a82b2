"""Times keras_ste.convert beside TFLite's own conversion of the float twin.

    python benchmarks/conversion.py [--quick] [--json PATH]

ResNet-18 on images of 224x224x3, its 3x3 convolutions binary or of 2-bit weights and activations, and the same with 10 times its
parameters (without which --quick does). Seconds, the median of alternating rounds; each conversion is of a model that was just built.
"""

import contextlib
import gc
import os
import statistics
import time

import common
import keras
import tensorflow as tf
import whole_networks

import keras_ste
from keras_ste import quantizers
from keras_ste.blocks.common import projected

FILTERS = 64  # of the first stage, doubled from each to the next
MORE_FILTERS = 203  # 10 times the parameters
STAGES, BLOCKS = 4, 2
TIMES_THE_FLOAT_TWIN = 2.0
TIMES_FOR_10_TIMES_THE_PARAMETERS = 10.0
NETWORKS = {
    "float": {},
    "binary": {"kernel_quantizer": "ste_sign", "input_quantizer": "ste_sign"},
    "W2A2": {"kernel_quantizer": quantizers.UniformQuantizer(bits=2), "input_quantizer": quantizers.Pact(bits=2)},
}


def resnet18(name, filters):
    """ResNet-18: a float stem and classifier, and blocks of two convolutions."""
    arguments = NETWORKS[name]
    inputs = keras.Input(whole_networks.IMAGE)
    x = whole_networks.normalized_conv(inputs, filters, 7, 2, relu=True)
    x = keras.layers.MaxPooling2D(3, 2, padding="same")(x)
    for stage in range(STAGES):
        for block in range(BLOCKS):
            count, strides = filters << stage, 2 if stage and not block else 1
            y = whole_networks.normalized_conv(x, count, 3, strides, relu=True, **arguments)
            y = whole_networks.normalized_conv(y, count, 3, 1, relu=False, **arguments)
            x = keras.layers.ReLU()(keras.layers.Add()([y, projected(x, count, strides, None)]))
    return whole_networks.randomize_normalizations(keras.Model(inputs, whole_networks.classified(x, binary=False)))


def seconds_to_convert(name, filters):
    """The seconds of a conversion, and the number of parameters."""
    model = resnet18(name, filters)
    with open(os.devnull, "w", encoding="utf-8") as nowhere, contextlib.redirect_stdout(nowhere):
        start = time.perf_counter()
        if name == "float":
            tf.lite.TFLiteConverter.from_keras_model(model).convert()
        else:
            keras_ste.convert(model, strict=True)
        seconds = time.perf_counter() - start
    parameters = model.count_params()
    del model
    gc.collect()
    return seconds, parameters


def compare(filters, rounds):
    """The median seconds and the number of parameters of each network."""
    found = {name: [] for name in NETWORKS}
    for _ in range(rounds):
        for name in NETWORKS:
            found[name].append(seconds_to_convert(name, filters))
    return {name: (statistics.median(s for s, _ in each), each[0][1]) for name, each in found.items()}


def main():
    options = common.argument_parser(__doc__.split("\n")[0]).parse_args()
    common.print_header()
    rows = common.Rows()
    seconds_to_convert("float", 8)  # what TensorFlow does once
    seconds_to_convert("binary", 8)
    small = compare(FILTERS, 1 if options.quick else 3)
    print(f"{'':<8}{'parameters':>14}{'seconds':>10}{'float = 1':>11}")
    for name, (seconds, parameters) in small.items():
        ratio = seconds / small["float"][0]
        print(f"{name:<8}{parameters:>14,}{seconds:>10.2f}{ratio:>11.2f}")
        if name != "float":
            rows.add(name, "seconds / those of the float twin", ratio, at_most=TIMES_THE_FLOAT_TWIN)
    if not options.quick:
        for name, (seconds, parameters) in compare(MORE_FILTERS, 1).items():
            more = seconds / small[name][0]
            print(f"{name:<8}{parameters:>14,}{seconds:>10.2f}{'':>11}{more:>8.2f} times as long")
            bound = None if name == "float" else TIMES_FOR_10_TIMES_THE_PARAMETERS
            rows.add(name, f"seconds for {parameters / small[name][1]:.1f} times the parameters", more, at_most=bound)
    rows.finish(options.json)


if __name__ == "__main__":
    main()
