"""How long a converted model and each of its ops take on this machine."""

from keras_ste.benchmarking.benchmark import Benchmark, OpTime, benchmark

__all__ = ["Benchmark", "OpTime", "benchmark"]
