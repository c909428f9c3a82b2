"""Times a training step of each quantized layer against the same step of its float Keras layer.

    python benchmarks/training.py [--quick] [--json PATH]

Graph mode, Adam, mean squared error; the steps alternate, and the figure is the median of the ratios of neighbouring rounds.
Where qkeras-v3 is installed (pip install qkeras-v3), its layer is timed against the same float layer too. Larq, which needs
Keras 2, is timed in its own environment (python benchmarks/peers/environments.py larq) against the float layer there, its rounds
alternating with ours.
"""

import functools
import importlib.util
import statistics

import common
import keras
import steps
from peers import worker

import keras_ste
from keras_ste.blocks import bitnet_block

BLOCK = {"heads": 4, "hidden": 768}
BLOCK_INPUT = (16, 128, 256)
FLOAT = {"kernel_quantizer": None, "input_quantizer": None}
REPEATS = 3


def quantizer(name, **arguments):
    return {"class_name": name, "config": arguments}


def quantized_dense(kernel, inputs=None):
    return lambda: keras_ste.QuantDense(**steps.DENSE, kernel_quantizer=kernel, input_quantizer=inputs)


def float_dense():
    return keras.layers.Dense(**steps.DENSE)


def behind_a_bias(make):
    """The layer behind a learned shift of its inputs.

    A learned step of the inputs needs their gradient, which the layer computes anyway wherever there is another before it; but a
    float layer that comes first does without. Behind the same shift, whose own time is small, both need it.
    """
    return lambda: keras.Sequential([keras_ste.LearnableBias(), make()])


UNIFORM, LSQ = quantizer("UniformQuantizer", bits=4), quantizer("Lsq", bits=4)

# case, shape of a batch, quantized layer or block, float layer or block, at most
CASES = [
    (
        "Conv2D 3x3x128, W1A1",
        steps.CONV_INPUT,
        lambda: keras_ste.QuantConv2D(**steps.CONV, input_quantizer="ste_sign", kernel_quantizer="ste_sign"),
        lambda: keras.layers.Conv2D(**steps.CONV),
        1.05,
    ),
    ("Dense 1024, W1A1", steps.DENSE_INPUT, quantized_dense("ste_sign", "ste_sign"), float_dense, 1.10),
    ("Dense 1024, ternary weights", steps.DENSE_INPUT, quantized_dense("ste_tern"), float_dense, None),
    ("Dense 1024, W4A4 uniform", steps.DENSE_INPUT, quantized_dense(UNIFORM, UNIFORM), float_dense, 1.20),
    (
        "Dense 1024, W4A4 DoReFa",
        steps.DENSE_INPUT,
        quantized_dense("dorefa_weight", "dorefa_activation"),
        float_dense,
        None,
    ),
    (
        "Dense 1024, W4A4 LSQ",
        steps.DENSE_INPUT,
        behind_a_bias(quantized_dense(LSQ, LSQ)),
        behind_a_bias(float_dense),
        1.25,
    ),
    ("Dense 1024, W4A4 LSQ, first", steps.DENSE_INPUT, quantized_dense(LSQ, LSQ), float_dense, None),
    (
        "BitNet block, d=256",
        BLOCK_INPUT,
        lambda: functools.partial(bitnet_block, **BLOCK),
        lambda: functools.partial(bitnet_block, **BLOCK, **FLOAT),
        1.25,
    ),
]


def qkeras_cases():
    """qkeras-v3's layers for the cases above, or nothing where it is not installed."""
    if importlib.util.find_spec("qkeras") is None:
        print("WITHOUT qkeras-v3, which is not installed: pip install qkeras-v3")
        return {}
    import qkeras

    def both(cls, arguments, quantizer):
        return lambda: keras.Sequential([qkeras.QActivation(quantizer), cls(kernel_quantizer=quantizer, **arguments)])

    return {
        "Conv2D 3x3x128, W1A1": both(qkeras.QConv2D, steps.CONV, "binary(alpha=1)"),
        "Dense 1024, W1A1": both(qkeras.QDense, steps.DENSE, "binary(alpha=1)"),
        "Dense 1024, ternary weights": lambda: qkeras.QDense(
            kernel_quantizer="ternary(alpha=1, threshold=0.05)", **steps.DENSE
        ),
        "Dense 1024, W4A4 uniform": both(qkeras.QDense, steps.DENSE, "quantized_bits(4, 0, alpha=1)"),
    }


def measure(pairs, rounds):
    """Runs pairs of steps in turn.

    Args:
        pairs: by name, a function of `reference_first` that returns the seconds of a step and of its float reference.
        rounds: how often each is run; the order of a pair changes every time.

    Returns:
        By name: the median over the rounds of the ratio, and the median seconds of each of the two.
    """
    times = {name: [] for name in pairs}
    for i in range(rounds):
        for name, pair in pairs.items():
            times[name].append(pair(bool(i % 2)))
    return {
        name: (
            statistics.median(a / b for a, b in values),
            statistics.median(a for a, _ in values),
            statistics.median(b for _, b in values),
        )
        for name, values in times.items()
    }


def pair_of_steps(run, reference):
    """For `measure`: two compiled steps, warmed."""
    for step in (run, reference):
        step()
        step()
    return lambda first: steps.seconds_of_both(run, reference, REPEATS, first)


def larq_pair(larq, case):
    """For `measure`: the two steps in Larq's environment, warmed."""
    larq.ask(task="step", case=case, repeats=1)
    return lambda first: larq.ask(task="step", case=case, repeats=REPEATS, reference_first=first)


def pairs_of(case, shape, quantized, plain, qkeras_layers, larq, larq_cases):
    """Our layer and those of the peers that have it, each beside its float layer."""
    reference, _ = steps.training_step(keras, plain(), shape)
    pairs = {"keras_ste": pair_of_steps(steps.training_step(keras, quantized(), shape)[0], reference)}
    if case in qkeras_layers:
        pairs["qkeras-v3"] = pair_of_steps(steps.training_step(keras, qkeras_layers[case](), shape)[0], reference)
    if case in larq_cases:
        pairs["Larq"] = larq_pair(larq, case)
    return pairs


def main():
    options = common.argument_parser(__doc__.split("\n")[0]).parse_args()
    common.print_header(("keras_ste", "tensorflow", "keras", "qkeras-v3", "numpy"))
    rows = common.Rows()
    qkeras_layers = qkeras_cases()
    larq = worker.find("larq")
    larq_cases = larq.ask(task="cases") if larq else []
    rounds = 7 if options.quick else 75
    peers = ("qkeras-v3", "Larq")
    print(f"{'case':<28}{'ms':>10}{'float ms':>10}{'ratio':>8}" + "".join(f"{peer:>11}" for peer in peers))
    for case, shape, quantized, plain, bound in CASES:
        results = measure(pairs_of(case, shape, quantized, plain, qkeras_layers, larq, larq_cases), rounds)
        own, mine, reference = results["keras_ste"]
        rows.add(case, "step ms", 1e3 * mine)
        rows.add(case, "float step ms", 1e3 * reference)
        rows.add(case, "step / float step", own, at_most=bound)
        for peer in peers:
            if peer in results:
                rows.add(case, f"{peer} step / float step", results[peer][0])
                rows.add(case, f"own ratio / {peer}'s", own / results[peer][0], at_most=1.0)
        texts = (f"{results[peer][0]:.3f}" if peer in results else "-" for peer in peers)
        print(f"{case:<28}{1e3 * mine:>10.1f}{1e3 * reference:>10.1f}{own:>8.3f}" + "".join(f"{t:>11}" for t in texts))
    if larq:
        larq.close()
    rows.finish(options.json)


if __name__ == "__main__":
    main()
