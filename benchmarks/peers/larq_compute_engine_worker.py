"""Runs in Larq Compute Engine's own environment: times models that a benchmark has written."""

import json
import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.append(str(pathlib.Path(__file__).parents[1]))

import common
import larq_compute_engine
import numpy as np


class Models:
    """The interpreters of the models, each made once. The engine's interpreter copies its input and its output."""

    def __init__(self):
        self.made = {}

    def run(self, model, indirect, inputs):
        if (model, indirect) not in self.made:
            content = pathlib.Path(model).read_bytes()
            made = larq_compute_engine.testing.Interpreter(content, num_threads=1, use_indirect_bgemm=indirect)
            self.made[model, indirect] = made.interpreter
        return self.made[model, indirect].predict([inputs])[0]

    def output(self, model, indirect, inputs, outputs):
        """Writes what the model makes of an array into a file."""
        np.save(outputs, self.run(model, indirect, np.load(inputs)))

    def seconds(self, model, indirect, inputs):
        """Of one call."""
        values = np.load(inputs)
        return common.time_in_turn([lambda: self.run(model, indirect, values)], rounds=1)[0]


def version():
    return larq_compute_engine.__version__


def main():
    answers, sys.stdout = sys.stdout, sys.stderr
    models = Models()
    for line in sys.stdin:
        request = json.loads(line)
        task = {"version": version, "output": models.output, "seconds": models.seconds}[request.pop("task")]
        answers.write(json.dumps(task(**request)) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
