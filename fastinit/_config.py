"""What this process may use: how many threads, and which instructions; `show_config` tells."""

from __future__ import annotations

import functools
import math
import os
import platform
from pathlib import Path
from typing import Any

import numpy as np

from . import _checks, _kernels

#: The version of the stream that all values come from.
STREAM_VERSION = 1


def _choose_isa() -> str:
    """FASTINIT_ISA, else the fastest instruction set that was built and that this machine has."""
    own = os.environ.get("FASTINIT_ISA")
    if own is None:
        return _kernels.AVAILABLE_ISAS[-1]
    if own in _kernels.BUILT_ISAS and own not in _kernels.AVAILABLE_ISAS:
        available = ", ".join(_kernels.AVAILABLE_ISAS)
        raise ValueError(f"FASTINIT_ISA must be one that this processor has, {available}; got {own!r}")
    return _checks.choice("FASTINIT_ISA", own, _kernels.AVAILABLE_ISAS)


_kernels.choose(_choose_isa())


def default_threads() -> int:
    """FASTINIT_NUM_THREADS, else OMP_NUM_THREADS, else the processors that this process may use."""
    own = os.environ.get("FASTINIT_NUM_THREADS")
    if own is not None:
        try:
            return _checks.integer("FASTINIT_NUM_THREADS", int(own), least=1)
        except ValueError:
            raise ValueError(f"FASTINIT_NUM_THREADS must be a positive integer; got {own!r}") from None
    # OpenMP's may hold a list, one number a nesting level; what it does not understand, it ignores.
    first = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if first.isdecimal() and int(first) > 0:
        return int(first)
    return usable_processors()


def usable_processors() -> int:
    """The processors in this process's affinity mask, or fewer where its control group has a quota."""
    quota = cgroup_quota()
    return affinity() if quota is None else max(1, min(affinity(), math.ceil(quota)))


def affinity() -> int:
    """The processors in this process's affinity mask, or all where there is no such thing."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@functools.cache
def cgroup_quota(proc: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")) -> float | None:
    """The processors' worth of time that Linux control groups (version 2 or 1) allow this process, if limited."""
    try:
        entries = [line.split(":", 2) for line in proc.read_text().splitlines()]
    except OSError:
        return None
    quotas = []
    files: tuple[str, ...]
    for _, controllers, path in entries:
        if controllers == "":  # version 2, which has one hierarchy
            top, files = root, ("cpu.max",)
        elif "cpu" in controllers.split(","):
            top, files = root / "cpu", ("cpu.cfs_quota_us", "cpu.cfs_period_us")
        else:
            continue
        for folder in (top / path.lstrip("/"), *(top / path.lstrip("/")).parents):  # a limit at any level counts
            quotas.append(_read_quota(*(folder / file for file in files)))
            if folder == top:
                break
    return min((q for q in quotas if q is not None), default=None)


def _read_quota(*files: Path) -> float | None:
    """Quota over period from one file that holds both, or from two; None where there is no limit."""
    try:
        quota, period = " ".join(file.read_text() for file in files).split()
        return int(quota) / int(period) if int(quota) > 0 else None
    except (OSError, ValueError, ZeroDivisionError):
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def show_config(mode: str = "print") -> dict[str, Any] | None:
    """Tell what was built, what this machine has, and what is chosen.

    Parameters
    ----------
    mode : {"print", "dict"}
        "print" writes it to standard output; "dict" returns it.

    Returns
    -------
    dict or None
        ``["isa"]["built"]``, ``["available"]`` and ``["chosen"]`` are instruction sets, the slowest first; the
        environment variable FASTINIT_ISA chooses another when fastinit is imported. ``["threads"]["default"]`` is how
        many a large fill uses; the rest of ``["threads"]`` is why.

    Raises
    ------
    TypeError, ValueError
        If `mode` is not one of these, or FASTINIT_NUM_THREADS is not a positive integer.

    Examples
    --------
    >>> import fastinit as fi
    >>> "generic" in fi.show_config("dict")["isa"]["available"]
    True
    """
    from importlib import metadata  # slow to import

    _checks.choice("mode", mode, ("print", "dict"))
    config: dict[str, dict[str, Any]] = {
        "versions": {
            "fastinit": metadata.version("fastinit"),
            "stream": STREAM_VERSION,
            "numpy": np.__version__,
            "python": platform.python_version(),
            "compiler": _kernels.COMPILER,
        },
        "isa": {
            "processor": _processor(),
            "built": list(_kernels.BUILT_ISAS),
            "available": list(_kernels.AVAILABLE_ISAS),
            "chosen": _kernels.chosen_isa(),
            "FASTINIT_ISA": os.environ.get("FASTINIT_ISA"),
        },
        "threads": {
            "default": default_threads(),
            "FASTINIT_NUM_THREADS": os.environ.get("FASTINIT_NUM_THREADS"),
            "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS"),
            "affinity": affinity(),
            "cgroup_quota": cgroup_quota(),
            "elements_per_thread": _kernels.THREAD_ELEMENTS,
        },
    }
    if mode == "dict":
        return config
    for section, entries in config.items():
        print(f"{section}:")
        for name, value in entries.items():
            text = ", ".join(value) if isinstance(value, list) else "-" if value is None else value
            print(f"  {name}: {text}")
    return None
