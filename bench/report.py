"""Measure what is promised of speed, and write one dated Markdown file and a plot to bench/results.

    python bench/report.py [--quick]

Whatever is compared is called in turn, A, B, A, B, ..., after a warm-up: other work on the machine then slows both
alike, and the ratio of the medians means something. Nothing else here does. --quick only shows that it runs.
"""

import argparse
import ast
import datetime
import functools
import itertools
import os
import platform
import re
import sys
import time
from pathlib import Path

import instructions
import numpy as np
import peers
from matplotlib import rcParams
from matplotlib.figure import Figure
from measuring import FAIL, QUICK, SECONDS, as_ratio, in_turn, verdict, versions

import fastinit as fi
from fastinit import _kernels
from fastinit._fill import as_dtype, plan

HERE = Path(__file__).resolve().parent
CONFIG = fi.show_config("dict")
PROCESSORS = CONFIG["threads"]["default"]
DRAWS = ("uniform", "normal", "truncated_normal")

LARGE = 1 << (22 if QUICK else 24)
LARGEST = 1 << (22 if QUICK else 26)


# ---- measuring ----


def fastinit(draw, threads=1):
    return lambda out: functools.partial(fi.fill, out, draw, seed=0, threads=threads)


def fastinit_by(isa, draw):
    """By an instruction set other than the chosen one."""

    def fill(out):
        planned = plan(draw, out.shape, out.dtype)
        return functools.partial(_kernels.fill, out, planned.kind, planned.parameters, 0, 0, 0, 1, isa)

    return fill


def compare(what, out, ours, theirs, target=None, rest=0.0):
    """A row: both on `out`, nanoseconds an element and their ratio."""
    print(what, file=sys.stderr)
    try:
        theirs = theirs(out)
    except ImportError as error:
        return [what, f"{out.size:,}", "", f"not installed: {error}", "", as_ratio(target), "not run"]
    seconds = in_turn(ours(out), theirs, rest=rest)
    ratio = seconds[0] / seconds[1]
    per_element = (f"{each / out.size * 1e9:.3f}" for each in seconds)
    return [what, f"{out.size:,}", *per_element, as_ratio(ratio), as_ratio(target), verdict(ratio, target)]


HEADER = ["what", "elements", "ours, ns/element", "theirs, ns/element", "ours / theirs", "at most", ""]


# ---- the sections ----


def against_the_limit(buffer):
    targets = [
        ("uniform", "float32", 1.10),
        ("uniform", "float64", 1.10),
        ("normal", "float32", 1.60),
        ("normal", "float64", 1.80),
        ("truncated_normal", "float32", 2.20),
        ("truncated_normal", "float64", None),
    ]
    return [
        compare(f"{draw} {dtype} / ndarray.fill", large(buffer, dtype), fastinit(draw), peers.limit, target)
        for draw, dtype, target in targets
    ]


def against_others(buffer):
    targets = [
        ("normal", "float32", "NumPy SFC64", 1 / 13),
        ("normal", "float32", "PyTorch", 1 / 5),
        ("normal", "float32", "JAX", None),
        ("uniform", "float32", "NumPy PCG64", 1 / 4.5),
        ("uniform", "float32", "PyTorch", 1 / 7.5),
        ("uniform", "float32", "JAX", None),
        ("normal", "float64", "NumPy SFC64", 1 / 5.5),
        ("normal", "float64", "PyTorch", 1 / 11),
        ("truncated_normal", "float32", "PyTorch", 1 / 45),
        ("truncated_normal", "float32", "JAX", None),
        ("normal", "bfloat16", "PyTorch", 1 / 5),
        ("normal", "bfloat16", "JAX", None),
        ("normal", "float16", "PyTorch", None),
        ("uniform", "bfloat16", "PyTorch", None),
        ("truncated_normal", "bfloat16", "PyTorch", None),
    ]
    return [
        compare(f"{draw} {dtype} / {peer}", large(buffer, dtype), fastinit(draw), peers.PEERS[draw][peer], target)
        for draw, dtype, peer, target in targets
    ]


def against_mkl(buffer, cached):
    """Rows against MKL's fastest, and a table of all its Gaussians, ns/element in `buffer`."""
    out = large(buffer, "float32")
    try:
        everywhere, philox = fastest_mkl(out), fastest_mkl(cached, ["PHILOX4X32X10"])
    except ImportError as error:
        names, table = ["MKL's fastest Gaussian", "MKL's Philox4x32x10"], f"Not installed: {error}."
    else:
        fastest = [min(times, key=times.get) for times in (everywhere, philox)]
        names = [f"MKL {generator} {method}" for generator, method in fastest]
        rows = [
            [generator, *(f"{everywhere[generator, method] / out.size * 1e9:.3f}" for method in peers.MKL_METHODS)]
            for generator in peers.MKL_GENERATORS
        ]
        table = instructions.table(["ns/element", *peers.MKL_METHODS], rows)
    makers = [peers.PEERS["normal"].get(name, lambda out: peers.mkl()) for name in names]
    return [
        compare(f"normal float32 / {names[0]}", out, fastinit("normal"), makers[0], 0.9),
        compare(f"normal float32 in L2 / {names[1]}", cached, fastinit("normal", threads=None), makers[1], 1.0),
    ], table


def fastest_mkl(out, generators=peers.MKL_GENERATORS):
    """The median seconds of every method with every generator, all in turn."""
    pairs = list(itertools.product(generators, peers.MKL_METHODS))
    calls = [peers.mkl_normal(method, generator, out) for generator, method in pairs]
    return dict(zip(pairs, in_turn(*calls, seconds=5 * SECONDS), strict=True))


def small():
    """Rows: the overhead is what a line through two sizes in L1 leaves for no elements at all."""
    weight, larger, empty = (np.ones((n, 64), np.float32) for n in (64, 128, 0))
    he = fastinit("he_normal", threads=None)  # as usually called; so small a fill uses one
    row = compare("he_normal 64 x 64 / PyTorch kaiming_normal_", weight, he, peers.torch_kaiming_normal, 0.5)
    times = in_turn(he(weight), he(larger), he(empty))
    slope = (times[1] - times[0]) / (larger.size - weight.size)
    overhead = times[0] - slope * weight.size
    text = f"{overhead * 1e6:.2f} us of {times[0] * 1e6:.2f}; an empty array {times[2] * 1e6:.2f}"
    return [row, ["the call, beyond the kernel", f"{weight.size:,}", text, "", "", "2 us", verdict(overhead, 2e-6)]]


def threads(buffer):
    """Rows, the sizes around the line from which a second thread is started, and what it says of that line."""
    out, one, two = large(buffer, "float32"), fastinit("normal"), fastinit("normal", threads=2)
    rows = [
        compare("two threads / one, normal float32", out, two, one, 0.55 if PROCESSORS > 1 else None),
        compare("the same, each call after 20 ms asleep", out, two, one, rest=0.02),
    ]
    least = 2 * _kernels.THREAD_ELEMENTS
    sizes = {}
    for exponent in range(18, 25):
        part = buffer[: 1 << exponent]
        sizes[part.size] = in_turn(one(part), two(part))
    table = instructions.table(
        ["elements", "one thread, us", "two, us", "two / one"],
        [[f"{n:,}", f"{a * 1e6:.0f}", f"{b * 1e6:.0f}", f"{b / a:.2f}"] for n, (a, b) in sizes.items()],
    )
    wins = [n for n in sizes if n >= least and all(b < a for m, (a, b) in sizes.items() if m >= n)]
    alone, both = sizes[least]
    cost = max(0.0, both - alone / 2)
    text = (
        f"Below {least:,} elements a second thread is never started, so both columns are one thread. Two threads win "
        f"from {f'{wins[0]:,} elements on' if wins else 'no size measured'}. At {least:,} they cost "
        f"{cost * 1e6:.0f} us more than half of one thread's time, which would be won back from "
        f"{2 * cost / alone * least:,.0f} elements on."
    )
    return rows, f"{text}\n\n{table}"


def instruction_sets(buffer):
    return [
        compare(f"{draw} {dtype} by {isa} / ndarray.fill", large(buffer, dtype), fastinit_by(isa, draw), peers.limit)
        for draw in DRAWS
        for dtype in ("float32", "float64")
        for isa in CONFIG["isa"]["available"]
    ]


def orthogonal():
    """Rows: products of matrices, on all processors."""
    return [
        compare(
            f"orthogonal float32 {rows} x {columns} / PyTorch",
            np.ones((rows, columns), np.float32),
            fastinit("orthogonal"),
            peers.torch_orthogonal,
        )
        for rows, columns in ((256, 256), (1024, 1024), (4096, 1024))
    ]


def models():
    """Whole models in fresh memory, against the same rules by torch.nn.init."""
    rows = []
    for name in ("resnet50", "gpt2"):
        manifest, recipe = fi.load_manifest(name), fi.load_recipe(name)
        print(name, file=sys.stderr)
        ours = functools.partial(recipe.initialize, manifest, seed=0, dtype="float32", threads=1)
        try:
            peers.torch_tensor(np.ones(1))
        except ImportError as error:
            rows += [[name, "", f"not installed: {error}", ""]]
            continue
        seconds = in_turn(ours, functools.partial(peers.torch_model, recipe, manifest))
        rows += [[name, *(f"{each * 1e3:.1f}" for each in seconds), as_ratio(seconds[0] / seconds[1])]]
    return instructions.table(["model", "ours, ms", "torch.nn.init, ms", "ours / theirs"], rows)


def parts(buffer, dtype):
    """Rows: normals into parts of tensors and arrays of other layouts, against a new contiguous tensor of that size."""
    out, rows = large(buffer, dtype), LARGE // 512
    wide = buffer.view(dtype)[: 2 * LARGE].reshape(rows, 1024)
    cases = [
        ("row block", out.reshape(rows, 512), (4 * rows, 512), np.s_[rows : 2 * rows], 1.05),
        ("column block of 512", out.reshape(rows, 512), (rows, 4096), np.s_[:, 512:1024], 1.3),
        ("column block of 512, from an odd column", out.reshape(rows, 512), (rows, 4096), np.s_[:, 515:1027], 1.3),
        ("one column", out, (LARGE, 4096), np.s_[:, 5], None),
        ("every other element", out, (2 * LARGE,), np.s_[::2], None),
        ("backwards", out, (LARGE,), np.s_[::-1], None),
        ("out of rows of 512 with gaps", wide[:, :512], (rows, 512), ..., None),
        ("out of every other column", wide[:, ::2], (rows, 512), ..., None),
        ("out in Fortran order", out.reshape(4096, -1, order="F"), (4096, LARGE // 4096), ..., None),
    ]
    return [
        compare(
            f"{dtype}: {what}",
            out,
            lambda _, view=view, shape=shape, index=index: functools.partial(
                fi.fill, view, "normal", seed=0, shape=shape, index=index, threads=1
            ),
            fastinit("normal"),
            target,
        )
        for what, view, shape, index, target in cases
    ]


def large(buffer, dtype):
    return buffer.view(as_dtype(dtype))[:LARGE]


# ---- the plot ----


def plot(buffer, path):
    """Time an element by size, and by the number of threads."""
    print("plot", file=sys.stderr)
    rcParams.update({"svg.hashsalt": "fastinit", "font.size": 9})
    figure = Figure(figsize=(10, 4), layout="constrained")
    by_size, by_threads = figure.subplots(1, 2)

    sizes = [1 << exponent for exponent in range(8, LARGEST.bit_length(), 2)]
    makers = {"ndarray.fill": peers.limit, **{draw: fastinit(draw) for draw in DRAWS}}
    times = [in_turn(*(maker(buffer[:size]) for maker in makers.values())) for size in sizes]
    for name, column in zip(makers, zip(*times, strict=True), strict=True):
        by_size.plot(sizes, [t / size * 1e9 for t, size in zip(column, sizes, strict=True)], ".-", label=name)
    by_size.set(xlabel="float32 elements", ylabel="ns/element", title="One thread")
    by_size.set_xscale("log", base=2)
    by_size.set_yscale("log")
    by_size.grid(alpha=0.3)
    by_size.legend()

    counts = sorted({*(1 << n for n in range(PROCESSORS.bit_length())), PROCESSORS})
    for draw in DRAWS:
        column = in_turn(*(fastinit(draw, count)(large(buffer, "float32")) for count in counts))
        by_threads.plot(counts, [column[0] / t for t in column], ".-", label=draw)
    by_threads.plot(counts, counts, ":", color="gray", label="ideal")
    by_threads.set(xlabel="threads", ylabel="times as fast as one", title=f"{LARGE:,} float32 elements", xticks=counts)
    by_threads.grid(alpha=0.3)
    by_threads.legend()
    figure.savefig(path, metadata={"Date": None})


# ---- the machine ----


def machine(buffer):
    """Whatever the figures depend on, as a Markdown list."""
    own = f"fastinit {CONFIG['versions']['fastinit']}, Python {platform.python_version()}"
    packages = {"NumPy": "numpy", "PyTorch": "torch", "JAX": "jax", "jaxlib": "jaxlib", "MKL": "mkl"}
    isa = CONFIG["isa"]
    load = f"{os.getloadavg()[0]:.2f}" if hasattr(os, "getloadavg") else "unknown"
    facts = {
        "Processor": f"{isa['processor']}{processor_model()}, {PROCESSORS} for this process; load {load} at the start",
        "Caches": caches(),
        "System": f"{platform.system()} {platform.release()}, {platform.machine()}",
        "Compiler": f"{CONFIG['versions']['compiler']}, with Python's own flags and setup.py's `{compile_flags()}`",
        "Instruction set": f"{isa['chosen']}, of {', '.join(isa['built'])}",
        "Versions": f"{own}, {versions(packages)}",
        "Memory": f"one touched buffer as `np.empty` gives it, {buffer.ctypes.data % 64} bytes past a cache line",
    }
    return "\n".join(f"- {name}: {fact}" for name, fact in facts.items())


def processor_model():
    try:
        info = Path("/proc/cpuinfo").read_text()
    except OSError:
        return ""
    found = (re.search(rf"^({name})\s*: (.+)$", info, re.MULTILINE) for name in ("cpu family", "model", "stepping"))
    text = ", ".join(f"{match[1].removeprefix('cpu ')} {match[2]}" for match in found if match)
    return f" ({text})" if text else ""


def caches():
    folders = sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*"))
    found = [[(folder / name).read_text().strip() for name in ("level", "type", "size")] for folder in folders]
    return ", ".join(f"L{level} {kind.lower()} {size}" for level, kind, size in found) or "unknown"


def compile_flags():
    """Those of setup.py for this system; an extension module does not tell its own."""
    windows, other = (
        ast.literal_eval(node.value)
        for node in ast.walk(ast.parse((HERE.parent / "setup.py").read_text()))
        if isinstance(node, ast.Assign) and node.targets[0].id == "compile_args"
    )
    return " ".join(windows if sys.platform == "win32" else other)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="smaller and shorter: only shows that it runs")
    parser.parse_args()
    began = time.perf_counter(), time.process_time()
    buffer = np.empty(max(LARGEST, 2 * LARGE, 1 << 24), np.float32)
    buffer.fill(1)
    cached = np.empty(1 << 16, np.float32)
    where = machine(buffer)  # before the load is ours
    date = datetime.date.today().isoformat()
    slug = re.sub(r"[^a-z0-9]+", "-", re.sub(r"\((r|tm)\)", "", CONFIG["isa"]["processor"].lower())).strip("-")
    path = HERE / "results" / f"{date}-{slug}{'-quick' if QUICK else ''}.md"
    path.parent.mkdir(exist_ok=True)

    rows = against_the_limit(buffer) + against_others(buffer)
    mkl_rows, mkl_table = against_mkl(buffer, cached)
    small_rows = small()
    thread_rows, thread_text = threads(buffer)
    part_rows = [row for dtype in ("float32", "float64") for row in parts(buffer, dtype)]
    rows += [*mkl_rows, *small_rows, *thread_rows, *orthogonal()]
    isa_rows = instruction_sets(buffer)
    model_table = models()
    plot(buffer, path.with_suffix(".svg"))
    print("instructions", file=sys.stderr)
    counted = instructions.markdown()

    wall = time.perf_counter() - began[0]
    share = (time.process_time() - began[1]) / wall
    verdicts = [row[-1] for row in rows + part_rows if row[-1] in ("pass", FAIL)]
    text = [
        f"# Speed, {date}",
        "Made by `python bench/report.py`. Each row calls both in turn on one thread, unless it says otherwise, and"
        " compares the medians; only ratios within a row mean anything."
        + (" **A quick run, of smaller sizes: no figure here counts.**" if QUICK else ""),
        where,
        "## Promises",
        f"{verdicts.count('pass')} of {len(verdicts)} met.",
        instructions.table(HEADER, rows),
        f"![Time an element by size, and by threads]({path.stem}.svg)",
        "## Parts and other layouts",
        "Normals; theirs is a contiguous array of as many elements.",
        instructions.table(HEADER, part_rows),
        "## From which size on do two threads win?",
        thread_text,
        "## Whole models, in new memory",
        "By the same rules; for what the frameworks' own code builds, see `bench/frameworks.py`.",
        model_table,
        "## Instruction sets",
        instructions.table(HEADER[:5], [row[:5] for row in isa_rows]),
        "## Counted, not timed",
        counted,
        "## MKL's Gaussians",
        mkl_table,
        f"It took {wall / 60:.1f} minutes, with {share:.0%} of a processor: much less than all means a busy machine.",
    ]
    path.write_text("\n\n".join(text) + "\n")
    print(path)


if __name__ == "__main__":
    main()
