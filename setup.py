"""Builds the compiled kernels: one extension module an instruction-set level, all of the same sources."""

from __future__ import annotations

import platform
import sys
from glob import glob

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup

# No -march=native (a build must run elsewhere) and no -ffast-math (it breaks NaN, and at link time it flushes
# subnormals for the whole process): only the flags that let loops become vectors and a * b + c one operation.
COMPILE_ARGS = [
    "-O3",
    "-g0",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-ffp-contract=fast",
    "-fopenmp",
    "-Wno-unused-function",
]
LEVELS = {
    "x86_64_v2": ["-march=x86-64-v2"],
    "x86_64_v3": ["-march=x86-64-v3"],
    "x86_64_v4": ["-march=x86-64-v4", "-mprefer-vector-width=512"],
}
if platform.machine() not in ("x86_64", "AMD64"):
    LEVELS = {"portable": []}
# Edits of these rebuild every level: neither setuptools nor Cython follows C headers by itself.
DEPENDS = [*glob("kernels/*.h"), *glob("kernels/*.pxi")]


def _extension(name: str, args: list[str]) -> Extension:
    return Extension(
        f"fastnn.kernels.{name}",
        [f"kernels/{name}.pyx"],
        include_dirs=[numpy.get_include(), "kernels"],
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION")],
        extra_compile_args=[*COMPILE_ARGS, *args],
        extra_link_args=["-fopenmp"] if sys.platform.startswith("linux") else [],
        depends=DEPENDS,
    )


setup(
    ext_modules=cythonize(
        [_extension("cpu", []), *(_extension(name, args) for name, args in LEVELS.items())],
        build_dir="build/cython",
        compiler_directives={
            "language_level": 3,
            "boundscheck": False,
            "wraparound": False,
            "cdivision": True,
            "initializedcheck": False,
            "embedsignature": True,
        },
    ),
    options={"build_ext": {"parallel": 4}},
)
