"""Build the one extension module; everything else is in pyproject.toml."""

import sys
import sysconfig
from pathlib import Path

from setuptools import Extension, setup

# One wheel serves every Python from 3.11 on, but for free-threaded builds, which have no stable ABI yet.
limited_api = sys.implementation.name == "cpython" and not sysconfig.get_config_var("Py_GIL_DISABLED")

if sys.platform == "win32":
    compile_args = ["/O2", "/std:c11", "/experimental:c11atomics", "/fp:precise"]
    link_args = []
else:
    compile_args = [
        "-std=gnu11",
        "-O3",
        "-ffp-contract=off",  # a contraction would round once where another machine rounds twice
        "-fno-fast-math",
        "-fno-math-errno",  # sqrt stays one vector instruction
        "-fno-trapping-math",  # selects become blends
        "-fschedule-insns",  # gcc: interleave the long chains of the transforms; 10 % of a float64 normal
        "-fsched-pressure",
        "-fvisibility=hidden",
        "-pthread",
        "-Wno-psabi",  # vectors are passed between inlined functions only
    ]
    link_args = ["-pthread", "-lm"]

setup(
    ext_modules=[
        Extension(
            "fastinit._kernels",
            sources=["fastinit/_kernels.pyx", "src_c/isa.c", "src_c/part.c", "src_c/parallel.c", "src_c/memory.c"],
            depends=sorted(p.as_posix() for p in Path("src_c").iterdir()),
            include_dirs=["src_c"],
            define_macros=[("Py_LIMITED_API", "0x030B0000"), ("CYTHON_LIMITED_API", "1")] if limited_api else [],
            py_limited_api=limited_api,
            extra_compile_args=compile_args,
            extra_link_args=link_args,
        )
    ],
    options={
        "bdist_wheel": {"py_limited_api": "cp311"} if limited_api else {},
        "build_ext": {"cython_c_in_temp": True},
    },
)
