# cython: language_level=3, embedsignature=False
"""The crossing into C: checks a buffer, releases the GIL, fills in parallel."""

from cpython.buffer cimport PyBUF_STRIDES, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int64_t, uint64_t

cdef extern from "Python.h":
    int PyErr_CheckSignals() noexcept  # what it raised is for `fi_fill`'s caller, not for the callback

cdef extern from "fastinit.h":
    enum:
        FI_PARAMETERS
        FI_MAX_AXES
        FI_MAX_THREADS
        FI_THREAD_ELEMENTS
        FI_TILE_BLOCKS
        FI_words_uint32
        FI_KINDS

    ctypedef struct fi_kind_facts:
        const char *law
        const char *dtype
        unsigned itemsize

    const fi_kind_facts fi_kinds[]

    ctypedef struct fi_draw:
        uint64_t seed
        uint64_t stream
        double parameters[9]

    ctypedef void fi_kernel(const fi_draw *draw, uint64_t block, const uint64_t *blocks, void *out,
                           size_t tiles) noexcept nogil

    ctypedef struct fi_isa:
        const char *name
        int (*supported)() noexcept nogil
        fi_kernel **kernels

    const fi_isa fi_isas[]
    const int fi_isa_count
    const char fi_compiler[]

    ctypedef struct fi_float_state:
        pass

    fi_float_state fi_float_default() noexcept nogil
    void fi_float_restore(fi_float_state state) noexcept nogil

    void fi_prefer_huge_pages(void *memory, size_t bytes) noexcept nogil

    ctypedef struct fi_axis:
        uint64_t count
        int64_t step
        int64_t stride

    ctypedef struct fi_part:
        char *out
        uint64_t start
        int axes
        fi_axis axis[64]

    ctypedef int fi_check(void *context) noexcept nogil

    int fi_fill(const fi_isa *isa, int kind, const fi_draw *draw, const fi_part *part, int threads,
                fi_check *check, void *context) except? -1 nogil


KINDS = {
    (fi_kinds[i].law.decode(), fi_kinds[i].dtype.decode()): i for i in range(FI_KINDS) if i != FI_words_uint32
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


def fill(out, int kind, tuple parameters, uint64_t seed, uint64_t stream, uint64_t start, int threads, str isa=None,
         tuple steps=None):
    """Fill the writable buffer `out`, of any strides, with a part of a draw.

    Its first element is element `start` of the draw, and one position further along an axis is as many elements
    further as `steps` says for that axis; by default `out` holds consecutive elements in C order. `kind` is a value of
    `KINDS` and decides the item size; the caller has checked the dtype, and that no two elements share memory.
    """
    cdef const fi_isa *with_isa = chosen if isa is None else find(isa)
    cdef fi_draw draw
    cdef fi_part part
    cdef Py_buffer view
    cdef Py_ssize_t i
    cdef int64_t step = 1
    draw.seed = seed
    draw.stream = stream
    for i in range(len(parameters)):
        draw.parameters[i] = parameters[i]
    for i in range(len(parameters), FI_PARAMETERS):
        draw.parameters[i] = 0.0
    PyObject_GetBuffer(out, &view, PyBUF_WRITABLE | PyBUF_STRIDES)
    try:
        if view.itemsize != <Py_ssize_t>fi_kinds[kind].itemsize:
            raise TypeError(f"out must have items of {fi_kinds[kind].itemsize} bytes; got {view.itemsize}")
        if view.ndim > FI_MAX_AXES:
            raise ValueError(f"out must have at most {FI_MAX_AXES} axes; got {view.ndim}")
        part.out = <char *>view.buf
        part.start = start
        part.axes = view.ndim
        for i in range(view.ndim - 1, -1, -1):
            part.axis[i].count = view.shape[i]
            part.axis[i].stride = view.strides[i]
            part.axis[i].step = step if steps is None else steps[i]
            step *= view.shape[i]
        with nogil:
            fi_fill(with_isa, kind, &draw, &part, threads, check_signals, NULL)
    finally:
        PyBuffer_Release(&view)


def prefer_huge_pages(out):
    """Ask for huge pages below `out`, a C-contiguous writable buffer that is about to be touched for the first time.

    NumPy does so for its own arrays.
    """
    cdef Py_buffer view
    PyObject_GetBuffer(out, &view, PyBUF_WRITABLE | PyBUF_STRIDES)
    fi_prefer_huge_pages(view.buf, view.len)
    PyBuffer_Release(&view)


def words(uint64_t seed, uint64_t stream, uint64_t block, int tiles=1, str isa=None):
    """The stream's own 32-bit words, little-endian, from `block` (a multiple of 32) on: 512 bytes a tile."""
    cdef const fi_isa *with_isa = chosen if isa is None else find(isa)
    cdef fi_draw draw
    cdef bytearray out = bytearray(tiles * FI_TILE_BLOCKS * 16)
    cdef char *to = out
    if block % FI_TILE_BLOCKS:
        raise ValueError(f"block must be a multiple of {FI_TILE_BLOCKS}; got {block}")
    draw.seed = seed
    draw.stream = stream
    with_isa.kernels[FI_words_uint32](&draw, block, NULL, to, tiles)
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
