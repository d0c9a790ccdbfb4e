"""The compiled code keeps to its instruction set, and builds and computes on another processor."""

import platform
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest

import fastnn.kernels

ROOT = Path(__file__).parent.parent
KERNELS = ROOT / "kernels"
PRODUCTS = ROOT / "tests" / "native" / "products.c"
AARCH64_COMPILER = "aarch64-linux-gnu-gcc"
FLAGS = ["-O2", "-std=gnu11", "-ffp-contract=fast", "-Wno-psabi", f"-I{KERNELS}"]


def need(*programs):
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"{program} isn't installed")


def run(*command):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.skipif(platform.machine() != "x86_64", reason="levels are those of x86-64")
@pytest.mark.parametrize(
    ("module", "has_avx", "has_avx512"),
    [("x86_64_v2", False, False), ("x86_64_v3", True, False), ("x86_64_v4", True, True)],
)
def test_a_level_has_no_instruction_beyond_it(module, has_avx, has_avx512):
    need("objdump")
    (library,) = Path(fastnn.kernels.__file__).parent.glob(f"{module}.*.so")
    listing = run("objdump", "-d", "--no-show-raw-insn", library)
    assert bool(re.search(r"%ymm|\tv[a-z0-9]+ .*%xmm", listing)) == has_avx
    assert ("%zmm" in listing) == has_avx512


def test_only_one_file_names_intrinsics():
    sources = [path for path in KERNELS.iterdir() if path.suffix in (".h", ".pxi", ".pyx")]
    naming = {path.name for path in sources if re.search(r"_mm\d*_|immintrin", path.read_text())}
    assert naming == {"simd.h"}


def test_products_on_aarch64(tmp_path):
    need(AARCH64_COMPILER, "qemu-aarch64")
    program = tmp_path / "products"
    run(AARCH64_COMPILER, "-static", *FLAGS, PRODUCTS, "-o", program, "-lpthread")
    assert int(run("qemu-aarch64", program)) > 8000


def test_the_portable_module_compiles_for_aarch64(tmp_path):
    need(AARCH64_COMPILER)
    source = tmp_path / "portable.c"
    pytest.importorskip("Cython", reason="Cython isn't installed")
    run(sys.executable, "-m", "cython", "-3", "-X", "cdivision=True", KERNELS / "portable.pyx", "-o", source)
    # Python's headers of this machine do: both are 64-bit and little-endian, and nothing is linked or run.
    include = [f"-I{np.get_include()}", f"-I{sysconfig.get_paths()['include']}"]
    run(
        AARCH64_COMPILER,
        "-c",
        *FLAGS,
        "-O1",
        "-fopenmp",
        "-fPIC",
        *include,
        source,
        "-o",
        tmp_path / "portable.o",
    )
