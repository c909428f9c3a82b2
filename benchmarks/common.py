"""What every benchmark shares: alternating timing, rows with bounds, machine and versions."""

import argparse
import importlib.metadata
import json
import os
import platform
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def argument_parser(description):
    """The options that all benchmarks take."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="fewer repetitions, for a first look")
    parser.add_argument("--json", metavar="PATH", help="also write the rows to this file")
    return parser


def processor():
    """The processor's name and the instruction sets that matter here."""
    if not os.path.exists("/proc/cpuinfo"):
        return platform.processor()
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        fields = dict(line.split(":", 1) for line in f if ":" in line)
    fields = {key.strip(): value.strip() for key, value in fields.items()}
    flags = set(fields.get("flags", "").split())
    known = [flag for flag in ("avx2", "avx_vnni", "avx512bw", "avx512_vnni", "avx512_vpopcntdq") if flag in flags]
    return f"{fields.get('model name', platform.processor())} ({', '.join(known)})"


def print_header(packages=("keras_ste", "tensorflow", "ai-edge-litert", "numpy")):
    """Prints the machine and the versions that the figures below belong to."""
    print(f"{platform.platform()}, {processor()}, {os.cpu_count()} cores")
    versions = []
    for package in packages:
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            versions.append(f"{package} (not installed)")
    print(f"Python {platform.python_version()}, " + ", ".join(versions))


def time_in_turn(functions, rounds, seconds_per_round=0.02):
    """Median seconds of one call of each function, measured in alternating rounds."""
    return [statistics.median(values) for values in rounds_in_turn(functions, rounds, seconds_per_round)]


def rounds_in_turn(functions, rounds, seconds_per_round=0.02):
    """Seconds of one call of each function in each of some alternating rounds.

    A round calls a function as often as fits into `seconds_per_round`; alternating lets all of them see the
    same changes of the machine's speed.
    """
    repeats = []
    for function in functions:
        function()
        start = time.perf_counter()
        function()
        once = max(time.perf_counter() - start, 1e-7)
        repeats.append(max(1, int(seconds_per_round / once)))
    seconds = [[] for _ in functions]
    for _ in range(rounds):
        for index, function in enumerate(functions):
            start = time.perf_counter()
            for _ in range(repeats[index]):
                function()
            seconds[index].append((time.perf_counter() - start) / repeats[index])
    return seconds


class Rows:
    """Collects figures with the bounds they should meet, prints each and writes them as JSON."""

    def __init__(self):
        self.rows = []

    def add(self, case, metric, value, at_least=None, at_most=None):
        self.rows.append(
            {"case": case, "metric": metric, "value": value, "at_least": at_least, "at_most": at_most}
        )

    def missed(self):
        return [
            row
            for row in self.rows
            # Asked this way round, so that a NaN misses its bound.
            if not (row["at_least"] is None or row["value"] >= row["at_least"])
            or not (row["at_most"] is None or row["value"] <= row["at_most"])
        ]

    def finish(self, path=None):
        """Says which bounds were missed, and writes the rows."""
        bounded = [r for r in self.rows if r["at_least"] is not None or r["at_most"] is not None]
        missed = self.missed()
        print(f"{len(bounded) - len(missed)} of {len(bounded)} bounds met")
        for row in missed:
            bound = f"at least {row['at_least']}" if row["at_least"] is not None else f"at most {row['at_most']}"
            print(f"MISSED: {row['case']}: {row['metric']} = {row['value']:.4g}, expected {bound}")
        if path:
            with open(path, "w", encoding="utf-8") as f:
                json.dump(self.rows, f, indent=1)
                f.write("\n")
