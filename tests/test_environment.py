"""What surrounds a fill does not change it: the floating-point environment, threads, forks and signals."""

import contextlib
import ctypes
import ctypes.util
import hashlib
import mmap
import os
import platform
import re
import signal
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import fastinit as fi
from fastinit import _kernels

# ---- the floating-point environment ----

X86, ARM = platform.machine() in ("x86_64", "AMD64"), platform.machine() in ("aarch64", "arm64")
ROUNDING = dict(
    zip(
        ("upward", "downward", "towards zero"),
        (0x800, 0x400, 0xC00) if X86 else (0x400000, 0x800000, 0xC00000),
        strict=True,
    )
)
# glibc's fenv_t: where the control register lies, its bits that a caller sets, and those that flush subnormals to zero.
OFFSET, CONTROL, FLUSH = (28, 0xFFC0, 0x8040) if X86 else (0, 0xFFFFFFFF, 1 << 24)
GLIBC = platform.libc_ver()[0] == "glibc"
ENVIRONMENTS = [*ROUNDING, "flush to zero"]

needs_fenv = pytest.mark.skipif(not (GLIBC and (X86 or ARM)), reason="knows glibc's fenv.h on x86-64 and aarch64 only")
environments = pytest.mark.parametrize("name", ENVIRONMENTS)
libm = ctypes.CDLL(ctypes.util.find_library("m")) if GLIBC else None


def environment_bytes():
    state = ctypes.create_string_buffer(64)
    libm.fegetenv(state)
    return state


def control():
    """What decides this thread's roundings."""
    return libm.fegetround(), int.from_bytes(environment_bytes().raw[OFFSET : OFFSET + 4], "little") & CONTROL


@contextlib.contextmanager
def environment(name):
    before, changed = environment_bytes(), environment_bytes()
    if name == "flush to zero":
        register = int.from_bytes(changed.raw[OFFSET : OFFSET + 4], "little") | FLUSH
        changed[OFFSET : OFFSET + 4] = register.to_bytes(4, "little")
        libm.fesetenv(changed)
    else:
        libm.fesetround(ROUNDING[name])
    try:
        yield
    finally:
        libm.fesetenv(before)


#: Each rounds at every step, or draws subnormal numbers, or needs a bound or a std that Python has to work out.
DRAWS = [
    ("he", "float32"),
    ("xavier_uniform", "float32"),
    ("lecun_normal", "float64"),
    (fi.glorot_uniform(gain=5 / 3), "float64"),
    (fi.normal(0.1, 0.7), "float32"),
    (fi.normal(0.1, 0.7), "float64"),
    (fi.uniform(0.1, 0.7), "float32"),
    (fi.uniform(0.1, 0.7), "float64"),
    (fi.constant(0.1), "float32"),
    (fi.normal(std=1e-40), "float32"),
    (fi.normal(std=1e-310), "float64"),
    (fi.uniform(-1e-40, 2e-40), "float32"),
    (fi.uniform(0.0, 1e-310), "float64"),
    (fi.constant(1e-40), "float32"),
    (fi.constant(1e-310), "float64"),
    (fi.normal(0.1, 0.7), "float16"),
    (fi.normal(0.1, 0.7), "bfloat16"),
    (fi.normal(std=1e-6), "float16"),
    (fi.normal(std=1e-39), "bfloat16"),
    (fi.constant(1e-7), "float16"),
]


def small_fills():
    fi._fill.plan.cache_clear()
    return [fi.initialize((37, 41), draw, seed=1, dtype=dtype, threads=1).tobytes() for draw, dtype in DRAWS]


def large_fills(threads):
    """Large enough for seven threads; one of them not contiguous in the whole."""
    draws = ("he", "float32"), (fi.uniform(-1e-40, 2e-40), "float32"), (fi.normal(std=1e-6), "float16")
    fills = [fi.initialize((7 << 10, 1 << 10), draw, seed=1, dtype=dtype, threads=threads) for draw, dtype in draws]
    columns = np.s_[:, 7:1031]
    fills += [fi.initialize((7 << 10, 1 << 11), fi.normal(0.1, 0.7), seed=1, index=columns, threads=threads)]
    return [fill.tobytes() for fill in fills]


@needs_fenv
@environments
def test_harness_changes_the_environment(name):
    one, five, three, tiny = 1.0, 5.0, 3.0, 2.0**-1022
    thirds, half = (one / three, five / three), tiny / three  # one of them rounds down, the other up
    with environment(name):
        other_thirds, other_half = (one / three, five / three), tiny / three
    assert (other_thirds == thirds) == (name == "flush to zero")
    assert half > 0
    assert (other_half == 0) == (name == "flush to zero")


@needs_fenv
@environments
def test_bytes_do_not_depend_on_the_environment(name):
    expected = small_fills()
    with environment(name):
        got = small_fills()
    assert [g == e for g, e in zip(got, expected, strict=True)] == [True] * len(DRAWS)


@needs_fenv
@environments
@pytest.mark.parametrize("threads", [1, 2, 7])
def test_bytes_of_several_threads(name, threads):
    expected = large_fills(1)
    with environment(name):
        got = large_fills(threads)
    assert [g == e for g, e in zip(got, expected, strict=True)] == [True] * len(expected)


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_bytes_while_pytorch_flushes(threads):
    torch = pytest.importorskip("torch")
    expected = small_fills() + large_fills(1)
    if not torch.set_flush_denormal(True):
        pytest.skip("PyTorch cannot flush on this processor")
    try:
        assert torch.tensor(1e-310, dtype=torch.float64).mul(1).item() == 0
        got = small_fills() + large_fills(threads)
    finally:
        torch.set_flush_denormal(False)
    assert [g == e for g, e in zip(got, expected, strict=True)] == [True] * len(expected)


@needs_fenv
@environments
def test_strategies_do_not_depend_on_the_environment(name):
    """What a maker works out from its arguments decides bits too."""

    tenths = [tenth / 10 for tenth in range(1, 10)]

    def strategies():
        made = [fi.he_normal(negative_slope=slope) for slope in tenths]
        made += [fi.xavier_uniform(gain=gain) for gain in tenths]
        return [*made, fi.gain("leaky_relu", 0.3), fi.gain("tanh")]

    expected = strategies()
    with environment(name):
        got = strategies()
    assert got == expected


@needs_fenv
def test_subnormal_bounds_while_flushing():
    """They differ, though this thread's comparisons would say that both are zero."""
    with environment("flush to zero"):
        got = fi.uniform(0.0, 1e-310)
    assert got == fi.uniform(0.0, 1e-310)


@needs_fenv
@environments
def test_environment_is_given_back(name):
    out = np.empty(1 << 22, np.float32)
    with environment(name):
        before, seen = control(), []
        for size, draw in ((10, "normal"), (0, "he"), (1 << 22, "uniform"), (1 << 22, "normal")):
            fi.fill(out[:size], draw, seed=1, fan_in=3, threads=3)
            seen.append(control())
        for bad in ("nonsense", "he", fi.normal(std=1e39)):
            with pytest.raises(ValueError, match="must"):
                fi.fill(out, bad, seed=1)
            seen.append(control())
    assert seen == [before] * 7
    assert control() != before


def test_numpy_error_state_does_not_matter():
    """NumPy's own switches are the caller's business too."""
    draws = [*DRAWS, (fi.uniform(-1.0, 0.0), "float32"), (fi.uniform(-1.0, 0.0), "float64"), ("zeros", "float32")]
    for draw, dtype in draws:
        fi._fill.plan.cache_clear()
        expected = fi.initialize((37, 41), draw, seed=1, dtype=dtype)
        fi._fill.plan.cache_clear()
        with np.errstate(all="raise"):
            assert np.array_equal(fi.initialize((37, 41), draw, seed=1, dtype=dtype), expected)


# ---- the caller's threads and processes ----


def several_threads(stream):
    return fi.initialize(5 << 19, "uniform", seed=1, stream=stream, threads=2)


def test_many_python_threads():
    """Sixteen callers at once, some of which start threads of their own."""
    sizes = [1, 100, 12345, 1 << 16, 5 << 19]
    jobs = [(sizes[i % len(sizes)], ("he", "xavier_uniform", "normal")[i % 3], f"w{i}") for i in range(60)]

    def run(job):
        size, name, stream = job
        return fi.initialize(size, name, seed=2, stream=stream, fan_in=7, fan_out=9, threads=2).tobytes()

    expected = [run(job) for job in jobs]
    fi._fill.plan.cache_clear()
    barrier = threading.Barrier(16)
    with ThreadPoolExecutor(16, initializer=barrier.wait) as pool:
        assert list(pool.map(run, jobs)) == expected


def child_agrees(expected):
    """Fork, fill in the child, and answer whether it got the same bytes; a hanging child dies of an alarm."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # forking beside other threads, which is the point here
        warnings.simplefilter("ignore", RuntimeWarning)  # the same, by JAX, where another test has loaded it
        child = os.fork()
    if child == 0:
        code = 3
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(60)
            code = 0 if several_threads("fork").tobytes() == expected else 1
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")


@needs_fork
def test_fork_after_a_fill():
    expected = several_threads("fork").tobytes()
    assert child_agrees(expected)
    assert several_threads("fork").tobytes() == expected


@needs_fork
def test_fork_during_a_fill():
    """Another thread is filling, with threads of its own, while this one forks."""
    expected, before = several_threads("fork").tobytes(), several_threads("other").tobytes()
    stop, filled = threading.Event(), []

    def keep_filling():
        while not stop.is_set():
            filled.append(several_threads("other").tobytes() == before)

    busy = threading.Thread(target=keep_filling)
    busy.start()
    try:
        assert all(child_agrees(expected) for _ in range(3))
    finally:
        stop.set()
        busy.join()
    assert filled
    assert all(filled)


PYTORCH_CHILD = """
import hashlib, os, signal, sys, warnings
import torch

torch.set_num_threads(2)
torch.ones(1 << 24).add_(1).exp_().sum()   # on two threads, which a forked child has not
import fastinit as fi
from fastinit import _kernels

warnings.simplefilter("ignore", DeprecationWarning)
child = os.fork()
if child == 0:
    signal.alarm(60)
    drawn = fi.initialize(5 << 19, "uniform", seed=1, stream="fork", threads=2)
    os._exit(0 if hashlib.sha256(drawn.tobytes()).hexdigest() == sys.argv[1] else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@needs_fork
def test_fork_after_pytorch_ran_in_parallel():
    pytest.importorskip("torch")
    expected = hashlib.sha256(several_threads("fork").tobytes()).hexdigest()
    command = [sys.executable, "-c", PYTORCH_CHILD, expected]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert (done.stdout, done.returncode) == ("0\n", 0), done.stderr


COUNTED_CHILD = """
import hashlib
import mmap
import fastinit as fi
from fastinit import _kernels

drawn = fi.initialize(5 << 19, "uniform", seed=1, stream="fork")
print(fi.show_config("dict")["threads"]["default"], hashlib.sha256(drawn.tobytes()).hexdigest())
"""


@pytest.mark.parametrize(
    "variables", [{"OMP_NUM_THREADS": "1"}, {"OMP_NUM_THREADS": "3"}, {"FASTINIT_NUM_THREADS": "5"}]
)
def test_bytes_do_not_depend_on_the_variables(variables):
    kept = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    done = subprocess.run(
        [sys.executable, "-c", COUNTED_CHILD], env=kept | variables, capture_output=True, text=True, timeout=100
    )
    expected = hashlib.sha256(several_threads("fork").tobytes()).hexdigest()
    assert done.stdout.split() == [*variables.values(), expected], done.stderr


# ---- signals ----

needs_posix = pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")

CHILD = """
import os, signal, sys, threading, time
import numpy as np
import fastinit as fi
from fastinit import _kernels

out = np.zeros(1 << 28)   # 2 GiB that the system hands over page by page, as the fill gets there
sent = []

def interrupt():
    while out[0] == 0:
        threading.Event().wait(0.001)
    sent.append(time.monotonic())
    os.kill(os.getpid(), signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)
threading.Thread(target=interrupt, daemon=True).start()
try:
    fi.fill(out, "normal", seed=1, threads=int(sys.argv[1]))
except KeyboardInterrupt:
    took = time.monotonic() - sent[0]
    print(took, int(out[-1] == 0), int(fi.initialize(3, "ones").sum()))
"""


@needs_posix
@pytest.mark.parametrize("threads", [1, 2])
def test_interrupt(threads):
    """Ctrl-C within a fill: it stops midway, soon (a fifth of a second on a quiet machine), and fills go on working."""
    command = [sys.executable, "-c", CHILD, str(threads)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    assert done.stdout, f"the fill was not interrupted\n{done.stderr}"
    took, unfinished, later = done.stdout.split()
    print(f"interrupted after {float(took):.3f} s")
    assert (unfinished, later) == ("1", "3")
    assert float(took) < 1


@needs_posix
def test_a_handler_that_returns_changes_nothing():
    expected = fi.initialize(1 << 22, "normal", seed=1, threads=2).tobytes()
    calls = []
    before = signal.signal(signal.SIGALRM, lambda number, frame: calls.append(number))
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    try:
        got = fi.initialize(1 << 22, "normal", seed=1, threads=2).tobytes()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert calls
    assert got == expected


@needs_posix
def test_a_handler_that_raises_is_heard():
    class Stop(Exception):
        pass

    def stop(number, frame):
        raise Stop

    out = np.zeros(1 << 28)
    before = signal.signal(signal.SIGALRM, stop)
    try:
        with pytest.raises(Stop):  # noqa: PT012
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            fi.fill(out, "normal", seed=1, threads=2)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert out[-1] == 0


# ---- huge pages ----


def flags_of_memory(address):
    """What /proc says of the mapping that holds an address."""
    holds = False
    with open("/proc/self/smaps") as lines:
        for line in lines:
            if (bounds := re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line)) is not None:
                holds = int(bounds[1], 16) <= address < int(bounds[2], 16)
            elif holds and line.startswith("VmFlags:"):
                return line.split()[1:]
    return None


@pytest.mark.skipif(not os.path.exists("/sys/kernel/mm/transparent_hugepage"), reason="no transparent huge pages here")
def test_huge_pages_are_asked_for_whole_pages_only():
    with mmap.mmap(-1, 16 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        array = np.frombuffer(memory, np.uint8)
        address = array.ctypes.data
        _kernels.prefer_huge_pages(array[mmap.PAGESIZE + 1 : -1])
        pages = [flags_of_memory(address + n * mmap.PAGESIZE) for n in (1, 2, 100, -(-len(array) // mmap.PAGESIZE) - 1)]
        assert ["hg" in flags for flags in pages] == [False, True, True, False]
        _kernels.prefer_huge_pages(array[:100])
        assert "hg" not in flags_of_memory(address)
        assert not array.any()
        del array
    with pytest.raises(BufferError, match=r"not writable"):
        _kernels.prefer_huge_pages(bytes(8))
