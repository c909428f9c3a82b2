"""Runs model files in LiteRT with the delegate, without TensorFlow, which is slow under a sanitizer.

    run_models.py LIBRARY FOLDER

Every model of the folder is run with random inputs, on 1 and 3 threads, at the file's shape and with one row more; an
error that is no refusal ends the program. Prints how many models ran and how many were refused.
"""

import pathlib
import sys

import numpy as np
from ai_edge_litert.interpreter import Interpreter, load_delegate


TABLE_ROWS = 9  # as in bad_models.py, which this program has no time to import


def feed(interpreter):
    rng = np.random.default_rng(0)
    for detail in interpreter.get_input_details():
        noise = rng.bytes(int(np.prod(detail["shape"])) * np.dtype(detail["dtype"]).itemsize)
        value = np.frombuffer(noise, detail["dtype"]).reshape(detail["shape"])
        # The only values that are refused: what is no row of the tables.
        interpreter.set_tensor(detail["index"], value % TABLE_ROWS if detail["name"] == "indices" else value)


def run(path, library, threads):
    """Returns whether the model was taken."""
    try:
        interpreter = Interpreter(
            model_content=path.read_bytes(), num_threads=threads, experimental_delegates=[load_delegate(library)]
        )
        interpreter.allocate_tensors()
    except (RuntimeError, ValueError):
        return False
    for more in (0, 1):
        for detail in interpreter.get_input_details():
            shape = detail["shape"]
            interpreter.resize_tensor_input(detail["index"], [shape[0] + more, *shape[1:]])
        interpreter.allocate_tensors()
        feed(interpreter)
        interpreter.invoke()
        interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    return True


def main(library, folder):
    paths = sorted(pathlib.Path(folder).iterdir())
    taken = [run(path, library, threads) for path in paths for threads in (1, 3)]
    print(f"{sum(taken) // 2} models ran, {(len(taken) - sum(taken)) // 2} were refused")


if __name__ == "__main__":
    main(*sys.argv[1:])
