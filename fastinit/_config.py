"""What this process may use: how many threads, and which instructions."""

from __future__ import annotations

import functools
import math
import os
from pathlib import Path

from . import _checks


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
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cgroup_quota()
    return count if quota is None else max(1, min(count, math.ceil(quota)))


@functools.cache
def cgroup_quota(proc: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")) -> float | None:
    """The processors' worth of time that Linux control groups (version 2 or 1) allow this process, if limited."""
    try:
        entries = [line.split(":", 2) for line in proc.read_text().splitlines()]
    except OSError:
        return None
    quotas = []
    for _, controllers, path in entries:
        if controllers == "":  # version 2: one hierarchy, a limit at any level
            group = root / path.lstrip("/")
            for folder in (group, *group.parents):
                quotas.append(_read_quota(folder / "cpu.max"))
                if folder == root:
                    break
        elif "cpu" in controllers.split(","):
            for folder in (root / "cpu" / path.lstrip("/"), root / "cpu"):
                quotas.append(_read_quota(folder / "cpu.cfs_quota_us", folder / "cpu.cfs_period_us"))
    return min((q for q in quotas if q is not None), default=None)


def _read_quota(*files: Path) -> float | None:
    """Quota over period from one file that holds both, or from two; None where there is no limit."""
    try:
        quota, period = " ".join(file.read_text() for file in files).split()
        return int(quota) / int(period) if int(quota) > 0 else None
    except (OSError, ValueError, ZeroDivisionError):
        return None
