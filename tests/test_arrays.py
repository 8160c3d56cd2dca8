"""`fill` into any array: strided or misaligned, of NumPy or of another library, and what cannot be filled."""

import array
import ctypes
import gc
import mmap
import re
import weakref

import numpy as np
import pytest

import fastinit as fi

from .helpers import ALL_DTYPES, as_dtype

all_dtypes = pytest.mark.parametrize("dtype", ALL_DTYPES)

NUMPY = tuple(map(int, np.__version__.split(".")[:2]))
OUT_RULE = "out must be a NumPy array, or an array in main memory with the buffer protocol or __dlpack__; got "
DTYPE_RULE = "out must be an array of float32, float64, float16, bfloat16, complex64 or complex128; got "
FILLER = 0xA5


def expected(shape, dtype="float32", initialization="normal"):
    return fi.initialize(shape, initialization, seed=1, stream="w", dtype=dtype)


def fill(out, initialization="normal", **keywords):
    """Fill it, and see that `fill` returns the very object."""
    assert fi.fill(out, initialization, seed=1, stream="w", **keywords) is out
    return out


def raises(error, text, out, **keywords):
    with pytest.raises(error, match=f"^{re.escape(text)}$"):
        fi.fill(out, "ones", **keywords)


# ---- NumPy's own ----


@pytest.mark.parametrize(
    "view",
    [
        lambda a: a[:, :2],
        lambda a: a[::2],
        lambda a: a[::-1],
        lambda a: a[:, ::-1],
        lambda a: a[::-2, 1:, ::-3],
        lambda a: a.T,
        lambda a: a.transpose(1, 2, 0),
        lambda a: a[..., 3],
        lambda a: a[2, :, 1],
        lambda a: a[2, 3, 4, ...],
        lambda a: a[:, None, ::2],
        lambda a: a[1:1],
        lambda a: a.swapaxes(0, 1)[1:-1, ::2, ::-1],
        lambda a: np.moveaxis(a, 0, -1)[::-1],
        lambda a: np.diagonal(np.diagonal(a)),
    ],
)
@pytest.mark.parametrize("order", ["C", "F"])
@all_dtypes
def test_views(view, order, dtype):
    """The part becomes what a new array of its shape is, and all beside it stays."""
    whole = np.zeros((5, 7, 9), as_dtype(dtype), order)
    plain = whole.copy(order)
    out, beside = view(whole), view(plain)
    if not out.flags.writeable:  # NumPy gives diagonals so
        out.flags.writeable = beside.flags.writeable = True
    fill(out)
    assert out.tobytes() == expected(out.shape, dtype).tobytes()
    beside[...] = expected(out.shape, dtype)
    assert whole.tobytes() == plain.tobytes()


@pytest.mark.parametrize("order", ["F", "A", "K"])
@all_dtypes
def test_fortran_order(order, dtype):
    out = np.empty((65, 33), as_dtype(dtype), order="F").copy(order)
    assert out.flags.f_contiguous
    assert fill(out, "he").tobytes() == expected((65, 33), dtype, "he").tobytes()


@pytest.mark.parametrize("offset", range(8))
@pytest.mark.parametrize("pitch", [0, 1, 3])
@all_dtypes
def test_misaligned(offset, pitch, dtype):
    """Any address, and rows that lie any number of bytes apart."""
    dtype = as_dtype(dtype)
    row = 40 * dtype.itemsize + pitch
    memory = bytearray([FILLER]) * (30 * row + 16)
    out = np.ndarray((30, 40), dtype, memory, offset, (row, dtype.itemsize))
    fill(out)
    values = expected((30, 40), dtype)
    assert out.tobytes() == values.tobytes()
    plain = bytearray([FILLER]) * (30 * row + 16)
    for k in range(30):
        begin = offset + k * row
        plain[begin : begin + 40 * dtype.itemsize] = values[k].tobytes()
    assert memory == plain


@all_dtypes
def test_fields_of_records(dtype):
    records = np.zeros(100, [("id", "i4"), ("weight", as_dtype(dtype)), ("tag", "u1")])
    fill(records["weight"])
    assert records["weight"].tobytes() == expected(100, dtype).tobytes()
    assert not records["id"].any()
    assert not records["tag"].any()


def test_parts_of_complex_numbers():
    numbers = np.zeros((6, 5), np.complex64)
    fill(numbers.imag)
    assert numbers.imag.tobytes() == expected((6, 5)).tobytes()
    assert not numbers.real.any()


@all_dtypes
def test_scalars(dtype):
    out = np.zeros((), as_dtype(dtype))
    assert fill(out).tobytes() == expected((), dtype).tobytes()
    whole = np.zeros((3, 4), as_dtype(dtype))
    fill(whole[1, 2, ...])
    assert np.flatnonzero(whole.astype(float)).tolist() == [6]
    assert whole[1, 2].tobytes() == out.tobytes()


@pytest.mark.parametrize("strides", [(0, 0), (3, 1), (-400, 4), (2**40, -(2**40)), (4, 4)])
@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (0, 0)])
def test_without_elements(shape, strides):
    """There is nothing to overlap and nothing to write, whatever the strides say."""
    memory = np.full(4, FILLER, np.float32)
    out = np.lib.stride_tricks.as_strided(memory[2:], shape, strides)
    fill(out)
    assert (memory == FILLER).all()


def test_axes_of_one_element_may_have_any_stride():
    memory = np.full(40, FILLER, np.float32)
    for strides in ((0, 4), (2, 4), (-4, 4), (4, 4)):
        fill(np.lib.stride_tricks.as_strided(memory[3:], (1, 30), strides))
        assert memory[3:33].tobytes() == expected((1, 30)).tobytes()
        assert (memory[[*range(3), *range(33, 40)]] == FILLER).all()


class Array(np.ndarray):
    """A subclass, here one whose indexing and arithmetic cannot be used."""

    def __getitem__(self, index):
        raise AssertionError("looked at")

    def __array_finalize__(self, parent):
        self.name = "weights"

    def __array_ufunc__(self, *_, **__):
        raise AssertionError("computed with")


@all_dtypes
def test_subclasses(dtype):
    out = np.empty((7, 5), as_dtype(dtype)).view(Array)
    assert fill(out).name == "weights"
    assert out.tobytes() == expected((7, 5), dtype).tobytes()
    transposed = np.empty((5, 7), as_dtype(dtype)).view(Array).T
    assert fill(transposed).tobytes() == expected((7, 5), dtype).tobytes()


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
def test_matrix_and_masked_array():
    matrix = np.matrix(np.zeros((6, 5), np.float32))
    assert fill(matrix.T, "he").tobytes() == expected((5, 6), initialization="he").tobytes()
    masked = np.ma.masked_all((6, 5), np.float32)
    assert fill(masked).mask.all()
    assert masked.data.tobytes() == expected((6, 5)).tobytes()


@pytest.mark.parametrize("mode", ["w+", "r+"])
@all_dtypes
def test_memmap(mode, dtype, tmp_path):
    """A mapped file, whole, then one column block of it."""
    path, dtype = tmp_path / "weights", as_dtype(dtype)
    path.write_bytes(b"header" + bytes(48 * dtype.itemsize))
    mapped = np.memmap(path, dtype, mode, 6, (6, 8))
    fill(mapped)
    mapped.flush()
    prefix = b"header" if mode == "r+" else bytes(6)
    assert path.read_bytes() == prefix + expected((6, 8), dtype).tobytes()
    fill(mapped[:, 3:5], "he")
    mapped.flush()
    whole = expected((6, 8), dtype)
    whole[:, 3:5] = expected((6, 2), dtype, "he")
    assert path.read_bytes() == prefix + whole.tobytes()


def test_read_only_memmap(tmp_path):
    (tmp_path / "weights").write_bytes(bytes(40))
    mapped = np.memmap(tmp_path / "weights", np.float32, "r")
    raises(ValueError, "out must be writable; got a read-only array", mapped)
    mapped = np.memmap(tmp_path / "weights", np.float32, "c")  # a private copy is writable
    assert fill(mapped).tobytes() == expected(10).tobytes()
    assert (tmp_path / "weights").read_bytes() == bytes(40)


# ---- the buffer protocol ----


@pytest.mark.parametrize(("code", "dtype"), [("f", "float32"), ("d", "float64")])
def test_array_array(code, dtype):
    out = fill(array.array(code, bytes(100 * np.dtype(dtype).itemsize)))
    assert out.tobytes() == expected(100, dtype).tobytes()
    out.append(1.0)  # no view is left that would forbid it
    assert len(out) == 101


@pytest.mark.parametrize(
    "view",
    [
        lambda a: a,
        lambda a: a.T,
        lambda a: a[::-1],
        lambda a: a[:, 1:4],
        lambda a: a[::2, ::-2],
        lambda a: a[3, 2, ...],
        lambda a: a[2:2],
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_memoryview(view, dtype):
    """Of any strides, not of bytes only."""
    whole = np.zeros((6, 8), dtype)
    plain = whole.copy()
    out = fill(memoryview(view(whole)))
    assert out.shape == view(whole).shape
    view(plain)[...] = expected(out.shape, dtype)
    assert whole.tobytes() == plain.tobytes()


@pytest.mark.parametrize(("code", "dtype"), [("f", "float32"), ("d", "float64")])
def test_cast_memoryview(code, dtype):
    memory = bytearray(24 * np.dtype(dtype).itemsize)
    fill(memoryview(memory).cast(code, (4, 6)), "he")
    assert memory == expected((4, 6), dtype, "he").tobytes()


def test_mmap():
    with mmap.mmap(-1, 4096) as memory:
        with memoryview(memory) as view, view.cast("f", (32, 32)) as out:
            fill(out)
        assert memory[:] == expected((32, 32)).tobytes()
        raises(TypeError, DTYPE_RULE + "uint8", memory)


@pytest.mark.parametrize(("kind", "dtype"), [(ctypes.c_float, "float32"), (ctypes.c_double, "float64")])
def test_ctypes(kind, dtype):
    out = fill(((kind * 5) * 6)(), "he")
    assert bytes(out) == expected((6, 5), dtype, "he").tobytes()
    out = fill((kind * 7)())
    assert bytes(out) == expected(7, dtype).tobytes()
    assert bytes(fill(kind(7))) == expected((), dtype).tobytes()


def test_parts_into_buffers():
    """A part of a tensor goes wherever the whole would."""
    part = fi.initialize((60, 50), "he", seed=1, stream="w", index=np.s_[::-7, 3:33])
    out = fill(((ctypes.c_float * 30) * 9)(), "he", shape=(60, 50), index=np.s_[::-7, 3:33])
    assert bytes(out) == part.tobytes()
    row = fill(array.array("f", bytes(120)), "he", shape=(60, 50), index=np.s_[59, 3:33])
    assert row.tobytes() == part[0].tobytes()


@pytest.mark.parametrize(
    ("out", "got"),
    [
        (array.array("i", [1, 2]), "int32"),
        (array.array("B", b"ab"), "uint8"),
        (bytearray(8), "uint8"),
        (memoryview(bytearray(8)), "uint8"),
        (memoryview(np.zeros(3, np.int16)), "int16"),
        ((ctypes.c_int32 * 3)(), "int32"),
        (memoryview(np.zeros(3, np.clongdouble)), np.dtype(np.clongdouble).name),
    ],
)
def test_buffers_of_other_dtypes(out, got):
    before = bytes(out)
    raises(TypeError, DTYPE_RULE + got, out)
    assert bytes(out) == before


@pytest.mark.parametrize("out", [memoryview(array.array("f", [7.0] * 3)).toreadonly(), memoryview(bytes(8)).cast("f")])
def test_read_only_buffers(out):
    before = out.tobytes()
    raises(ValueError, "out must be writable; got a read-only array", out)
    assert out.tobytes() == before


def test_buffers_that_numpy_cannot_read():
    """An error in this package's words, whatever the other library says."""
    released = memoryview(bytearray(8))
    released.release()
    for out in ((ctypes.c_void_p * 3)(), released):
        with pytest.raises((TypeError, ValueError), match=r"^out must be "):
            fi.fill(out, "ones")


def test_bytes_are_no_weights():
    raises(TypeError, DTYPE_RULE + "uint8", bytes(8))


@all_dtypes
def test_foreign_byte_order(dtype):
    foreign = np.full((3, 4), 7, as_dtype(dtype).newbyteorder())
    before = foreign.tobytes()
    for out in (foreign, foreign.T, foreign[::2]):
        raises(TypeError, DTYPE_RULE + f"{dtype} in foreign byte order", out)
    assert foreign.tobytes() == before


def test_foreign_byte_order_in_a_buffer():
    foreign = np.full((3, 4), 7, np.dtype("f4").newbyteorder())
    raises(TypeError, DTYPE_RULE + "float32 in foreign byte order", memoryview(foreign))
    assert (foreign == 7).all()


# ---- DLPack ----


class Tensor:
    """A tensor of another library: nothing but what DLPack asks for."""

    def __init__(self, of, device=(1, 0)):
        self.of, self.device = of, device

    def __dlpack__(self, **keywords):
        if self.device != (1, 0):
            raise BufferError("the tensor is on a GPU")
        return self.of.__dlpack__(**keywords)

    def __dlpack_device__(self):
        return self.device


needs_writable_dlpack = pytest.mark.skipif(NUMPY < (2, 1), reason="before 2.1, NumPy takes no keywords of DLPack")


@needs_writable_dlpack
@pytest.mark.parametrize("view", [lambda a: a, lambda a: a.T, lambda a: a[::2, ::-3], lambda a: a[2, 3, ...]])
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_dlpack(view, dtype):
    whole = np.zeros((6, 8), dtype)
    plain = whole.copy()
    fill(Tensor(view(whole)))
    view(plain)[...] = expected(view(plain).shape, dtype)
    assert whole.tobytes() == plain.tobytes()


@needs_writable_dlpack
def test_dlpack_is_let_go():
    """The other library's memory is not held once it is filled."""
    whole = np.zeros(10, np.float32)
    gone = weakref.ref(whole)
    fill(Tensor(whole))
    del whole
    gc.collect()
    assert gone() is None


@needs_writable_dlpack
def test_dlpack_errors():
    raises(TypeError, DTYPE_RULE + "int64", Tensor(np.zeros(3, np.int64)))
    fixed = np.zeros(3, np.float32)
    fixed.flags.writeable = False
    raises(ValueError, "out must be writable; got a read-only array", Tensor(fixed))
    assert not fixed.any()


@pytest.mark.parametrize("device", [(2, 0), (2, 3), (8, 0), (10, 1)])
def test_dlpack_on_another_device(device):
    raises(TypeError, OUT_RULE + "Tensor: the tensor is on a GPU", Tensor(np.zeros(3, np.float32), device))


def test_an_error_of_the_other_library_is_told():
    class Broken:
        def __dlpack__(self, **_):
            raise BufferError("cannot export a tensor that requires grad")

        def __dlpack_device__(self):
            return (1, 0)

    raises(TypeError, OUT_RULE + "Broken: cannot export a tensor that requires grad", Broken())


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
def test_torch(dtype):
    torch = pytest.importorskip("torch")
    whole = torch.zeros((6, 8), dtype=getattr(torch, dtype))
    for out in (whole, whole.T, whole[::2, 1:5], whole[3, 2]):
        if dtype == "bfloat16":  # NumPy has no such dtype to take it as
            with pytest.raises(TypeError, match=f"^{re.escape(OUT_RULE)}Tensor: "):
                fi.fill(out, "normal", seed=1, stream="w")
        else:
            fill(out)
            assert out.numpy().tobytes() == expected(tuple(out.shape), dtype).tobytes()


def test_a_torch_parameter():
    torch = pytest.importorskip("torch")
    parameter = torch.nn.Parameter(torch.zeros(6, 5))
    with pytest.raises(TypeError, match=f"^{re.escape(OUT_RULE)}Parameter: "):
        fi.fill(parameter, "he", seed=1)
    assert not parameter.detach().numpy().any()
    fill(parameter.detach(), "he")
    assert parameter.detach().numpy().tobytes() == expected((6, 5), initialization="he").tobytes()


# ---- what overlaps itself ----

as_strided = np.lib.stride_tricks.as_strided


@pytest.mark.parametrize(
    ("shape", "strides"),
    [
        ((3, 4), (0, 4)),
        ((3, 4), (4, 0)),
        ((2,), (0,)),
        ((5,), (2,)),
        ((5,), (-3,)),
        ((3, 4), (4, 4)),
        ((3, 4), (8, 4)),
        ((3, 4), (15, 4)),
        ((3, 4), (-12, -4)),
        ((4, 3), (4, 12)),
        ((2, 3, 4), (16, 16, 4)),
        ((2, 1, 4), (12, 999, 4)),
        ((1, 2), (4, 0)),
    ],
)
def test_overlapping(shape, strides):
    memory = np.full(64, FILLER, np.float32)
    out = as_strided(memory[32:], shape, strides)
    text = f"out must not overlap itself; got shape {shape} with strides {strides}"
    raises(ValueError, text, out)
    raises(ValueError, text, out, shape=shape, index=...)
    assert (memory == FILLER).all()


def test_broadcast():
    column = np.full((3, 1), FILLER, np.float32)
    out = np.broadcast_to(column, (3, 4))
    raises(ValueError, "out must be writable; got a read-only array", out)
    writable = as_strided(column, (3, 4), (4, 0))
    raises(ValueError, "out must not overlap itself; got shape (3, 4) with strides (4, 0)", writable)
    windows = np.lib.stride_tricks.sliding_window_view(np.full(9, FILLER, np.float32), 3, writeable=True)
    raises(ValueError, "out must not overlap itself; got shape (7, 3) with strides (4, 4)", windows)
    assert (column == FILLER).all()


@pytest.mark.parametrize(
    ("shape", "strides"),
    [
        ((3, 4), (16, 4)),
        ((3, 4), (17, 4)),
        ((3, 4), (-16, 4)),
        ((4, 3), (4, 16)),
        ((2, 3, 4), (48, 16, 4)),
        ((1, 2), (0, 5)),
    ],
)
def test_side_by_side(shape, strides):
    """The closest that does not overlap."""
    memory = np.full(64, FILLER, np.float32)
    out = as_strided(memory[32:], shape, strides)
    assert fill(out).tobytes() == expected(shape).tobytes()
