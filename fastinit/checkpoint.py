"""Whole models into .safetensors, any size."""

from __future__ import annotations

import contextlib
import json
import math
import os
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ._config import STREAM_VERSION
from ._fill import Seed
from .recipes import DTYPES, Manifest, PathOrName, PlannedTensor, Recipe, plan_model

#: What is drawn at a time; a model of any size needs no more memory than this.
BUFFER_BYTES = 32 * 2**20

#: Readers of safetensors refuse a longer header.
_MOST_HEADER_BYTES = 100_000_000

#: Elements that are measured at a time: their float64 copy stays in a core's own cache.
_MEASURED_ELEMENTS = 2**15

_SAFETENSORS_NAMES = {numpy_name: name for name, numpy_name in DTYPES.items()}
#: Where each dtype stands in the file: as the safetensors library has it, the most strictly aligned first.
_FILE_ORDER = {numpy_name: -position for position, numpy_name in enumerate(DTYPES.values())}


@dataclass(frozen=True)
class TensorReport:
    """What was drawn for one tensor.

    `std` is the standard deviation asked for and `measured_std` that of the values written (around their own mean,
    divided by their number), both None for a tensor without elements.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    initialization: str
    std: float | None
    measured_std: float | None


@dataclass(frozen=True)
class Report:
    """What `save` wrote: the tensors in the file's order, their elements and bytes, and the seconds that it took."""

    seed: int
    tensors: tuple[TensorReport, ...]
    parameters: int
    nbytes: int
    seconds: float


def save(
    path: PathOrName,
    manifest: Manifest | PathOrName,
    recipe: Recipe,
    *,
    seed: Seed = None,
    dtype: Any = None,
    threads: int | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> Report:
    """Draw a whole model into a .safetensors file, a span at a time: a model of any size needs 32 MiB of memory.

    A tensor that can only be drawn whole, an `orthogonal` one, is held in memory whole while it is written, and on
    another machine it is the same to rounding only.

    The file is a pure function of (seed, manifest, recipe, dtype, this package's version), whatever the manifest's
    order. Its metadata holds the seed. It appears under its name when it is complete and on disk; if anything goes
    wrong before that, what was there stays as it was.

    Parameters
    ----------
    path : str or path
        The file to write or to replace.
    manifest : mapping, str or path
        The tensors' names, shapes and dtypes: what `load_manifest` takes.
    recipe : Recipe
        What to draw for each.
    seed : int, numpy.random.Generator, numpy.random.SeedSequence or None
        The whole model's seed, as for `fill`; None draws one from the operating system.
    dtype : dtype-like, optional
        The dtype of every tensor, instead of the manifest's.
    threads : int, optional
        As for `fill`.
    progress : callable, optional
        Called with (bytes done, bytes in all) after each span; what it raises ends the writing.

    Returns
    -------
    Report
        The seed, and for each tensor its name, shape, dtype, initialization and standard deviation, asked for and
        measured.

    Raises
    ------
    TypeError, ValueError
        If an argument is not what it must be, a name matches no rule, or a tensor cannot be drawn; no file is touched
        then.
    OSError
        If the file cannot be written.

    References
    ----------
    The format: https://github.com/huggingface/safetensors#format

    Examples
    --------
    >>> import os, tempfile, fastinit as fi
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "model.safetensors")
    ...     report = fi.checkpoint.save(path, {"w": {"shape": [3], "dtype": "F32"}}, fi.Recipe([("*", "ones")]), seed=0)
    >>> report.tensors[0]
    TensorReport(name='w', shape=(3,), dtype='float32', initialization='Constant(value=1.0)', std=0.0, measured_std=0.0)
    >>> report.parameters, report.nbytes, report.seed
    (3, 12, 0)
    """
    if not isinstance(recipe, Recipe):
        raise TypeError(f"recipe must be a Recipe, such as load_recipe returns; got {recipe!r}")
    if progress is not None and not callable(progress):
        raise TypeError(f"progress must be callable with (bytes done, bytes in all); got {progress!r}")
    tensors = plan_model(recipe, manifest, seed=seed, dtype=dtype, threads=threads)
    tensors.sort(key=lambda tensor: (_FILE_ORDER[tensor.dtype.name], tensor.name))
    header = _header(tensors)
    destination = _destination(path)

    started = time.perf_counter()
    total = sum(tensor.nbytes for tensor in tensors)
    buffer = np.empty(min(BUFFER_BYTES, max(tensor.nbytes for tensor in tensors)), np.uint8)
    done = 0
    reports = []
    with _replacing(destination) as file:
        file.write(header)
        for tensor in tensors:
            spread = _Spread(tensor)
            for span in _spans(tensor, buffer):
                spread.add(span)
                file.write((span if sys.byteorder == "little" else span.byteswap(inplace=True)).view(np.uint8).data)
                done += span.nbytes
                if progress is not None:
                    progress(done, total)
                del span  # the next tensor may need the memory
            reports.append(
                TensorReport(
                    tensor.name,
                    tensor.shape,
                    tensor.dtype.name,
                    repr(tensor.strategy),
                    None if tensor.plan is None else tensor.plan.distribution.moments()[1],
                    spread.std,
                )
            )
    seconds = time.perf_counter() - started
    return Report(tensors[0].seed, tuple(reports), sum(tensor.size for tensor in tensors), total, seconds)


def _header(tensors: list[PlannedTensor]) -> bytes:
    """The length of the header's JSON, little-endian in 8 bytes, and the JSON, padded to a multiple of 8."""
    from importlib.metadata import version  # a tenth of this package's import, and only wanted here

    header: dict[str, object] = {
        "__metadata__": {
            "format": "pt",
            "fastinit_version": version("fastinit"),
            "seed": str(tensors[0].seed),
            "stream_version": str(STREAM_VERSION),
        }
    }
    end = 0
    for tensor in tensors:
        begin, end = end, end + tensor.nbytes
        dtype = _SAFETENSORS_NAMES[tensor.dtype.name]
        header[tensor.name] = {"dtype": dtype, "shape": tensor.shape, "data_offsets": (begin, end)}
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    if len(text) > _MOST_HEADER_BYTES:
        raise ValueError(
            f"manifest must give a safetensors header of at most {_MOST_HEADER_BYTES} bytes; got {len(text)}"
        )
    return len(text).to_bytes(8, "little") + text


def _spans(tensor: PlannedTensor, buffer: np.ndarray) -> Iterator[np.ndarray]:
    """The tensor's values in C order, in spans that each replace the one before in `buffer`.

    A tensor that can only be drawn whole is one span, in memory of its own.
    """
    if tensor.plan is not None and tensor.plan.whole is not None:
        buffer = np.empty(tensor.nbytes, np.uint8)
    capacity = buffer.size // tensor.dtype.itemsize
    for start in range(0, tensor.size, max(capacity, 1)):
        count = min(capacity, tensor.size - start)
        span = buffer[: count * tensor.dtype.itemsize].view(tensor.dtype)
        tensor.fill(span, start)
        yield span


class _Spread:
    """The standard deviation of a tensor that comes in spans, in float64.

    Sums of y and y^2 with y = (x - x[0]) / scale. The shift keeps a mean far from 0 from cancelling the digits and
    makes a constant's deviation exactly 0. The scale, a power of two, keeps the squares of extreme values within range.
    """

    def __init__(self, tensor: PlannedTensor) -> None:
        mean, std = (0.0, 0.0) if tensor.plan is None else tensor.plan.distribution.moments()
        magnitude = abs(mean) + std
        extreme = magnitude != 0 and not 1e-100 < magnitude < 1e100
        self.scale = 2.0 ** (math.frexp(magnitude)[1] - 1) if extreme else 1.0
        self.count = 0
        self.first = 0.0
        self.sum = 0.0
        self.sum_of_squares = 0.0
        self.scratch = np.empty(min(_MEASURED_ELEMENTS, tensor.size))

    def add(self, span: np.ndarray) -> None:
        for start in range(0, span.size, _MEASURED_ELEMENTS):
            block = span[start : start + _MEASURED_ELEMENTS]
            y = self.scratch[: block.size]
            y[:] = block
            if self.scale != 1:
                y /= self.scale
            if self.count == 0:
                self.first = float(y[0])
            y -= self.first
            self.count += block.size
            self.sum += float(y.sum())
            self.sum_of_squares += float(np.einsum("i,i->", y, y))

    @property
    def std(self) -> float | None:
        if self.count == 0:
            return None
        variance = (self.sum_of_squares - self.sum * self.sum / self.count) / self.count
        return self.scale * math.sqrt(max(variance, 0.0))


def _destination(path: Any) -> Path:
    """Where a file of that name is to be: links are followed, so that they go on pointing to it."""
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"path must be a string or a path; got {path!r}")
    destination = Path(os.path.realpath(path))
    if destination.exists() and not destination.is_file():
        raise ValueError(f"path must name a regular file; got {os.fspath(path)!r}")
    if not destination.parent.is_dir():
        raise ValueError(f"path must be in an existing folder; got {os.fspath(path)!r}")
    return destination


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    """A new file beside `path` that takes its place once it is complete and on disk, or is removed."""
    temporary = path.parent / f".fastinit-{secrets.token_hex(8)}.tmp"
    try:
        with open(temporary, "xb") as file:  # made with the permissions that the umask leaves, as any new file
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename == os.fspath(temporary):
            raise OSError(error.errno, error.strerror, os.fspath(path)) from error  # the name that the caller knows
        raise
