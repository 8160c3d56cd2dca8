# cython: language_level=3, embedsignature=False
"""The crossing into C: checks a buffer, releases the GIL, fills in parallel."""

from cpython.buffer cimport PyBUF_C_CONTIGUOUS, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport uint64_t

cdef extern from "Python.h":
    int PyErr_CheckSignals() noexcept  # what it raised is for `fi_fill`'s caller, not for the callback

cdef extern from "fastinit.h":
    enum:
        FI_PARAMETERS
        FI_MAX_THREADS
        FI_THREAD_ELEMENTS
        FI_WORDS_UINT32
        FI_CONSTANT_FLOAT32
        FI_CONSTANT_FLOAT64
        FI_UNIFORM_FLOAT32
        FI_UNIFORM_FLOAT64
        FI_NORMAL_FLOAT32
        FI_NORMAL_FLOAT64
        FI_TRUNCATED_FLOAT32
        FI_TRUNCATED_FLOAT64
        FI_TRUNCATED_WIDE_FLOAT32
        FI_TRUNCATED_WIDE_FLOAT64
        FI_TRUNCATED_FAR_FLOAT32
        FI_TRUNCATED_FAR_FLOAT64
        FI_TILE_BYTES
        FI_TILE_BLOCKS

    ctypedef struct fi_draw:
        uint64_t seed
        uint64_t stream
        double parameters[9]

    ctypedef void fi_kernel(const fi_draw *draw, uint64_t block, void *out, size_t tiles) noexcept nogil

    ctypedef struct fi_isa:
        const char *name
        int (*supported)() noexcept nogil
        fi_kernel *kernels[13]

    const fi_isa fi_isas[]
    const int fi_isa_count
    const char fi_compiler[]

    ctypedef struct fi_float_state:
        pass

    fi_float_state fi_float_default() noexcept nogil
    void fi_float_restore(fi_float_state state) noexcept nogil
    size_t fi_itemsize(int kind) noexcept nogil

    ctypedef int fi_check(void *context) noexcept nogil

    int fi_fill(const fi_isa *isa, int kind, const fi_draw *draw, void *out, uint64_t start, uint64_t count,
                int threads, fi_check *check, void *context) except? -1 nogil


KINDS = {
    ("constant", "float32"): FI_CONSTANT_FLOAT32,
    ("constant", "float64"): FI_CONSTANT_FLOAT64,
    ("uniform", "float32"): FI_UNIFORM_FLOAT32,
    ("uniform", "float64"): FI_UNIFORM_FLOAT64,
    ("normal", "float32"): FI_NORMAL_FLOAT32,
    ("normal", "float64"): FI_NORMAL_FLOAT64,
    ("truncated", "float32"): FI_TRUNCATED_FLOAT32,
    ("truncated", "float64"): FI_TRUNCATED_FLOAT64,
    ("truncated_wide", "float32"): FI_TRUNCATED_WIDE_FLOAT32,
    ("truncated_wide", "float64"): FI_TRUNCATED_WIDE_FLOAT64,
    ("truncated_far", "float32"): FI_TRUNCATED_FAR_FLOAT32,
    ("truncated_far", "float64"): FI_TRUNCATED_FAR_FLOAT64,
}
MAX_THREADS = FI_MAX_THREADS
THREAD_ELEMENTS = FI_THREAD_ELEMENTS
COMPILER = fi_compiler.decode()
BUILT_ISAS = tuple([fi_isas[i].name.decode() for i in range(fi_isa_count)])
AVAILABLE_ISAS = tuple([fi_isas[i].name.decode() for i in range(fi_isa_count) if fi_isas[i].supported()])

cdef const fi_isa *chosen = &fi_isas[0]


cdef const fi_isa *find(str isa) except NULL:
    if isa not in AVAILABLE_ISAS:
        raise ValueError(f"isa must be one of {', '.join(AVAILABLE_ISAS)}; got {isa!r}")
    return &fi_isas[BUILT_ISAS.index(isa)]


def choose(str isa):
    """Make `isa` the instruction set of every later fill that does not name one."""
    global chosen
    chosen = find(isa)


def chosen_isa():
    """The instruction set of fills that do not name one."""
    return chosen.name.decode()


cdef int check_signals(void *context) noexcept with gil:
    return PyErr_CheckSignals()


def fill(out, int kind, tuple parameters, uint64_t seed, uint64_t stream, uint64_t start, int threads, str isa=None):
    """Fill the writable C-contiguous buffer `out` with elements `start` and on of a draw.

    `kind` is a value of `KINDS` and decides the item size; the caller has checked the dtype.
    """
    cdef const fi_isa *with_isa = chosen if isa is None else find(isa)
    cdef fi_draw draw
    cdef Py_buffer view
    cdef Py_ssize_t i
    draw.seed = seed
    draw.stream = stream
    for i in range(len(parameters)):
        draw.parameters[i] = parameters[i]
    for i in range(len(parameters), FI_PARAMETERS):
        draw.parameters[i] = 0.0
    PyObject_GetBuffer(out, &view, PyBUF_WRITABLE | PyBUF_C_CONTIGUOUS)
    try:
        if view.itemsize != <Py_ssize_t>fi_itemsize(kind):
            raise TypeError(f"out must have items of {fi_itemsize(kind)} bytes; got {view.itemsize}")
        with nogil:
            fi_fill(with_isa, kind, &draw, view.buf, start, <uint64_t>(view.len // view.itemsize), threads,
                    check_signals, NULL)
    finally:
        PyBuffer_Release(&view)


def words(uint64_t seed, uint64_t stream, uint64_t block, int tiles=1, str isa=None):
    """The stream's own 32-bit words, little-endian, from `block` (a multiple of 32) on: 512 bytes a tile."""
    cdef const fi_isa *with_isa = chosen if isa is None else find(isa)
    cdef fi_draw draw
    cdef bytearray out = bytearray(tiles * FI_TILE_BYTES)
    cdef char *to = out
    if block % FI_TILE_BLOCKS:
        raise ValueError(f"block must be a multiple of {FI_TILE_BLOCKS}; got {block}")
    draw.seed = seed
    draw.stream = stream
    with_isa.kernels[FI_WORDS_UINT32](&draw, block, to, tiles)
    return out


cdef class default_float_environment:
    """A context in which this thread rounds to nearest and keeps subnormal numbers, whatever was set before.

    Python's own arithmetic that decides bits runs in it, too.
    """

    cdef fi_float_state state

    def __enter__(self):
        self.state = fi_float_default()

    def __exit__(self, *exception):
        fi_float_restore(self.state)
