"""`keras_ste.benchmark`: what a file takes on this machine, op by op, with XNNPACK beside it."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import os
import platform
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from keras_ste.benchmarking.models import alone, builtin_twin
from keras_ste.benchmarking.rates import Rates
from keras_ste.benchmarking.running import invoker
from keras_ste.benchmarking.stopwatch import median_seconds
from keras_ste.converter.graph import STE_OPS, Op
from keras_ste.converter.report import Report, quantizer_bits
from keras_ste.converter.rows import Row, op_row
from keras_ste.inspection import metadata_of, model_bytes, read_checked
from keras_ste.tables import table_lines


@dataclasses.dataclass(frozen=True)
class OpTime:
    """What an op takes by itself, as a model of its own. Microseconds, None where it is not known.

    Attributes:
      row: the op.
      measured_us: in the interpreter.
      predicted_us: from its multiply-adds or bytes, at the rates of reference ops on this machine.
      int8_us: TFLite's int8 op of the same shape in XNNPACK, timed alternately; of packed products.
      reason: why it could not be timed.
    """

    row: Row
    measured_us: float | None = None
    predicted_us: float | None = None
    int8_us: float | None = None
    reason: str | None = None


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """What a model takes.

    Attributes:
      model_us: median microseconds of one run of the whole model, with a batch of one or the file's own.
      peer_us: the same of the peer, timed alternately; None where there is none.
      ops: each op by itself, in running order.
      machine: where that was, and how.
    """

    model_us: float
    peer_us: float | None
    ops: tuple[OpTime, ...]
    machine: str
    file_bytes: int

    def report(self) -> Report:
        """A report of the file with these times, for a browser: `benchmark(...).report().save("report.html")`."""
        return Report(tuple(op.row for op in self.ops), self.file_bytes).with_times(self)

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain Python values."""
        return dataclasses.asdict(self)

    def to_json(self, **options: Any) -> str:
        """`to_dict()` as JSON; options are those of `json.dumps`."""
        return json.dumps(self.to_dict(), **options)

    def __str__(self) -> str:
        header = ("op", "layer", "width", "MACs", "µs", "predicted", "XNNPACK int8", "times as fast")
        lines = table_lines([header, *(_cells(op) for op in self.ops)], right=range(3, len(header)))
        measured = [op.measured_us for op in self.ops if op.measured_us is not None]
        lines.append(f"whole model: {self.model_us:,.1f} µs; its ops alone: {sum(measured):,.1f} µs")
        if self.peer_us is not None:
            lines.append(f"peer: {self.peer_us:,.1f} µs, {self.peer_us / self.model_us:.2f} times as long")
        lines += [f"{op.row.op}: not timed, {op.reason}" for op in self.ops if op.reason]
        return "\n".join([*lines, self.machine])


def _cells(op: OpTime) -> tuple[str, ...]:
    def time(value: float | None) -> str:
        return "unknown" if value is None else f"{value:,.1f}"

    twin = "" if op.row.op not in STE_OPS or not op.row.macs else time(op.int8_us)
    known = op.int8_us is not None and op.measured_us is not None
    return (
        op.row.op,
        op.row.layer or "",
        op.row.mac_width,
        f"{op.row.macs:,}" if op.row.macs else "",
        time(op.measured_us),
        time(op.predicted_us),
        twin,
        f"{op.int8_us / op.measured_us:.2f}" if known else "",
    )


def benchmark(
    model: str | os.PathLike | bytes,
    *,
    peer: str | os.PathLike | bytes | None = None,
    num_threads: int = 1,
    rounds: int = 11,
    progress: Callable[[Sequence[Op]], Iterable[Op]] = iter,
) -> Benchmark:
    """Times a `.tflite` file in `keras_ste.Interpreter`, where XNNPACK runs TFLite's own ops, and each op by itself.

    Args:
      model: the file's path, or its bytes.
      peer: another file to time alternately, an int8 twin for example.
      num_threads: number of threads.
      rounds: each time is the median of so many.
      progress: is given the list of ops to be timed, and goes through it.

    Returns:
      A `Benchmark`. Sizes that are known only at run time are taken as 1.

    Raises:
      FileNotFoundError, ValueError: as of `keras_ste.inspect`.
      RuntimeError: the interpreter refuses the model.

    Example:
      >>> import keras, keras_ste
      >>> layer = keras_ste.QuantDense(64, input_quantizer="ste_sign", kernel_quantizer="ste_sign")
      >>> content = keras_ste.convert(keras.Sequential([keras.Input((64,)), layer])).model_content
      >>> found = keras_ste.benchmark(content, rounds=1)
      >>> [op.row.op for op in found.ops], found.model_us > 0
      (['SteQuantize', 'SteFullyConnected'], True)
    """
    content = model_bytes(model)
    graph = read_checked(content)
    runs = [invoker(content, num_threads)]
    if peer is not None:
        other = model_bytes(peer)
        read_checked(other)
        runs.append(invoker(other, num_threads))
    whole = [1e6 * seconds for seconds in median_seconds(runs, rounds)]
    metadata = metadata_of(graph)
    bits = quantizer_bits(metadata["layers"]) if metadata else {}
    rates = Rates(num_threads)
    ops = [
        _time(op, op_row(graph.graphs[0], op, bits.get(op.layer)), rates, num_threads, rounds)
        for op in progress(graph.graphs[0].ops)
    ]
    peer_us = whole[1] if peer is not None else None
    return Benchmark(whole[0], peer_us, tuple(ops), _machine(num_threads, rounds), len(content))


def _time(op: Op, row: Row, rates: Rates, num_threads: int, rounds: int) -> OpTime:
    content = alone(op)
    if content is None:
        return OpTime(row, reason="it has no input")
    twin = builtin_twin(op, int8=True)
    try:
        runs = [invoker(each, num_threads) for each in (content, twin) if each is not None]
        seconds = median_seconds(runs, rounds, seconds_per_round=0.004)
    except (RuntimeError, ValueError) as error:
        return OpTime(row, reason=str(error).splitlines()[0])
    predicted = rates.predict(op, row)
    return OpTime(
        row,
        measured_us=1e6 * seconds[0],
        predicted_us=None if predicted is None else 1e6 * predicted,
        int8_us=1e6 * seconds[1] if twin is not None else None,
    )


def _machine(num_threads: int, rounds: int) -> str:
    threads = "1 thread" if num_threads == 1 else f"{num_threads} threads"
    return (
        f"{_processor()}, ai-edge-litert {importlib.metadata.version('ai-edge-litert')} with XNNPACK, {threads}, "
        f"medians of {rounds} rounds; predictions are multiply-adds or bytes at the rates of reference ops timed in the "
        "same run"
    )


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    except FileNotFoundError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()
