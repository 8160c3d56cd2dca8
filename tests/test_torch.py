"""PyTorch's adapter on one process: the names of torch.nn.init, unchanged code that builds models, whole modules."""

import contextlib
import importlib
import inspect
import itertools
import math
import threading
import warnings

import numpy as np
import pytest

import fastinit as fi
from fastinit._fans import Fans

from .helpers import peer

torch = peer("torch")
adapter = importlib.import_module("fastinit.torch")
nn, init = torch.nn, torch.nn.init
INF = math.inf
REAL = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
OWN_TRUNC_NORMAL = init._no_grad_trunc_normal_


@pytest.fixture(autouse=True)
def restored():
    """No test leaves anything of PyTorch replaced."""
    torch.manual_seed(1)
    yield
    assert init._no_grad_trunc_normal_ is OWN_TRUNC_NORMAL
    assert not torch.utils._python_dispatch._get_current_dispatch_mode_stack()


def generator(seed=42):
    return torch.Generator().manual_seed(seed)


def word(source):
    """The 64 bits that PyTorch's Mersenne twister gives next."""
    return int(torch.empty((), dtype=torch.int64).random_(-(2**63), None, generator=source)) % 2**64


def state(source=None):
    return (torch.get_rng_state() if source is None else source.get_state()).numpy().tobytes()


def name_of(dtype):
    return str(dtype).removeprefix("torch.")


def bits(tensor):
    """What is in a tensor, as bytes in C order."""
    plain = tensor.detach().resolve_conj().resolve_neg().clone(memory_format=torch.contiguous_format)
    return plain.reshape(-1).view(torch.uint8).numpy().tobytes()


def core(shape, strategy, seed, dtype=torch.float32, **options):
    return fi.initialize(tuple(shape), strategy, seed=seed, dtype=name_of(dtype), **options).tobytes()


def outcome(call, *args, **kwargs):
    """What a call gives, or the error that it raises."""
    try:
        return call(*args, **kwargs)
    except Exception as error:
        return type(error), str(error)


# ---- torch.nn.init: faces ----


def face(function):
    parameters = inspect.signature(function).parameters.values()
    return [(parameter.name, parameter.kind, parameter.default) for parameter in parameters]


@pytest.mark.parametrize("name", init.__all__)
def test_signatures(name):
    assert name in adapter.__all__
    assert face(getattr(adapter, name)) == face(getattr(init, name))
    assert getattr(adapter, name).__doc__


def test_names():
    assert set(adapter.__all__) == {*init.__all__, "accelerate", "initialize"}
    assert adapter.__all__ == sorted(adapter.__all__)


NONLINEARITIES = [
    *(f"conv{transposed}{n}d" for transposed in ("", "_transpose") for n in (1, 2, 3)),
    *("linear", "sigmoid", "tanh", "relu", "leaky_relu", "selu"),
]


@pytest.mark.parametrize("nonlinearity", NONLINEARITIES)
def test_gains(nonlinearity):
    assert adapter.calculate_gain(nonlinearity) == init.calculate_gain(nonlinearity) == fi.gain(nonlinearity)


# ---- torch.nn.init: values ----


def absolute(mean=0.0, std=1.0, a=-2.0, b=2.0):
    return fi.truncated_normal(mean, std, a, b, bounds="absolute")


#: A call's name and arguments, and what it draws.
ANY_SHAPE = [
    ("uniform_", (), fi.uniform()),
    ("uniform_", (-2.0, 0.5), fi.uniform(-2.0, 0.5)),
    ("uniform_", (0.25, 0.25), fi.constant(0.25)),
    ("normal_", (), fi.normal()),
    ("normal_", (0.5, 3), fi.normal(0.5, 3.0)),
    ("normal_", (0.5, 0.0), fi.constant(0.5)),
    ("trunc_normal_", (), absolute()),
    ("trunc_normal_", (0.0, 0.02, -0.04, 0.03), absolute(0.0, 0.02, -0.04, 0.03)),
    ("trunc_normal_", (1.0, 2.0, 0.5, INF), absolute(1.0, 2.0, 0.5, INF)),
    ("trunc_normal_", (1.0, 2.0, -INF, INF), absolute(1.0, 2.0, -INF, INF)),
    ("trunc_normal_", (0.0, 1.0, 0.5, 0.5), fi.constant(0.5)),
]
WITH_FANS = [
    ("xavier_uniform_", (), fi.xavier_uniform()),
    ("xavier_uniform_", (5 / 3,), fi.xavier_uniform(gain=5 / 3)),
    ("xavier_uniform_", (0.0,), fi.zeros()),
    ("xavier_normal_", (0.1,), fi.xavier_normal(gain=0.1)),
    ("xavier_normal_", (0,), fi.zeros()),
    ("kaiming_uniform_", (), fi.he_uniform(negative_slope=0.0)),
    ("kaiming_uniform_", (math.sqrt(5), "FAN_OUT"), fi.he_uniform(negative_slope=math.sqrt(5), mode="fan_out")),
    ("kaiming_normal_", (7, "fan_in", "relu"), fi.he_normal()),
    *(
        ("kaiming_normal_", (0, "fan_out", f), fi.he_normal(nonlinearity=f, mode="fan_out"))
        for f in NONLINEARITIES[-5:-2]
    ),
    ("orthogonal_", (), fi.orthogonal()),
    ("orthogonal_", (-0.5,), fi.orthogonal(gain=-0.5)),
]
MATRICES = [
    ("sparse_", (0.3,), fi.sparse(0.3)),
    ("sparse_", (1, 2.0), fi.sparse(1.0, 2.0)),
    ("eye_", (), fi.eye()),
]
CONVOLUTIONS = [("dirac_", (), fi.dirac()), ("dirac_", (2,), fi.dirac())]
FIXED = ("eye_", "dirac_")
CALLS = [
    *((call, shape) for call in ANY_SHAPE for shape in [(), (1,), (7,), (6, 5), (2, 3, 4, 2)]),
    *((call, shape) for call in WITH_FANS for shape in [(1, 1), (6, 5), (3, 8), (4, 3, 2, 3)]),
    *((call, shape) for call in MATRICES for shape in [(1, 1), (6, 5), (3, 8)]),
    *((call, shape) for call in CONVOLUTIONS for shape in [(4, 3, 3), (2, 5, 3, 2), (6, 4, 1, 3, 2)]),
]


def base_of(shape, dtype):
    """A tensor twice as long and one along each axis, where every element is 7."""
    return torch.full([2 * n + 1 for n in shape], 7, dtype=dtype)


#: Tensors of a shape and a dtype in every kind of memory.
MEMORY = {
    "contiguous": lambda shape, dtype: torch.empty(shape, dtype=dtype),
    "parameter": lambda shape, dtype: nn.Parameter(torch.empty(shape, dtype=dtype)),
    "transposed": lambda shape, dtype: torch.empty(shape[::-1], dtype=dtype).permute(list(range(len(shape)))[::-1]),
    "with steps": lambda shape, dtype: base_of(shape, dtype)[tuple(slice(1, None, 2) for _ in shape)],
    "offset": lambda shape, dtype: torch.empty(math.prod(shape) + 3, dtype=dtype)[3:].view(shape),
}


@pytest.mark.parametrize("dtype", REAL, ids=name_of)
@pytest.mark.parametrize("memory", MEMORY)
def test_values(memory, dtype):
    """Those of the core for one word of the generator, to the bit, in any memory; the version is counted once."""
    for (name, args, strategy), shape in CALLS:
        call, tensor = getattr(adapter, name), MEMORY[memory](shape, dtype)
        given, seen = {} if name in FIXED else {"generator": generator()}, generator()
        seed = 0 if name in FIXED else word(seen)
        groups, before, default = args[0] if name == "dirac_" and args else 1, tensor._version, state()
        assert call(tensor, *args, **given) is tensor
        assert bits(tensor) == core(shape, strategy, seed, dtype, groups=groups), (name, args, shape)
        assert tensor._version == before + 1
        assert tensor.is_leaf
        assert state() == default
        assert all(state(source) == state(seen) for source in given.values())


@pytest.mark.parametrize("seed", [42, 43, 44])
def test_seeds(seed):
    """The default generator and one of one's own agree; the word is the twister's next 64 bits."""
    torch.manual_seed(seed)
    w, again = adapter.uniform_(torch.empty(9)), adapter.uniform_(torch.empty(9), generator=generator(seed))
    high, low = np.random.RandomState(seed).randint(2**32, size=2, dtype=np.uint64).tolist()
    assert bits(w) == bits(again) == core((9,), "uniform", high << 32 | low)
    assert state() == state(skipped(generator(seed)))
    assert bits(adapter.uniform_(torch.empty(9))) != bits(w)


def skipped(source):
    word(source)
    return source


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128], ids=name_of)
@pytest.mark.parametrize("memory", ["plain", "conjugate", "leaf"])
def test_complex_values(dtype, memory):
    for name, args, strategy in [
        ("normal_", (0.0, 2.0), fi.normal(0.0, 2.0)),
        ("xavier_normal_", (), fi.xavier_normal()),
        ("kaiming_normal_", (0.1,), fi.he_normal(negative_slope=0.1)),
        ("orthogonal_", (2.0,), fi.orthogonal(gain=2.0)),
        ("eye_", (), fi.eye()),
    ]:
        tensor = torch.empty(6, 4, dtype=dtype)
        if memory != "plain":
            tensor = tensor.conj()
        if memory == "leaf":
            tensor = nn.Parameter(tensor)
        seed, before = word(generator(1)), tensor._version
        torch.manual_seed(1)
        assert getattr(adapter, name)(tensor, *args) is tensor
        assert tensor.is_conj() == (memory != "plain")
        assert bits(tensor) == core((6, 4), strategy, seed, dtype)
        assert tensor._version == before + 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=name_of)
def test_negated_values(dtype):
    tensor = torch.empty(6, 4, dtype=torch.complex64 if dtype is torch.float32 else torch.complex128).conj().imag
    assert tensor.is_neg()
    adapter.uniform_(tensor, 1.0, 2.0, generator=generator())
    assert bits(tensor) == core((6, 4), fi.uniform(1.0, 2.0), word(generator()), dtype)


@pytest.mark.parametrize("dtype", REAL, ids=name_of)
def test_memory_that_no_array_reaches(dtype, monkeypatch):
    """As another device's: drawn in main memory and copied, which a leaf that requires gradients allows, too."""
    reach, tensor = adapter._array, nn.Parameter(torch.empty(7, 5, dtype=dtype))
    own = tensor.data_ptr()
    monkeypatch.setattr(adapter, "_array", lambda other: None if other.data_ptr() == own else reach(other))
    before = tensor._version
    adapter.normal_(tensor, generator=generator())
    assert bits(tensor) == core((7, 5), "normal", word(generator()), dtype)
    assert tensor._version == before + 1
    with adapter.accelerate(seed=42):
        init.normal_(tensor)
    assert bits(tensor) == core((7, 5), "normal", word(generator()), dtype)
    assert tensor._version == before + 2
    adapter.initialize(nn.ParameterList([tensor]), fi.Recipe([("0", "he")]), seed=3)
    assert bits(tensor) == core((7, 5), "he", 3, dtype, stream="0")
    assert tensor._version == before + 3


def test_interlaced_and_channels_last_memory():
    interlaced = nn.Parameter(torch.zeros(8).as_strided((2, 3), (3, 2)))  # 0 2 4, 3 5 7: no two are one
    adapter.normal_(interlaced, generator=generator())
    assert bits(interlaced) == core((2, 3), "normal", word(generator()))
    last = torch.empty(4, 3, 5, 5).to(memory_format=torch.channels_last)
    adapter.kaiming_normal_(last, nonlinearity="relu", generator=generator())
    assert bits(last) == core((4, 3, 5, 5), "he", word(generator()))


@pytest.mark.parametrize("dtype", REAL, ids=name_of)
def test_large_tensors(dtype):
    """Of more than 4 MiB and on several threads; with a last row that is not filled."""
    base = torch.full((2049, 1031), 7, dtype=dtype)
    adapter.xavier_uniform_(base[:-1], generator=generator())
    assert bits(base[:-1]) == core((2048, 1031), "xavier_uniform", word(generator()), dtype)
    assert (base[-1] == 7).all()


def test_new_large_tensors_are_given_huge_pages(monkeypatch):
    asked = []
    monkeypatch.setattr(adapter._kernels, "prefer_huge_pages", lambda array: asked.append(array.shape))
    for shape in ((1 << 20,), ((1 << 20) - 1,), (1024, 1024)):
        adapter.normal_(torch.empty(shape))
    adapter.normal_(torch.empty(1024, 2048)[:, ::2])
    assert asked == [(1 << 20,), (1024, 1024)]


def test_only_the_tensor_is_written():
    base = base_of((5, 4), torch.float32)
    adapter.uniform_(base[1::2, 1::2])
    base[1::2, 1::2] = 7
    assert (base == 7).all()


class Named(torch.Tensor):
    """A subclass with nothing of its own."""


def test_other_tensors_that_are_plain():
    tensor = torch.empty(5).as_subclass(Named)
    assert type(adapter.uniform_(tensor, generator=generator())) is Named
    assert bits(tensor.as_subclass(torch.Tensor)) == core((5,), "uniform", word(generator()))
    source = torch.zeros(4)
    adapter.uniform_(torch._lazy_clone(source))  # shares memory until it is written
    assert not source.any()
    with torch.inference_mode():
        tensor = adapter.uniform_(torch.empty(5), generator=generator())
    assert bits(tensor) == core((5,), "uniform", word(generator()))


def test_arguments_of_other_types():
    """NumPy's and PyTorch's scalars are numbers; a tensor's value is read at every call."""
    scalar = torch.tensor(0.0)
    for value in (0.5, 0.25):
        scalar.fill_(value)
        for given in (value, np.float32(value), scalar):
            w = adapter.normal_(torch.empty(5), 0, given, generator=generator())
            assert bits(w) == core((5,), fi.normal(0.0, value), word(generator()))
        w = adapter.orthogonal_(torch.empty(3, 3), scalar, generator=generator())
        assert bits(w) == core((3, 3), fi.orthogonal(gain=value), word(generator()))


class Drawn(torch.utils._python_dispatch.TorchDispatchMode):
    """The bounds or moments that PyTorch draws from."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function in (torch.ops.aten.uniform_.default, torch.ops.aten.normal_.default):
            self.law = tuple(args[1:])
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("call", [c for c in WITH_FANS if "orthogonal" not in c[0]], ids=lambda c: f"{c[0]}{c[1]}")
def test_laws_are_those_of_pytorch(call):
    """The bounds agree to the rounding of the few operations that give them."""
    name, args, strategy = call
    for shape in [(6, 5), (31, 47, 3), (8, 16, 3, 5)]:
        with Drawn() as drawn:
            getattr(init, name)(torch.empty(shape, device="meta"), *args)
        law = strategy.resolve(Fans(shape))
        ours = (-law.high, law.high) if isinstance(law, fi.Uniform) else law.moments()
        assert drawn.law == pytest.approx(ours, rel=2**-50, abs=0)


def test_bounds_are_looked_at_with_the_fans_of_the_tensor():
    """A bound that one element's fans would put beyond float16."""
    w = adapter.xavier_uniform_(torch.empty(300, 1000, dtype=torch.float16), 60000.0, generator=generator())
    assert bits(w) == core((300, 1000), fi.xavier_uniform(gain=60000.0), word(generator()), torch.float16)


# ---- torch.nn.init: what draws nothing, errors, warnings ----

NOT_OURS = {
    "zero-size": lambda: torch.empty(4, 0, 2),
    "meta": lambda: torch.empty(4, 3, device="meta"),
    "meta and zero-size": lambda: torch.empty(0, 3, device="meta"),
    "int64": lambda: torch.full((4, 3), 7),
    "bool": lambda: torch.full((4, 3), True),
    "float8": lambda: torch.full((4, 3), 7.0).to(torch.float8_e4m3fn),
    "complex": lambda: torch.full((4, 3), 7j),
    "sparse": lambda: torch.full((4, 3), 7.0).to_sparse(),
    "sparse rows": lambda: torch.full((4, 3), 7.0).to_sparse_csr(),
    "quantized": lambda: torch.quantize_per_tensor(torch.full((4, 3), 7.0), 0.1, 0, torch.quint8),
    "nested": lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
    "expanded": lambda: torch.full((1, 3), 7.0).expand(4, 3),
    "zeros without memory": lambda: torch._efficientzerotensor((4, 3)),
    "uninitialized": nn.UninitializedParameter,
    "of inference": torch.inference_mode()(lambda: torch.full((4, 3), 7.0)),
    "a list": lambda: [7.0],
    "an array": lambda: np.full((4, 3), 7.0),
}


FUNCTIONS = ("uniform_", "trunc_normal_", "xavier_normal_", "kaiming_uniform_", "orthogonal_", "eye_")


@pytest.mark.parametrize(
    ("name", "kind"),
    [each for each in itertools.product(FUNCTIONS, NOT_OURS) if each[1] != "complex" or each[0] == "uniform_"],
)
@pytest.mark.filterwarnings("ignore")  # of nested and sparse tensors, which are in beta
def test_what_is_not_drawn_here_is_as_in_pytorch(name, kind):
    """The same error, or the same values, from the same numbers of the generator."""
    results = []
    for module in (init, adapter):
        given = {} if name == "eye_" else {"generator": generator()}
        result = outcome(getattr(module, name), NOT_OURS[kind](), **given)
        results.append((repr(result), [state(source) for source in given.values()]))
    assert results[0] == results[1]


class Answering(torch.Tensor):
    """A subclass that says which function it was given to."""

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        return function


def test_tensors_that_override_functions():
    tensor = torch.empty(3, 3).as_subclass(Answering)
    for name in ("uniform_", "normal_", "kaiming_uniform_"):
        assert getattr(adapter, name)(tensor) is getattr(init, name)


@pytest.mark.parametrize("make", [NOT_OURS["zero-size"], NOT_OURS["meta"]], ids=["zero-size", "meta"])
@pytest.mark.filterwarnings("ignore:Initializing zero-element")
def test_what_has_no_elements_uses_no_numbers(make):
    before = state()
    for name in ("uniform_", "normal_", "trunc_normal_", "xavier_uniform_", "kaiming_normal_", "orthogonal_"):
        tensor = make()
        assert getattr(adapter, name)(tensor) is tensor
    assert adapter.sparse_(torch.empty(4, 3, device="meta"), 0.5).is_meta
    assert adapter.dirac_(torch.empty(4, 0, 3)).numel() == 0
    assert state() == before


#: Calls that are errors in PyTorch: a name, a shape, a dtype and arguments.
BAD = [
    *(("uniform_", (3,), "float32", args) for args in [(2, 1), (INF, INF), (math.nan, 1), ("0",), (0, [1]), (0, None)]),
    *(("uniform_", (3,), "float16", args) for args in [(0, 1e6), (-65504, 65504)]),
    ("uniform_", (3,), "bfloat16", (0, 1e39)),
    ("uniform_", (3,), "float32", (0, torch.ones(2))),
    ("uniform_", (3,), "float32", (0, nn.Parameter(torch.ones(())))),
    *(("normal_", (3,), "float32", args) for args in [(0, -1), (0, math.nan), (0, "1"), (None,)]),
    *(("trunc_normal_", (3,), "float32", args) for args in [(0, 0), (0, 1, 2, -2), (0, 1, 5, INF), (0, 1, "a")]),
    *(
        (name, shape, "float32", ())
        for name in ("xavier_uniform_", "kaiming_normal_", "orthogonal_")
        for shape in [(), (3,)]
    ),
    *(("xavier_uniform_", (3, 3), "float32", (gain,)) for gain in (-1, math.nan, INF, "1", None)),
    ("xavier_normal_", (3, 3), "float32", (-1.5,)),
    ("xavier_uniform_", (1, 1), "float16", (60000.0,)),
    *(
        ("kaiming_uniform_", (3, 3), "float32", args)
        for args in [(True,), ("1",), (1e200,), (math.nan,), (torch.ones(()),)]
    ),
    *(("kaiming_normal_", (3, 3), "float32", args) for args in [(0, "fan_avg"), (0, 3), (0, "fan_in", "gelu")]),
    *(("eye_", shape, "float32", ()) for shape in [(), (3,), (3, 3, 3)]),
    *(("sparse_", shape, "float32", (0.5,)) for shape in [(3,), (3, 3, 3)]),
    ("sparse_", (3, 3), "float32", (0.5, -1.0)),
    *(("dirac_", shape, "float32", ()) for shape in [(3, 3), (1,) * 6]),
    *(("dirac_", (4, 3, 3), "float32", (groups,)) for groups in (3, 0, "2")),
]


@pytest.mark.parametrize(("name", "shape", "dtype", "args"), BAD)
@pytest.mark.filterwarnings("ignore:mean is more than 2 std")
def test_errors_are_those_of_pytorch(name, shape, dtype, args):
    """By type and text; nothing is written, and no numbers are used up."""
    good = {"kaiming_uniform_": (1.0,), "dirac_": (1,)}.get(name)
    if good and len(shape) > 1:
        getattr(adapter, name)(torch.empty(4, 3, 3), *good)  # what equals an argument is remembered
    tensor, before = torch.full(shape, 7, dtype=getattr(torch, dtype)), state()
    with torch.random.fork_rng():
        expected = outcome(getattr(init, name), tensor.clone(), *args)
    assert isinstance(expected, tuple)
    assert outcome(getattr(adapter, name), tensor, *args) == expected
    assert state() == before
    assert (tensor == 7).all()


@pytest.mark.parametrize("name", ["uniform_", "trunc_normal_", "kaiming_normal_", "orthogonal_"])
@pytest.mark.parametrize("given", [3, "cpu", np.random.default_rng(0)])
def test_what_is_no_generator(name, given):
    tensor = torch.full((3, 3), 7.0)
    error = outcome(getattr(adapter, name), tensor, generator=given)
    assert error == outcome(getattr(init, name), tensor.clone(), generator=given)
    assert error[0] is TypeError
    assert (tensor == 7).all()


#: What PyTorch draws in some way or other, but the core refuses.
STRICTER = [
    ("uniform_", "bfloat16", (1.0001, 1.0002), ValueError, "must hold a bfloat16"),
    ("uniform_", "float32", (False, True), TypeError, "low must be a finite number; got False"),
    ("normal_", "float16", (0, 1e4), ValueError, "must be at most 65504 in magnitude"),
    ("normal_", "float32", (INF, 1), ValueError, "mean must be a finite number; got inf"),
    ("normal_", "complex64", (1.0, 1.0), TypeError, "dtype must be real for"),
    ("trunc_normal_", "float32", (0, -1), ValueError, "std must be positive; got -1.0"),
    ("kaiming_normal_", "float32", (INF,), ValueError, "negative_slope must be a finite number; got inf"),
    ("sparse_", "float32", (1.5,), ValueError, r"sparsity must be in \[0, 1\]; got 1.5"),
    ("sparse_", "float32", ("a",), TypeError, "sparsity must be a finite number; got 'a'"),
    ("sparse_", "complex64", (0.5,), TypeError, "dtype must be real for SparseNormal"),
    ("orthogonal_", "float32", (torch.ones(3),), ValueError, "only one element tensors"),
]


@pytest.mark.parametrize(("name", "dtype", "args", "kind", "text"), STRICTER)
@pytest.mark.filterwarnings("ignore:mean is more than 2 std")
def test_what_the_core_refuses(name, dtype, args, kind, text):
    tensor, before = torch.full((3, 3), 7, dtype=getattr(torch, dtype)), state()
    with pytest.raises(kind, match=text):
        getattr(adapter, name)(tensor, *args)
    assert state() == before
    assert (tensor == 7).all()


@pytest.mark.parametrize("groups", [1.0, -1])
def test_groups_that_the_core_refuses(groups):
    adapter.dirac_(torch.empty(3, 3, 3), 1)  # what equals an argument is remembered
    with pytest.raises((TypeError, ValueError), match=r"groups must be an integer of at least 1; got -?1"):
        adapter.dirac_(torch.empty(3, 3, 3), groups)


def warned(module, name, *args):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        getattr(module, name)(*args)
    return [(each.category, str(each.message)) for each in caught], [each.filename for each in caught]


OLD_NAMES = [name for name in init.__all__ if hasattr(init, f"{name}_")]
NEEDED = {"constant": (0.5,), "sparse": (0.5,)}


def matrix_for(name):
    return torch.empty((3, 3, 3) if name == "dirac" else (3, 3))


@pytest.mark.parametrize(
    ("name", "tensor", "args"),
    [
        ("kaiming_uniform_", torch.empty(3, 0), ()),
        ("kaiming_normal_", torch.empty(0), (0, "no mode")),
        ("trunc_normal_", torch.empty(3), (5.0,)),
        ("trunc_normal_", torch.empty(3), (-7.0, 1.0, 0.0, 9.0)),
        *((name, matrix_for(name), NEEDED.get(name, ())) for name in OLD_NAMES),
    ],
)
def test_warnings(name, tensor, args):
    """Of PyTorch's kind and text, and about the caller's own file."""
    expected, _ = warned(init, name, tensor, *args)
    ours, files = warned(adapter, name, tensor, *args)
    assert ours == expected
    assert files == [__file__]


@pytest.mark.parametrize("name", OLD_NAMES)
@pytest.mark.filterwarnings("ignore:`nn.init:FutureWarning")
def test_old_names(name):
    drawn = []
    for each in (name, f"{name}_"):
        torch.manual_seed(5)
        drawn.append(bits(getattr(adapter, each)(matrix_for(name), *NEEDED.get(name, ()))))
    assert drawn[0] == drawn[1]
    assert getattr(adapter, name).__name__ == name


# ---- accelerate ----


@contextlib.contextmanager
def replayed(source):
    """`Tensor.uniform_` and `normal_` as the core has them, by another way than that of `accelerate`."""

    def drawing(make):
        def draw(tensor, *args, generator=None):
            seed = word(generator or source)
            drawn = fi.initialize(tuple(tensor.shape), make(*args), seed=seed, dtype=name_of(tensor.dtype))
            tensor.detach().view(torch.uint8).copy_(torch.from_numpy(drawn.view(np.uint8)))
            return tensor

        return draw

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.Tensor, "uniform_", drawing(fi.uniform), raising=False)
        patch.setattr(torch.Tensor, "normal_", drawing(fi.normal), raising=False)
        yield


MODULES = [
    *(lambda dtype=dtype: nn.Linear(5, 4, dtype=dtype) for dtype in REAL),
    lambda: nn.Linear(5, 4, bias=False),
    *(lambda n=n: getattr(nn, f"Conv{n}d")(4, 6, 3, groups=2) for n in (1, 2, 3)),
    *(lambda n=n: getattr(nn, f"ConvTranspose{n}d")(4, 6, 3, groups=2) for n in (1, 2, 3)),
    lambda: nn.Bilinear(3, 4, 5),
    lambda: nn.Embedding(7, 3, padding_idx=2),
    lambda: nn.EmbeddingBag(7, 3, mode="sum"),
    *(lambda kind=kind: getattr(nn, kind)(3, 4, 2, bidirectional=True) for kind in ("RNN", "LSTM", "GRU")),
    lambda: nn.LSTM(3, 4, proj_size=2),
    *(lambda kind=kind: getattr(nn, f"{kind}Cell")(3, 4) for kind in ("RNN", "LSTM", "GRU")),
    lambda: nn.MultiheadAttention(8, 2),
    lambda: nn.MultiheadAttention(8, 2, kdim=3, vdim=5, add_bias_kv=True),
    lambda: nn.Transformer(8, 2, 1, 1, 16, batch_first=True),
    lambda: nn.AdaptiveLogSoftmaxWithLoss(64, 10, [2, 5]),
    *(lambda n=n: getattr(nn, f"BatchNorm{n}d")(3) for n in (1, 2, 3)),
    lambda: nn.InstanceNorm2d(3, affine=True),
    lambda: nn.SyncBatchNorm(3),
    lambda: nn.LayerNorm(5),
    lambda: nn.RMSNorm(5),
    lambda: nn.GroupNorm(2, 4),
    lambda: nn.PReLU(3),
    lambda: nn.utils.parametrizations.weight_norm(nn.Linear(3, 4)),
    lambda: nn.utils.parametrizations.spectral_norm(nn.Linear(3, 4)),
]


def test_modules_are_all_of_them():
    """Every kind of PyTorch's own modules that sets its parameters is here, or a base or a lazy form of one that is."""
    made = {type(part) for make in MODULES for part in make().modules()}
    kinds = [kind for kind in vars(nn).values() if isinstance(kind, type) and issubclass(kind, nn.Module)]
    drawing = [kind for kind in kinds if hasattr(kind, "reset_parameters") or hasattr(kind, "_reset_parameters")]
    bases = {base for kind in made for base in kind.__mro__}
    missing = {kind.__name__ for kind in drawing if kind not in bases and "Lazy" not in kind.__name__}
    assert len(drawing) > 40
    assert missing == {"InstanceNorm1d", "InstanceNorm3d"}


def same_state(module, other):
    mine, its = module.state_dict(), other.state_dict()
    assert list(mine) == list(its)
    return all(bits(mine[name]) == bits(its[name]) for name in mine)


@pytest.mark.parametrize("make", MODULES)
def test_modules(make):
    """The kernels' values, call by call, whether the context's seed or `torch.manual_seed` decides."""
    source = generator(2**64 - 1)
    with replayed(source):
        expected = make()
    before = state()
    with adapter.accelerate(seed=2**64 - 1):
        assert same_state(make(), expected)
    assert state() == before
    torch.manual_seed(2**64 - 1)
    with adapter.accelerate():
        assert same_state(make(), expected)
    assert state() == state(source)


def test_modules_without_memory_or_shape():
    with adapter.accelerate(seed=0), torch.device("meta"):
        before = state()
        layer = nn.Linear(3, 4)
        assert layer.weight.is_meta
        assert init.trunc_normal_(layer.weight) is layer.weight
        assert torch.rand(3).is_meta
    with adapter.accelerate(seed=0):
        lazy = nn.LazyLinear(4)
        lazy(torch.ones(2, 3))
    with adapter.accelerate(seed=0):
        assert same_state(nn.Linear(3, 4), lazy)
    assert state() == before


#: What draws new or old tensors, and from which law.
DRAWING = [
    (lambda g: torch.rand(3, 4, generator=g), fi.uniform()),
    (lambda g: torch.rand((3, 4), generator=g, dtype=torch.bfloat16, requires_grad=True), fi.uniform()),
    (lambda g: torch.randn(3, 4, generator=g, device="cpu"), fi.normal()),
    (lambda g: torch.randn([3, 4], generator=g, dtype=torch.float64), fi.normal()),
    (lambda g: torch.randn(3, 4, generator=g, dtype=torch.complex64), fi.normal()),
    (lambda g: torch.empty(3, 4).uniform_(generator=g), fi.uniform()),
    (lambda g: torch.empty(3, 4).uniform_(-2, generator=g), fi.uniform(-2.0, 1.0)),
    (lambda g: torch.empty(3, 4).uniform_(to=3, generator=g), fi.uniform(0.0, 3.0)),
    (lambda g: torch.empty(3, 4, dtype=torch.float16).normal_(std=2, generator=g), fi.normal(0.0, 2.0)),
    (lambda g: torch.empty(4, 3).T.normal_(1, generator=g), fi.normal(1.0)),
    (lambda g: torch.empty(3, 4, dtype=torch.complex64).conj().normal_(generator=g), fi.normal()),
    (lambda g: torch.empty(3, 4, dtype=torch.complex64).conj().imag.uniform_(1, 2, generator=g), fi.uniform(1.0, 2.0)),
    (lambda g: init.trunc_normal_(torch.empty(3, 4, requires_grad=True), std=0.5, generator=g), absolute(std=0.5)),
    (lambda g: init.xavier_normal_(torch.empty(3, 4), generator=g), fi.xavier_normal()),
    (lambda g: init.kaiming_normal_(torch.empty(3, 4), generator=g), fi.he_normal()),
]
WITHOUT_GENERATOR = [
    (lambda g: torch.rand_like(torch.empty(3, 4)), fi.uniform()),
    (lambda g: torch.randn_like(torch.empty(3, 4), dtype=torch.float64), fi.normal()),
    (lambda g: torch.inference_mode()(torch.rand)(3, 4), fi.uniform()),
    (lambda g: torch.randn(3, 4, out=torch.empty(3, 4)), fi.normal()),
    (lambda g: torch.func.grad(lambda x: (x * torch.rand(3, 4)).sum())(torch.empty(3, 4)), fi.uniform()),
    (lambda g: torch.vmap(lambda x: torch.rand_like(x), randomness="different")(torch.empty(3, 4)), fi.uniform()),
]


@pytest.mark.parametrize(("call", "strategy"), DRAWING + WITHOUT_GENERATOR)
@pytest.mark.parametrize("given", ["seed", "manual_seed", "outer", "generator"])
def test_draws(call, strategy, given):
    """The next word of the context's generator, of PyTorch's, of the context's around, or of the argument."""
    if given == "generator" and (call, strategy) in WITHOUT_GENERATOR:
        given = "seed"
    with contextlib.ExitStack() as contexts:
        if given == "outer":
            contexts.enter_context(adapter.accelerate(seed=42))
        contexts.enter_context(adapter.accelerate(seed={"seed": 42, "generator": 0}.get(given)))
        torch.manual_seed(42 if given == "manual_seed" else 0)
        source = generator() if given == "generator" else None
        w = call(source)
        assert bits(w) == core((3, 4), strategy, word(generator()), w.dtype)
        assert source is None or state(source) == state(skipped(generator()))
        assert state() == state(skipped(generator()) if given == "manual_seed" else generator(0))


def test_in_place_in_a_context():
    w = torch.zeros(3, requires_grad=True)
    with adapter.accelerate(seed=0):
        with pytest.raises(RuntimeError, match="a leaf Variable that requires grad is being used in an in-place"):
            w.uniform_()
        assert not w.any()
        for version, fill in enumerate((init.uniform_, init.normal_, init.trunc_normal_, init.xavier_normal_), 1):
            v = w if fill is not init.xavier_normal_ else w.detach().view(3, 1)
            assert fill(v) is v
            assert w._version == version
        saved = torch.ones(3, requires_grad=True)
        product = saved * (other := torch.ones(3))
        init.uniform_(other)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            product.sum().backward()


#: Random functions that are not drawn here: they follow the context's seed, and are PyTorch's own without one.
OTHERS = {
    "randperm": lambda: torch.randperm(99),
    "randperm out": lambda: torch.randperm(99, out=torch.empty(99, dtype=torch.int64)),
    "randint": lambda: torch.randint(99, (99,)),
    "randint from": lambda: torch.randint(5, 99, (99,)),
    "randint_like": lambda: torch.randint_like(torch.empty(99), 5, 99),
    "rand out": lambda: torch.rand(99, out=torch.empty(99)),
    "random_": lambda: torch.empty(99).random_(),
    "bernoulli": lambda: torch.bernoulli(torch.full((99,), 0.5)),
    "bernoulli_": lambda: torch.empty(99).bernoulli_(0.5),
    "multinomial": lambda: torch.multinomial(torch.ones(99), 99),
    "normal of tensors": lambda: torch.normal(torch.zeros(99), torch.ones(99)),
    "normal of a size": lambda: torch.normal(0.0, 1.0, (99,)),
    "exponential_": lambda: torch.empty(99).exponential_(),
    "log_normal_": lambda: torch.empty(99).log_normal_(),
    "cauchy_": lambda: torch.empty(99).cauchy_(),
    "geometric_": lambda: torch.empty(99).geometric_(0.5),
    "poisson": lambda: torch.poisson(torch.full((99,), 9.0)),
    "binomial": lambda: torch.binomial(torch.full((99,), 9.0), torch.full((99,), 0.5)),
    "gamma": lambda: torch.distributions.Gamma(2.0, 1.0).sample((99,)),
    "dirichlet": lambda: torch.distributions.Dirichlet(torch.ones(99)).sample(),
    "dropout": lambda: nn.functional.dropout(torch.ones(99)),
    "dropout2d": lambda: nn.functional.dropout2d(torch.ones(1, 99, 2, 2)),
    "alpha_dropout": lambda: nn.functional.alpha_dropout(torch.ones(99), training=True),
    "rrelu": lambda: nn.functional.rrelu(-torch.ones(99), training=True),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_random_functions(name):
    before, drawn = state(), []
    for seed in (5, 5, 6):
        with adapter.accelerate(seed=seed):
            drawn.append(bits(OTHERS[name]()))
    assert drawn[0] == drawn[1] != drawn[2]
    assert state() == before
    torch.manual_seed(3)
    with adapter.accelerate():
        within = OTHERS[name]()
    torch.manual_seed(3)
    assert bits(OTHERS[name]()) == bits(within)


def built(function):
    with torch.fx.experimental.proxy_tensor.FakeTensorMode():
        return function()


def scripted(x):
    return x.uniform_(1.0, 2.0)


def traced(x):
    return x.uniform_() + torch.rand(3)


#: What is not a dense tensor in this process's memory behaves as it does without a context.
UNCHANGED = {
    **{
        f"uniform_ of {kind}": lambda make=make: make().uniform_()
        for kind, make in NOT_OURS.items()
        if "un" not in kind
    },
    "rand of integers": lambda: torch.rand(3, dtype=torch.int64),
    "randn of integers": lambda: torch.randn(3, dtype=torch.int64),
    "rand of negative size": lambda: torch.rand(-3),
    "rand of a sparse layout": lambda: torch.rand(3, layout=torch.sparse_coo),
    "rand_like of integers": lambda: torch.rand_like(torch.ones(3, dtype=torch.int64)),
    "rand_like of jagged": lambda: torch.rand_like(
        torch.nested.nested_tensor([torch.ones(2), torch.ones(3)], layout=torch.jagged)
    ).shape[0],
    "bounds": lambda: torch.empty(3).uniform_(2, 1),
    "infinite mean": lambda: torch.empty(3).normal_(INF),
    "deviation": lambda: torch.empty(3).normal_(0, -1),
    "no generator": lambda: torch.empty(3).normal_(generator=3),
    "truncated": lambda: init.trunc_normal_(torch.empty(3), 0, 0),
    "truncated between": lambda: init.trunc_normal_(torch.empty(3), a=2, b=-2),
    "truncated integers": lambda: init.trunc_normal_(torch.ones(3, dtype=torch.int64)),
    "fake": lambda: str(built(lambda: [nn.Linear(3, 4).weight, torch.rand(3), torch.randn_like(torch.empty(3))])),
    "fake truncated": lambda: built(lambda: init.trunc_normal_(torch.empty(3, device="meta"))).shape,
    "fake outside": lambda: str(built(lambda: torch.empty(3)).uniform_()),
    "vmap": lambda: torch.vmap(lambda x: x.uniform_())(torch.zeros(3, 2)),
    "vmap of same": lambda: len(
        torch.vmap(lambda x: (x * 1).uniform_(), randomness="same")(torch.zeros(3, 2)).unique(dim=0)
    ),
    "vmap of different": lambda: len(
        torch.vmap(lambda x: torch.rand(2), randomness="different")(torch.zeros(3, 2)).unique(dim=0)
    ),
    "functionalized": lambda: bool(
        (torch.func.functionalize(lambda x: (x * 1).uniform_(1, 2))(torch.zeros(9)) >= 1).all()
    ),
    "gradients": lambda: torch.func.grad(lambda x: (x * 1).uniform_().sum())(torch.zeros(3)).tolist(),
    "traced": lambda: torch.fx.experimental.proxy_tensor.make_fx(traced)(torch.ones(3)).code,
    "compiled": lambda: torch.compile(traced, backend="eager")(torch.ones(3)).shape,
    "compiled with autograd": lambda: torch.compile(traced, backend="aot_eager")(torch.ones(3)).shape,
    "lazy": lambda: repr(nn.LazyLinear(3)),
    "lazy parameter": lambda: nn.LazyLinear(3).weight.uniform_(),
}


@pytest.mark.parametrize("kind", UNCHANGED)
@pytest.mark.parametrize("seed", [None, 0])
@pytest.mark.filterwarnings("ignore")
def test_what_is_unknown_is_as_without_a_context(kind, seed):
    expected = outcome(UNCHANGED[kind])
    with adapter.accelerate(seed=seed):
        within = outcome(UNCHANGED[kind])
    if isinstance(expected, torch.Tensor):
        expected, within = (expected.shape, expected.device), (within.shape, within.device)
    assert within == expected


def test_names_in_compiled_and_traced_code():
    """Compiled code comes to the kernels; what is only written down is PyTorch's operation."""
    compiled = torch.compile(lambda x: adapter.uniform_(x * 2), backend="eager")
    torch.manual_seed(42)
    assert bits(compiled(torch.ones(9))) == core((9,), "uniform", word(generator()))
    assert (
        "aten.uniform_" in torch.fx.experimental.proxy_tensor.make_fx(lambda x: adapter.uniform_(x))(torch.ones(3)).code
    )
    assert isinstance(built(lambda: adapter.normal_(torch.empty(3))), torch._subclasses.FakeTensor)
    w = torch.vmap(lambda x: adapter.uniform_(x * 1), randomness="different")(torch.zeros(3, 2))
    assert 0 < w.min() < w.max() < 1
    assert torch.func.functionalize(lambda x: adapter.uniform_(x * 1))(torch.zeros(9)).all()


def test_scripted_code():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is deprecated
        function = torch.jit.script(scripted)
    with adapter.accelerate(seed=42):
        w = function(torch.empty(9))
    assert bits(w) == core((9,), fi.uniform(1.0, 2.0), word(generator()))


def test_a_context_ends():
    """Also by an exception, and inner ones before outer ones."""
    torch.manual_seed(1)
    expected = torch.rand(5), init.trunc_normal_(torch.empty(5))
    with pytest.raises(ZeroDivisionError), adapter.accelerate(seed=0), adapter.accelerate():
        raise ZeroDivisionError
    torch.manual_seed(1)
    assert bits(torch.rand(5)) == bits(expected[0])
    assert bits(init.trunc_normal_(torch.empty(5))) == bits(expected[1])
    with adapter.accelerate(seed=42):
        with adapter.accelerate(seed=0):
            init.trunc_normal_(torch.empty(5))
        assert init._no_grad_trunc_normal_ is not OWN_TRUNC_NORMAL
        assert bits(init.trunc_normal_(torch.empty(5))) == core((5,), absolute(), word(generator()))
    for bad in (-1, 2**64, "0", 1.0):
        with pytest.raises((TypeError, ValueError), match="seed must be an integer"), adapter.accelerate(seed=bad):
            pass


def test_what_others_replaced_comes_back(monkeypatch):
    other = lambda tensor, *args, generator=None: tensor.fill_(7)  # noqa: E731
    monkeypatch.setattr(init, "_no_grad_trunc_normal_", other)
    with adapter.accelerate(seed=42):
        assert bits(init.trunc_normal_(torch.empty(5))) == core((5,), absolute(), word(generator()))
        assert (init.trunc_normal_(torch.empty(5, dtype=torch.int64)) == 7).all()
    assert init._no_grad_trunc_normal_ is other
    monkeypatch.undo()


def test_decorator():
    @adapter.accelerate(seed=42)
    def make():
        return torch.rand(5)

    for _ in range(2):
        assert bits(make()) == core((5,), "uniform", word(generator()))
    source = np.random.default_rng(3)
    with adapter.accelerate(seed=source):
        w = torch.rand(5)
    assert bits(w) == core((5,), "uniform", word(generator(fi._fill.as_seed(np.random.default_rng(3)))))


def test_truncated_normals_warn_in_a_context():
    outside = warned(init, "trunc_normal_", torch.empty(3), 5.0)
    with adapter.accelerate(seed=0):
        assert warned(init, "trunc_normal_", torch.empty(3), 5.0) == outside


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_threads_leave_in_any_order(order):
    """Each draws by its own context until it leaves; this thread, in none, draws as ever."""
    torch.manual_seed(1)
    expected = bits(torch.rand(5)), bits(init.trunc_normal_(torch.empty(5)))
    entered, leave = threading.Barrier(4), [threading.Event() for _ in order]
    drawn = {}

    def run(i):
        with adapter.accelerate(seed=i):
            entered.wait(60)
            leave[i].wait(60)
            drawn[i] = bits(init.trunc_normal_(torch.empty(5))), bits(torch.rand(5))

    threads = [threading.Thread(target=run, args=(i,)) for i in order]
    for thread in threads:
        thread.start()
    entered.wait(60)
    for i in order:
        torch.manual_seed(1)
        assert (bits(torch.rand(5)), bits(init.trunc_normal_(torch.empty(5)))) == expected
        leave[i].set()
        threads[order.index(i)].join(60)
        first, second = itertools.starmap(word, [(source := generator(i),), (source,)])
        assert drawn[i] == (core((5,), absolute(), first), core((5,), "uniform", second))
        assert (init._no_grad_trunc_normal_ is OWN_TRUNC_NORMAL) == (i == order[-1])


def test_many_threads_at_once():
    expected, wrong = core((5,), absolute(), word(generator())), []

    def run():
        for _ in range(50):
            with adapter.accelerate(seed=42):
                if bits(init.trunc_normal_(torch.empty(5))) != expected:
                    wrong.append(1)

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong


# ---- initialize ----

RECIPE = fi.Recipe([("*bias", "zeros"), ("*norm*", "ones"), ("*", fi.normal(std=0.02))])
SMALL = {"gpt2": 16, "resnet50": 8}


def assembled(tensors, dtype=torch.float32):
    """A module whose parameters have these names and shapes."""
    root = nn.Module()
    for name, shape in tensors.items():
        *path, own = name.split(".")
        module = root
        for part in path:
            if part not in dict(module.named_children()):
                module.add_module(part, nn.Module())
            module = module.get_submodule(part)
        module.register_parameter(own, nn.Parameter(torch.full(shape, 7.0, dtype=dtype)))
    return root


def small(model):
    """The shipped manifest's parameters, with no axis longer than a few elements."""
    most, manifest = SMALL[model], fi.load_manifest(model)
    return {
        name: tuple(min(n, most) for n in info["shape"]) for name, info in manifest.items() if "running_" not in name
    }


def check(module, recipe, seed, names=None):
    """Whether each parameter is what the core has for its name; `names` maps those of the module to the recipe's."""
    found = dict(module.named_parameters())
    rules = recipe.match(names[name] if names else name for name in found)
    for name, parameter in found.items():
        stream = names[name] if names else name
        rule = rules[stream]
        expected = core(parameter.shape, rule.strategy, seed, parameter.dtype, stream=stream, **rule.options)
        assert bits(parameter) == expected, name
    return len(found)


@pytest.mark.parametrize("model", SMALL)
def test_shipped_recipes(model):
    tensors = small(model)
    for order in (list(tensors), list(tensors)[::-1]):
        module = assembled({name: tensors[name] for name in order})
        versions = [parameter._version for parameter in module.parameters()]
        assert adapter.initialize(module, model, seed=9) is module
        assert check(module, fi.load_recipe(model), 9) == len(tensors)
        assert [parameter._version - 1 for parameter in module.parameters()] == versions


def test_transformers_gpt2():
    transformers = peer("transformers")
    config = transformers.GPT2Config(n_layer=2, n_embd=8, n_head=2, vocab_size=11, n_positions=7)
    module = adapter.initialize(transformers.GPT2LMHeadModel(config), "gpt2", seed=9)
    assert module.lm_head.weight is module.transformer.wte.weight
    assert check(module, fi.load_recipe("gpt2"), 9) > 20
    with torch.device("meta"):
        other = transformers.GPT2LMHeadModel(config)
    other.to_empty(device="cpu").tie_weights()
    adapter.initialize(other, "gpt2", seed=9)
    assert all(map(torch.equal, module.parameters(), other.parameters()))


def layers():
    """Names that wrappers use, too, belong to the user where there is no wrapper."""
    inner = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4))
    return nn.ModuleDict({"module": inner, "head": nn.Linear(4, 2)})


@pytest.fixture
def process_group(tmp_path):
    distributed = torch.distributed
    if not distributed.is_available() or not distributed.is_gloo_available():
        pytest.skip("without gloo")
    distributed.init_process_group(
        "gloo", store=distributed.FileStore(str(tmp_path / "store"), 1), rank=0, world_size=1
    )
    yield
    distributed.destroy_process_group()


def checkpointed(module):
    wrapper = pytest.importorskip("torch.distributed.algorithms._checkpoint.checkpoint_wrapper")
    module["head"] = wrapper.checkpoint_wrapper(module["head"])
    return wrapper.checkpoint_wrapper(module)


WRAPPERS = {
    "plain": lambda module: module,
    "DataParallel": nn.DataParallel,
    "compiled": lambda module: torch.compile(module, backend="eager"),
    "compiled DataParallel": lambda module: torch.compile(nn.DataParallel(module), backend="eager"),
    "checkpointed": checkpointed,
    "DistributedDataParallel": nn.parallel.DistributedDataParallel,
    "DistributedDataParallel of compiled": lambda module: nn.parallel.DistributedDataParallel(
        torch.compile(module, backend="eager")
    ),
}


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_wrappers(wrapper, request):
    if "Distributed" in wrapper:
        request.getfixturevalue("process_group")
    plain = layers()
    module = adapter.initialize(WRAPPERS[wrapper](layers()), RECIPE, seed=4)
    names = dict(zip(dict(module.named_parameters()), dict(plain.named_parameters()), strict=True))
    assert check(module, RECIPE, 4, names) == 6


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore:FSDP is switching:UserWarning")
def test_flattened_parameters_are_refused(process_group):
    fsdp = pytest.importorskip("torch.distributed.fsdp")
    module = fsdp.FullyShardedDataParallel(nn.Linear(3, 4), device_id=torch.device("cpu"))
    with pytest.raises(TypeError, match="module must not be wrapped by FullyShardedDataParallel, which flattens"):
        adapter.initialize(nn.Sequential(module), RECIPE, seed=0)


def test_meta_to_empty():
    with torch.device("meta"):
        module = layers()
    assert check(adapter.initialize(module.to_empty(device="cpu"), RECIPE, seed=4), RECIPE, 4) == 6


def test_names_are_those_of_named_parameters():
    """Shared parameters and modules, lists, dictionaries, parametrizations, cycles."""
    module = nn.Module()
    module.first, module.list = nn.Linear(3, 3), nn.ParameterList([torch.ones(2), torch.ones(3)])
    module.dictionary = nn.ParameterDict({"a": torch.ones(2), "b": module.list[0]})
    module.again, module.second = module.first, nn.Linear(3, 3)
    module.second.weight = module.first.weight
    module.own = nn.Parameter(torch.ones(()))
    module.weighted = nn.utils.parametrizations.weight_norm(nn.Linear(3, 4))
    module.first.parent, module.none = module, None
    module.register_parameter("nothing", None)
    adapter.initialize(module, RECIPE, seed=2**64 - 1)
    assert check(module, RECIPE, 2**64 - 1) == 10
    assert list(adapter._named_parameters(module)) == [name for name, _ in module.named_parameters()]


@pytest.mark.parametrize("dtype", [*REAL, torch.complex64, torch.complex128], ids=name_of)
def test_kinds_of_parameters(dtype):
    module = nn.Module()
    for name, memory in MEMORY.items():
        module.register_parameter(name, nn.Parameter(memory((4, 3), dtype).detach(), requires_grad=name != "offset"))
    module.register_parameter("conjugate", nn.Parameter(torch.empty(4, 3, dtype=torch.complex64).conj()))
    module.register_parameter("empty", nn.Parameter(torch.empty(0, 3, dtype=dtype)))
    module.register_buffer("buffer", torch.full((3,), 7.0))
    adapter.initialize(module, RECIPE, seed=5, threads=2)
    assert check(module, RECIPE, 5) == len(MEMORY) + 2
    assert not module.offset.requires_grad
    assert (module.buffer == 7).all()
    with torch.inference_mode():
        check(adapter.initialize(layers(), RECIPE, seed=5), RECIPE, 5)


def test_without_a_seed():
    torch.manual_seed(42)
    check(adapter.initialize(layers(), RECIPE), RECIPE, word(after_layers()))
    source = np.random.default_rng(3)
    check(adapter.initialize(layers(), RECIPE, seed=source), RECIPE, fi._fill.as_seed(np.random.default_rng(3)))
    module, before = layers(), state()
    adapter.initialize(module, RECIPE, seed=0)
    assert state() == before


def after_layers():
    """A generator in the state that the default one is in once it was seeded with 42 and `layers` were built."""
    with torch.random.fork_rng():
        torch.manual_seed(42)
        layers()
        return torch.Generator().set_state(torch.get_rng_state())


FREED = torch.full((3,), 7.0)
FREED.untyped_storage().resize_(0)
#: Parameters that cannot be drawn, and what the error says of them.
UNFIT = {
    "meta": (lambda: nn.Parameter(torch.empty(3, device="meta")), "must be dense and in memory, which .*on meta"),
    "sparse": (lambda: nn.Parameter(torch.ones(3).to_sparse()), "must be dense and in memory"),
    "expanded": (lambda: nn.Parameter(torch.ones(1).expand(3)), "must be dense and in memory"),
    "lazy": (nn.UninitializedParameter, "must be dense and in memory, .* got a UninitializedParameter"),
    "freed": (lambda: nn.Parameter(FREED), "must have memory; got one whose storage was freed"),
    "int64": (
        lambda: nn.Parameter(torch.ones(3, dtype=torch.int64), requires_grad=False),
        "dtype must be .*; got int64",
    ),
    "float8": (lambda: nn.Parameter(torch.ones(3).to(torch.float8_e5m2)), "dtype must be .*; got '?float8_e5m2"),
}


def check_nothing_done(kind, text, parameter, recipe=RECIPE, **options):
    module = nn.Module()
    module.register_parameter("first", nn.Parameter(torch.full((3, 3), 7.0)))
    module.register_parameter("last", parameter)
    before = state()
    with pytest.raises(kind, match=text):
        adapter.initialize(module, recipe, **options)
    assert (module.first == 7).all()
    assert state() == before


@pytest.mark.parametrize("kind", UNFIT)
def test_parameters_that_cannot_be_drawn(kind):
    make, text = UNFIT[kind]
    check_nothing_done((TypeError, ValueError), f"last: .*{text}", make())


@pytest.mark.parametrize(
    ("kind", "text", "options"),
    [
        (
            ValueError,
            "every name must match a rule's pattern; got 1 that match none: 'last'",
            {"recipe": fi.Recipe([("f*", "he")])},
        ),
        (ValueError, "last: shape must have an axis for each letter", {"recipe": fi.Recipe([("*", "he")])}),
        (TypeError, "recipe must be one of gpt2|resnet50", {"recipe": [("*", "he")]}),
        (ValueError, "recipe must be one of gpt2|resnet50", {"recipe": "gpt3"}),
        (ValueError, "seed must be an integer in .*; got -1", {"seed": -1}),
        (TypeError, "seed must be an integer in .*; got '0'", {"seed": "0"}),
        (TypeError, "seed must be an integer in .*; got <torch._C.Generator", {"seed": torch.default_generator}),
        (ValueError, "threads must be an integer of at least 1; got 0", {"threads": 0}),
    ],
)
def test_arguments_that_are_wrong(kind, text, options):
    check_nothing_done(kind, text, nn.Parameter(torch.ones(3)), **options)


@pytest.mark.parametrize("module", [3, nn.Linear, torch.ones(3), {"weight": torch.ones(3)}])
def test_what_is_no_module(module):
    with pytest.raises(TypeError, match=r"module must be a torch\.nn\.Module; got"):
        adapter.initialize(module, RECIPE, seed=0)
