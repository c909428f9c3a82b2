"""Building the native code the way a test needs it."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]


def find_tool(name, install):
    """The path of a program, beside this Python or on the PATH; the test is skipped where there is none."""
    beside = pathlib.Path(sys.executable).parent
    found = shutil.which(name, path=os.pathsep.join([str(beside), os.environ.get("PATH", os.defpath)]))
    if found is None:
        pytest.skip(f"{name} is missing, so this is not tested here: {install}")
    return found


def build(folder, targets, *definitions):
    """Builds CMake targets in a folder, and fails at the first warning; returns the folder that holds the library.

    Args:
        folder: a folder for the build.
        targets: names of CMake targets.
        *definitions: `NAME=value` for CMake.
    """
    install = 'pip install cmake ninja, or pip install -e ".[test]"'
    cmake, ninja = find_tool("cmake", install), find_tool("ninja", install)
    defined = [f"CMAKE_MAKE_PROGRAM={ninja}", "KERAS_STE_TESTS=ON", "KERAS_STE_WERROR=ON", *definitions]
    run(cmake, "-S", ROOT, "-B", folder, "-G", "Ninja", *(f"-D{definition}" for definition in defined))
    output = run(cmake, "--build", folder, "--parallel", str(os.cpu_count()), "--target", *targets)
    assert "warning" not in output, output
    return pathlib.Path(folder, "tflite_ops")


def run(*command):
    """Runs a command that has to succeed, and returns all it printed."""
    done = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}"
    return done.stdout
