"""Times one binary convolution inside our interpreter and inside Larq Compute Engine's, in its own environment.

    python benchmarks/peers/environments.py larq_compute_engine
    python benchmarks/compute_engine.py [--quick] [--json PATH]

Both compute the same: packed signs in and out, the same weights and thresholds, ones outside of the image; that their outputs
are equal is checked. One thread, medians of alternating rounds, microseconds. Of the engine's two ways of multiplying the faster
one counts; its authors optimized it for 64-bit ARM, and on x86-64 it runs its portable kernels.
"""

import pathlib
import statistics
import sys
import tempfile

import common
import conv
import numpy as np
from peers import worker

import keras_ste

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "tests"))
import single_op  # noqa: E402

PEER = "larq_compute_engine"
RATIO = 8.0
INTERPRETERS = {"BGEMM": False, "indirect BGEMM": True}


class Convolution:
    """The same convolution for both: its images, weights and thresholds."""

    def __init__(self, image, channels):
        rng = np.random.default_rng(0)
        self.channels = channels
        self.shape = (1, image, image, channels // 32)
        self.images = random_bits(rng, self.shape)
        self.weights = random_bits(rng, (channels, 3, 3, channels // 32))
        self.thresholds = rng.integers(-30, 30, channels).astype(np.int32)

    def ours(self):
        options = {
            "version": 1, "channels": self.channels, "filters": self.channels, "kernel_h": 3, "kernel_w": 3, "stride_h": 1,
            "stride_w": 1, "dilation_h": 1, "dilation_w": 1, "groups": 1, "padding": "same", "pad_value": 1,
            "output": "packed",
        }
        inputs = [self.input(), single_op.Tensor.constant("filter", self.weights), None, None,
                  single_op.Tensor.constant("thresholds", self.thresholds)]
        return single_op.single_op_model("SteConv2D", options, inputs, self.output())

    def theirs(self):
        """There a set bit is -1, and a bit of the output is set where more than so many products are -1."""
        options = {
            "channels_in": self.channels, "dilation_height_factor": 1, "dilation_width_factor": 1,
            "fused_activation_function": 0, "pad_values": 1, "padding": 0, "stride_height": 1, "stride_width": 1,
        }
        thresholds = (9 * self.channels - self.thresholds) // 2
        inputs = [self.input(), single_op.Tensor.constant("filter", ~self.weights), None, None,
                  single_op.Tensor.constant("thresholds", thresholds.astype(np.int32))]
        return single_op.single_op_model("LceBconv2d", options, inputs, self.output())

    def input(self):
        return single_op.Tensor("input", self.shape, np.int32)

    def output(self):
        return single_op.Tensor("output", self.shape, np.int32)


def random_bits(rng, shape):
    return rng.integers(-(2**31), 2**31, shape).astype(np.int32)


def compare(case, convolution, engine, folder, rounds, rows):
    """One line of the table."""
    ours = keras_ste.Interpreter(model_content=convolution.ours(), num_threads=1)
    ours.allocate_tensors()
    ours.set_tensor(ours.get_input_details()[0]["index"], convolution.images)
    ours.invoke()
    expected = ours.get_tensor(ours.get_output_details()[0]["index"])

    model, inputs, outputs = (str(folder / f"{case}.{kind}") for kind in ("tflite", "in.npy", "out.npy"))
    pathlib.Path(model).write_bytes(convolution.theirs())
    np.save(inputs, ~convolution.images)
    for indirect in INTERPRETERS.values():
        engine.ask(task="output", model=model, indirect=indirect, inputs=inputs, outputs=outputs)
        if not np.array_equal(~np.load(outputs), expected):
            raise RuntimeError(f"{case}: the two do not compute the same")

    seconds = {"ours": [], **{name: [] for name in INTERPRETERS}}
    for _ in range(rounds):
        seconds["ours"] += common.time_in_turn([ours.invoke], rounds=1)
        for name, indirect in INTERPRETERS.items():
            seconds[name].append(engine.ask(task="seconds", model=model, indirect=indirect, inputs=inputs))
    times = {name: 1e6 * statistics.median(values) for name, values in seconds.items()}
    ratio = min(times[name] for name in INTERPRETERS) / times["ours"]
    print(f"{case:<22}" + "".join(f"{time:>16.1f}" for time in times.values()) + f"{ratio:>16.2f}")
    for name, time in times.items():
        rows.add(case, f"{name} us", time)
    rows.add(case, "engine / ours", ratio, at_least=RATIO)


def main():
    options = common.argument_parser(__doc__.split("\n")[0]).parse_args()
    common.print_header()
    rows = common.Rows()
    engine = worker.find(PEER)
    if engine is not None:
        print(f"Larq Compute Engine {engine.ask(task='version')}")
        print(f"{'case':<22}{'ours':>16}" + "".join(f"{name:>16}" for name in INTERPRETERS) + f"{'engine / ours':>16}")
        with tempfile.TemporaryDirectory() as folder:
            for image, channels in conv.CONVOLUTIONS:
                case = f"conv 3x3 {image}x{image}x{channels}"
                compare(case, Convolution(image, channels), engine, pathlib.Path(folder), 3 if options.quick else 15, rows)
        engine.close()
    rows.finish(options.json)


if __name__ == "__main__":
    main()
