"""Timing two calls or more so that their ratio means something, on a machine that does other work, too."""

import sys
import time
from importlib import metadata
from statistics import median

QUICK = "--quick" in sys.argv[1:]
SECONDS = 0.05 if QUICK else 3.0  # for each comparison


def in_turn(*calls, rest=0.0, seconds=SECONDS, least=5, before=None):
    """The median seconds of each of `calls`, timed in turn, `least` times or more, `rest` seconds apart.

    Short ones are timed several at a time. What is to be done `before` each is not timed.
    """
    repeats, times = [], [[] for _ in calls]
    for call in calls:
        call()
        start = time.perf_counter()
        call()
        repeats.append(1 if rest else max(1, round(0.002 / (time.perf_counter() - start))))
    end = time.perf_counter() + seconds
    while len(times[0]) < least or time.perf_counter() < end:
        for call, repeat, own in zip(calls, repeats, times, strict=True):
            time.sleep(rest)
            if before is not None:
                before()
            start = time.perf_counter()
            for _ in range(repeat):
                call()
            own.append((time.perf_counter() - start) / repeat)
    return [median(own) for own in times]


def versions(packages):
    """What is installed, as a line: `packages` has the names to show and those that they are installed by."""
    found = []
    for title, package in packages.items():
        try:
            found.append(f"{title} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            found.append(f"{title} not installed")
    return ", ".join(found)


def as_ratio(ratio):
    return "" if ratio is None else f"{ratio:.2f}" if ratio > 0.4 else f"1/{1 / ratio:.3g}"


def verdict(value, target):
    return "" if target is None else "pass" if value <= target else FAIL


FAIL = "**FAIL**"
