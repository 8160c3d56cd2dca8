"""Instructions and cycles an element, counted and not timed, so that a regression shows on any machine, however noisy.

    python bench/instructions.py

callgrind counts what a fill executes, at two lengths, whose difference is free of the call. It knows no AVX-512: of
those kernels the loop over tiles is read from the disassembly, and llvm-mca tells how many cycles it takes.
"""

import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

import fastinit as fi
from fastinit import _kernels
from fastinit._fill import plan

ELEMENTS = 1 << 13  # and twice that: within one unit, in whole tiles
TILE_BYTES = len(_kernels.words(0, 0, 0))
MCA = next((name for name in ("llvm-mca-16", "llvm-mca") if shutil.which(name)), "llvm-mca")
MCA_PROCESSORS = ("icelake-server", "znver4")  # the second is known from LLVM 16 on

# Loads the extension alone, for NumPy would take minutes to start, and fills by every kernel, short and long in turn.
CHILD = """
import array, json, sys
from importlib.machinery import ExtensionFileLoader
from importlib.util import module_from_spec, spec_from_loader

loader = ExtensionFileLoader("_kernels", sys.argv[1])
kernels = module_from_spec(spec_from_loader("_kernels", loader))
loader.exec_module(kernels)
print(json.dumps(kernels.AVAILABLE_ISAS))
for isa in kernels.AVAILABLE_ISAS:
    for kind, parameters, typecode, elements in json.loads(sys.argv[2]):
        for count in (elements, 2 * elements):
            kernels.fill(array.array(typecode, [0]) * count, kind, tuple(parameters), 0, 0, 0, 1, isa)
"""


def kernel_plans():
    """What each kernel is called, with a plan that uses it and the dtype."""
    truncated = [fi.truncated_normal(low=low, high=high) for low, high in ((-2, 2), (2, 8), (5, 10))]
    strategies = [fi.uniform(), fi.normal(), *truncated]
    names = {kind: "_".join(key) for key, kind in _kernels.KINDS.items()}
    plans = {}
    for strategy in strategies:
        for dtype in (np.dtype("float32"), np.dtype("float64")):
            planned = plan(strategy, (ELEMENTS,), dtype)
            plans[names[planned.kind]] = planned, dtype
    return plans


def executed():
    """Instructions an element by (kernel, instruction set), by callgrind."""
    plans = kernel_plans()
    rows = [(planned.kind, planned.parameters, dtype.char, ELEMENTS) for planned, dtype in plans.values()]
    with tempfile.TemporaryDirectory() as folder:
        options = ["--tool=callgrind", "--toggle-collect=fi_fill", "--dump-after=fi_fill"]
        child = [sys.executable, "-I", "-S", "-c", CHILD, _kernels.__file__, json.dumps(rows)]
        isas = json.loads(output_of("valgrind", "-q", *options, f"--callgrind-out-file={folder}/out", *child))
        dumps = sorted(Path(folder).glob("out.*"), key=lambda path: int(path.suffix[1:]))
        counts = [int(re.search(r"^totals: (\d+)", path.read_text(), re.MULTILINE)[1]) for path in dumps]
    pairs = [(kernel, isa) for isa in isas for kernel in plans]
    if len(counts) != 2 * len(pairs):
        raise RuntimeError("callgrind does not see fi_fill: the module has no symbols")
    shorts, longs = counts[::2], counts[1::2]
    return {pair: (long - short) / ELEMENTS for pair, short, long in zip(pairs, shorts, longs, strict=True)}


def tile_loops():
    """Each AVX-512 kernel's loop over tiles, as assembly, where no other loop is inside."""
    listing = output_of("objdump", "-d", "--no-show-raw-insn", _kernels.__file__)
    loops = {}
    for kernel in kernel_plans():
        body = re.search(rf"^[0-9a-f]+ <{kernel}_avx512>:\n((?:.+\n)+)", listing, re.MULTILINE)
        if not body:
            continue
        found = re.findall(r"^ *([0-9a-f]+):\s+([^#<\n]+)", body[1], re.MULTILINE)
        code = [(int(address, 16), text.strip()) for address, text in found]
        jumps = [(address, int(text.split()[1], 16)) for address, text in code if re.match(r"j\w+ +[0-9a-f]+$", text)]
        spans = [(to, at) for at, to in jumps if code[0][0] <= to <= at]
        if not spans:
            continue
        texts = {span: [text for address, text in code if span[0] <= address <= span[1]] for span in spans}
        vectors = {span: sum("mm" in text for text in texts[span]) for span in spans}  # %xmm, %ymm, %zmm
        large = [span for span in spans if 2 * vectors[span] > max(vectors.values())]
        loop = min(large, key=vectors.get)  # of consecutive blocks: that of listed ones does more
        if not any(span != loop and loop[0] <= span[0] and span[1] <= loop[1] for span in spans):
            loops[kernel] = texts[loop]
    return loops


def llvm_mca(loop, processor):
    """The cycles of one iteration: by the busiest port alone, and as simulated with all dependencies."""
    assembly = "\n".join(re.sub(r"^(j\w+) .*", r"\1 0", text) for text in loop)  # llvm-mca ignores where jumps go
    options = [f"-mcpu={processor}", "-iterations=100", "-instruction-info=0", "-resource-pressure=0"]
    output = output_of(MCA, *options, input=assembly)
    port, total = (re.search(rf"{name}: +([\d.]+)", output)[1] for name in ("Block RThroughput", "Total Cycles"))
    return float(port), float(total) / 100


def mca_knows(processor):
    run = subprocess.run([MCA, f"-mcpu={processor}"], input="nop\n", capture_output=True, text=True, check=False)
    return run.returncode == 0 and "not a recognized processor" not in run.stderr


def output_of(*command, **options):
    run = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    if run.returncode:
        raise RuntimeError(f"{command[0]} failed: {' '.join(run.stderr.splitlines()[-1:])}")
    return run.stdout


def table(header, rows):
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def markdown():
    """Two tables, or why there is none."""
    plans = kernel_plans()
    tile = {kernel: TILE_BYTES // dtype.itemsize for kernel, (_, dtype) in plans.items()}
    failures = OSError, RuntimeError
    counts, loops, notes = {}, {}, []
    try:
        counts = executed()
        notes += [f"{output_of('valgrind', '--version').strip()}; calls to libm's fma are included."]
    except failures as error:
        notes += [f"Nothing was executed: {error}."]
    try:
        loops = tile_loops()
        counts |= {(kernel, "avx512"): len(loop) / tile[kernel] for kernel, loop in loops.items()}
        if loops:
            notes += ["AVX-512 is counted in the disassembly, where the loop over tiles has no loop inside."]
    except failures as error:
        notes += [f"AVX-512 was not counted: {error}."]
    isas = _kernels.BUILT_ISAS
    rows = [
        [kernel, *(f"{counts[kernel, isa]:.2f}" if (kernel, isa) in counts else "" for isa in isas)] for kernel in plans
    ]
    text = ["### Instructions an element", " ".join(notes), table(["kernel", *isas], rows)]

    text += ["### Cycles an element of the AVX-512 loops"]
    try:
        version = re.search(r"\S* ?LLVM version \S+", output_of(MCA, "--version"))[0]
        known = [name for name in MCA_PROCESSORS if mca_knows(name)]
        cycles = {kernel: [llvm_mca(loop, name) for name in known] for kernel, loop in loops.items()}
        rows = [
            [kernel, *(f"{cycles / tile[kernel]:.2f}" for each in both for cycles in each)]
            for kernel, both in cycles.items()
        ]
        text += [f"By llvm-mca ({version}): the busiest port alone, and 100 tiles simulated, in cache."]
        header = [f"{name}, {what}" for name in known for what in ("port bound", "simulated")]
        text += [table(["kernel", *header], rows)]
    except failures as error:
        text += [f"Not simulated: {error}."]
    return "\n\n".join(text)


if __name__ == "__main__":
    print(markdown())
