"""Builds the native library with CMake and puts it into the wheel (or, with `pip install -e`, into the source tree).

Everything else about the package is in pyproject.toml.
"""

import os
import shutil
import subprocess
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).parent.resolve()
LIBRARY_DIR = Path("keras_ste", "runtime", "lib")
TARGETS = ("keras_ste", "keras_ste_micro")


class CMakeBuild(build_ext):
    """Runs CMake; the libraries are loaded at run time and are not Python modules."""

    def run(self):
        build = Path(self.build_temp).resolve()
        target = (ROOT if self.inplace else Path(self.build_lib).resolve()) / LIBRARY_DIR
        target.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            [
                "cmake", "-S", str(ROOT), "-B", str(build), "-G", "Ninja",
                "-DCMAKE_BUILD_TYPE=Release",
                f"-DCMAKE_LIBRARY_OUTPUT_DIRECTORY={target}",
                # pip has Ninja in another temporary folder each time, and CMake would remember the first.
                f"-DCMAKE_MAKE_PROGRAM={shutil.which('ninja') or 'ninja'}",
                *os.environ.get("KERAS_STE_CMAKE_ARGS", "").split(),
            ],
            check=True,
        )
        subprocess.run(["cmake", "--build", str(build), "--target", *TARGETS], check=True)

    def get_outputs(self):
        return [str(Path(self.build_lib) / LIBRARY_DIR / f"lib{name}.so") for name in TARGETS]

    def get_output_mapping(self):
        return {}


class PlatformWheel(bdist_wheel):
    """The library depends on the platform, but on no Python version."""

    def get_tag(self):
        return "py3", "none", super().get_tag()[2]


setup(
    ext_modules=[Extension("keras_ste.native", sources=[])],
    cmdclass={"build_ext": CMakeBuild, "bdist_wheel": PlatformWheel},
)
