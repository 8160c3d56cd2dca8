"""PyTorch's own idiom over the same core: `torch.nn.init`'s names, unchanged model code, modules, sharded parameters.

The values of a call are those of the core for a seed that the call takes from PyTorch's generator: one 64-bit word, by
``random_`` of an int64 tensor. So `torch.manual_seed` decides them, as ever, but neither the processor, the number of
threads, the device nor the number of processes does.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

try:
    import torch
except ImportError as error:
    raise ImportError('fastinit.torch needs PyTorch: pip install "fastinit[torch]"') from error
from torch import nn
from torch.autograd.graph import increment_version
from torch.nn.init import calculate_gain, constant_, ones_, zeros_
from torch.utils._python_dispatch import TorchDispatchMode

from . import _kernels, _parts
from ._fill import Plan, Seed, _draw, _overlaps, as_dtype, as_seed, as_threads, checked_plan
from ._shards import Shard, cut, placed
from .distributions import Constant, Normal, TruncatedNormal, Uniform
from .recipes import PathOrName, Recipe, _about, load_recipe, plan_tensors
from .strategies import Strategy, get

__all__ = [
    "accelerate",
    "calculate_gain",
    "constant",
    "constant_",
    "dirac",
    "dirac_",
    "eye",
    "eye_",
    "initialize",
    "kaiming_normal",
    "kaiming_normal_",
    "kaiming_uniform",
    "kaiming_uniform_",
    "normal",
    "normal_",
    "ones_",
    "orthogonal",
    "orthogonal_",
    "sparse",
    "sparse_",
    "trunc_normal_",
    "uniform",
    "uniform_",
    "xavier_normal",
    "xavier_normal_",
    "xavier_uniform",
    "xavier_uniform_",
    "zeros_",
]

#: From how many bytes on huge pages are asked for below a tensor: as NumPy does for its own arrays.
_HUGE = 2**22


# ---- tensors: where their memory is, and which part of a whole it holds ----


@functools.cache
def _numpy_dtype(dtype: torch.dtype) -> np.dtype:
    return as_dtype(str(dtype).removeprefix("torch."))


def _distributed(module: str, name: str) -> Any:
    """A class of PyTorch that nothing can be an instance of before its module is loaded, which takes a second."""
    return getattr(sys.modules.get(f"torch.distributed.{module}"), name, ())


def _is_sharded(tensor: torch.Tensor) -> bool:
    return isinstance(tensor, _distributed("tensor", "DTensor"))


def _wraps(kind: type[torch.Tensor]) -> bool:
    """Whether a class of tensors does operations its own way; sharded ones are known here."""
    own = kind.__torch_dispatch__ is not torch.Tensor.__torch_dispatch__
    return own and not issubclass(kind, _distributed("tensor", "DTensor"))


def _is_usual(tensor: Any) -> bool:
    """Whether it is a tensor, of a class that does neither operations nor functions its own way."""
    kind: Any = type(tensor)
    return _is_usual_class(kind)


@functools.lru_cache(maxsize=256)
def _is_usual_class(kind: Any) -> bool:
    if not issubclass(kind, torch.Tensor) or _wraps(kind):
        return False
    function = kind.__torch_function__
    usual = (torch.Tensor.__torch_function__.__func__, nn.Parameter.__torch_function__)
    return getattr(function, "__func__", function) in usual


def _has_memory(tensor: Any) -> bool:
    """Whether it is a tensor each element of which has a place in memory, or a sharded one.

    Those on the meta device have not, nor have traced, fake, batched, nested, sparse and expanded ones.
    """
    if not _is_usual(tensor) or tensor.is_meta or tensor.layout is not torch.strided or tensor.is_nested:
        return False
    if tensor._is_zerotensor() or torch._C._functorch.is_functorch_wrapped_tensor(tensor):
        return False
    return tensor.is_contiguous() or not any(
        step == 0 and n > 1 for step, n in zip(tensor.stride(), tensor.shape, strict=True)
    )


def _array(tensor: torch.Tensor) -> np.ndarray | None:
    """A tensor's memory as an array; None where an array cannot say what is in it, or cannot reach it."""
    if not tensor.is_cpu or tensor.is_conj() or tensor.is_neg():
        return None
    tensor = tensor.detach()
    if tensor.dtype is torch.bfloat16:
        array: np.ndarray = tensor.view(torch.int16).numpy().view(_numpy_dtype(torch.bfloat16))
    else:
        array = tensor.numpy()
    return array if array.flags.c_contiguous or not _overlaps(array) else None


def _fill_memory(
    tensor: torch.Tensor, planned: Plan | None, part: _parts.Part | None, seed: int, stream: int, threads: int | None
) -> None:
    """Draw a whole or a part of it into a tensor, by way of pinned memory if it is another device's."""
    array, host = _array(tensor), None
    if array is None:
        host = torch.empty(tensor.shape, dtype=tensor.dtype, device="cpu", pin_memory=tensor.is_cuda)
        array = _array(host)
        assert array is not None
    if array.nbytes >= _HUGE and array.flags.c_contiguous:
        _kernels.prefer_huge_pages(array)
    _draw(array, planned, part, seed, stream, as_threads(threads, array.size))
    if host is not None:
        tensor.data.copy_(host)  # autograd is told elsewhere


def _pieces(tensor: torch.Tensor) -> list[tuple[torch.Tensor, _parts.Part | None]]:
    """The tensors in this process's memory that a tensor is made of, and which part each holds; None is all of it."""
    if not _is_sharded(tensor):
        if tensor.numel() and not tensor.data_ptr():
            raise ValueError("tensor must have memory; got one whose storage was freed")
        return [(tensor, None)]
    if tensor.device_mesh.get_coordinate() is None:
        return []  # of which this process has no part
    runs = _runs(tensor)
    with torch.no_grad():
        local = tensor.to_local().detach()
    lengths = tuple(sum(map(len, axis)) for axis in runs)
    if 0 in lengths and not local.numel():
        return []
    if tuple(local.shape) != lengths:
        rule = f"the shape {lengths} that {tensor.placements} gives it"
        raise ValueError(f"local tensor must have {rule}; got {tuple(local.shape)}")
    pieces: list[tuple[torch.Tensor, _parts.Part | None]] = []
    for cell in itertools.product(*map(placed, runs)):
        here, ranges = tuple(place for place, _ in cell), tuple(run for _, run in cell)
        start, steps = _parts.place(ranges, tuple(tensor.shape))
        pieces.append((local[here], _parts.Part(tuple(map(len, ranges)), start, steps, ranges)))
    return pieces


def _runs(tensor: Any) -> list[list[range]]:
    """The coordinates of the whole that this process's shard of a DTensor has, an axis each, in the shard's order."""
    mesh = tensor.device_mesh
    shards: list[list[Shard]] = [[] for _ in tensor.shape]
    for chunks, mine, placement in zip(mesh.shape, mesh.get_coordinate(), tensor.placements, strict=True):
        if placement.is_replicate():
            continue
        if not hasattr(placement, "dim"):
            raise ValueError(
                f"placements must be Shard or Replicate; got {placement!r}, a sum over processes: redistribute it first"
            )
        shards[placement.dim].append(Shard(chunks, mine, getattr(placement, "split_factor", 1)))
    return [cut([range(n)], axis) for n, axis in zip(tensor.shape, shards, strict=True)]


def _fill(tensor: torch.Tensor, planned: Plan | None, random: dict[str, torch.Generator | None]) -> None:
    pieces = _pieces(tensor)  # or an error, by which a generator gives nothing away
    seed = _word(**random) if random else 0
    for memory, part in pieces:
        _fill_memory(memory, planned, part, seed, 0, None)


def _changed(tensor: torch.Tensor) -> None:
    """Tell autograd that a tensor's memory was written."""
    if not tensor.is_inference():
        increment_version(tensor)


# ---- the names of torch.nn.init ----

_aten = torch.ops.aten
#: What all of them draw with.
_IN_PLACE = {_aten.uniform_.default: "uniform_", _aten.normal_.default: "normal_"}
_torch_trunc_normal_ = nn.init._no_grad_trunc_normal_
#: PyTorch's own functions, for what is not drawn here, and to say what is wrong with a call.
_TORCH: dict[str, Callable[..., Any]] = {
    name: getattr(nn.init, name) for name in nn.init.__all__ if name.endswith("_")
} | {"trunc_normal_": _torch_trunc_normal_}
#: What those checks draw from, so that they use up nobody's numbers.
_scratch = torch.Generator(device="cpu")


def _xavier(name: str, gain: float) -> Strategy:
    return get(name, gain=gain) if gain else Constant(0.0)


def _kaiming(name: str, a: float, mode: str, nonlinearity: str) -> Strategy:
    slope = {"negative_slope": a} if nonlinearity == "leaky_relu" else {}
    return get(name, nonlinearity=nonlinearity, mode=mode.lower(), **slope)


#: What each draws, of its arguments in PyTorch's order.
_STRATEGIES: dict[str, Callable[..., Strategy]] = {
    "uniform_": lambda a, b: Uniform(a, b) if a != b else Constant(a),
    "normal_": Normal,
    "trunc_normal_": lambda mean, std, a, b: TruncatedNormal(mean, std, a, b, "absolute") if a != b else Constant(a),
    "eye_": lambda: get("eye"),
    "dirac_": lambda groups: get("dirac"),
    "xavier_uniform_": functools.partial(_xavier, "xavier_uniform"),
    "xavier_normal_": functools.partial(_xavier, "xavier_normal"),
    "kaiming_uniform_": functools.partial(_kaiming, "kaiming_uniform"),
    "kaiming_normal_": functools.partial(_kaiming, "kaiming_normal"),
    "orthogonal_": lambda gain: get("orthogonal", gain=gain),
    "sparse_": lambda sparsity, std: get("sparse", sparsity=sparsity, std=std),
}


def _planned(name: str, tensor: torch.Tensor, arguments: tuple[Any, ...]) -> Plan | None:
    """What a function of `torch.nn.init` draws into a tensor; where PyTorch raises an error, so does this."""
    lasting = _NUMBERS.issuperset(map(type, arguments))  # not a tensor, whose value may change
    plan = _checked_call if lasting else _checked_call.__wrapped__
    return plan(name, tensor.shape, tensor.dtype, *arguments)


_NUMBERS = {float, int, str}


@functools.lru_cache(maxsize=4096, typed=True)
def _checked_call(name: str, shape: tuple[int, ...], dtype: torch.dtype, *arguments: Any) -> Plan | None:
    one = torch.empty((1, 1), dtype=dtype, device="cpu")
    with _OnOneElement(one):
        _TORCH[name](torch.empty(shape, dtype=dtype, device="meta"), *arguments)
    if name == "sparse_":
        one.normal_(0, arguments[1], generator=_scratch)
    elif name == "trunc_normal_" and arguments[1] and _is_far(*arguments):
        one.uniform_(*arguments[2:], generator=_scratch)  # its own would warn, too
    elif name == "trunc_normal_":
        _TORCH[name](one, *arguments, generator=_scratch)
    groups = arguments[0] if name == "dirac_" else 1
    return checked_plan(_STRATEGIES[name](*arguments), tuple(shape), _numpy_dtype(dtype), "oi...", None, None, groups)


class _OnOneElement(TorchDispatchMode):  # type: ignore[misc]
    """Draws into one element what is drawn into a tensor on the meta device, where bounds are not looked at."""

    def __init__(self, one: torch.Tensor) -> None:
        super().__init__()
        self.one = one

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if function in _IN_PLACE:
            function(self.one, *args[1:], generator=_scratch)
            return args[0]
        return function(*args, **(kwargs or {}))


_REAL = {torch.float32, torch.float64, torch.float16, torch.bfloat16}
_COMPLEX = {torch.complex64, torch.complex128}
#: PyTorch's own modes, in which it writes down what is called, or only does as if it were done.
_TRACING = tuple(torch._C._TorchDispatchModeKey.__members__.values())


def _is_traced() -> bool:
    return torch._C._len_torch_dispatch_stack() > 0 and any(map(torch._C._get_dispatch_mode, _TRACING))


def _is_ours(name: str, tensor: torch.Tensor) -> bool:
    """Whether there is anything here to draw; PyTorch itself knows what to do, or to say, where not.

    Its `uniform_` draws both parts of complex numbers from [a, b), as nothing here does.
    """
    if not _has_memory(tensor) or (tensor.is_inference() and not torch.is_inference_mode_enabled()) or _is_traced():
        return False
    return tensor.numel() > 0 and (tensor.dtype in _REAL or (tensor.dtype in _COMPLEX and name != "uniform_"))


def _word(generator: torch.Generator | None) -> int:
    """64 bits of a generator of PyTorch's; of its default one for the CPU, whatever the device, where there is none."""
    device = "cpu" if generator is None else generator.device
    word = torch.empty((), dtype=torch.int64, device=device).random_(-(2**63), None, generator=generator)
    return int(word.item()) % 2**64


def _init(name: str, tensor: torch.Tensor, *arguments: Any, **random: torch.Generator | None) -> torch.Tensor:
    """Do what the function of `torch.nn.init` does; a random one has a `generator`."""
    if torch.compiler.is_compiling():
        return _init_apart(name, tensor, *arguments, **random)
    if name.startswith("kaiming_") and _is_usual(tensor) and 0 in tensor.shape:
        warnings.warn("Initializing zero-element tensors is a no-op", stacklevel=3)  # PyTorch's would name this line
        return tensor
    generator = random.get("generator")
    if not (_is_ours(name, tensor) and (generator is None or isinstance(generator, torch.Generator))):
        return _TORCH[name](tensor, *arguments, **random)
    if name == "trunc_normal_":
        _warn_if_far(4, *arguments)
    planned = _planned(name, tensor, arguments)
    _fill(tensor, planned, random)
    _changed(tensor)
    return tensor


#: For compiled code, which is not to look into it.
_init_apart = torch._disable_dynamo(_init)


def uniform_(
    tensor: torch.Tensor, a: float = 0.0, b: float = 1.0, generator: torch.Generator | None = None
) -> torch.Tensor:
    """Fill a tensor with U[a, b), in place.

    As all functions of this module that are named as in `torch.nn.init`, it has that one's arguments, errors and
    warnings, and returns the tensor. The values are ``fastinit.fill(..., seed=word)``, the word one of the generator's:
    any shape, strides and number of threads draw the same, and a `DTensor` the whole's, of which each process fills
    its own part, if all processes' generators are in the same state.

    Parameters
    ----------
    tensor : torch.Tensor
        Of float32, float64, float16 or bfloat16; of any strides, requiring gradients or not. Complex ones are as in
        `fastinit.fill`, with the variance that is asked for, but here, where PyTorch draws both parts from [a, b).
        Another device's tensor is drawn in (pinned) main memory and copied: a seed gives the same on any. On the meta
        device nothing is done.
    a, b : float
        The bounds. No value lies outside [a, b) in any dtype.
    generator : torch.Generator, optional
        Gives the call's seed; by default PyTorch's own for the CPU, which `torch.manual_seed` seeds.

    Raises
    ------
    TypeError, ValueError, RuntimeError
        As PyTorch does. What `fastinit.fill` refuses is its error here, though PyTorch would draw something: bounds
        between which the dtype has no number, a mean and std that could pass its greatest one, a `sparsity` outside
        [0, 1], complex numbers about another mean than 0. An error leaves tensor and generator alone.

    Examples
    --------
    >>> import torch
    >>> from fastinit.torch import uniform_
    >>> uniform_(torch.empty(2, 3), generator=torch.Generator().manual_seed(42)).shape
    torch.Size([2, 3])
    """
    return _init("uniform_", tensor, a, b, generator=generator)


def normal_(
    tensor: torch.Tensor, mean: float = 0.0, std: float = 1.0, generator: torch.Generator | None = None
) -> torch.Tensor:
    """Fill a tensor with N(mean, std^2), in place; see `uniform_` and `fastinit.normal`."""
    return _init("normal_", tensor, mean, std, generator=generator)


def trunc_normal_(
    tensor: torch.Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """Fill a tensor with N(mean, std^2) cut off outside [a, b], in place; see `uniform_`, `fastinit.truncated_normal`.

    By the inverse distribution function, which is right wherever the bounds are; PyTorch's warning about a mean far
    outside of them is given all the same.
    """
    return _init("trunc_normal_", tensor, mean, std, a, b, generator=generator)


def _is_far(mean: float, std: float, a: float, b: float) -> bool:
    return mean < a - 2 * std or mean > b + 2 * std


def _warn_if_far(stacklevel: int, mean: float, std: float, a: float, b: float) -> None:
    if _is_far(mean, std, a, b):
        warnings.warn(
            "mean is more than 2 std from [a, b] in nn.init.trunc_normal_. "
            "The distribution of values may be incorrect.",
            stacklevel=stacklevel,
        )


def eye_(tensor: torch.Tensor) -> torch.Tensor:
    """Fill a matrix with the identity, in place; see `uniform_` and `fastinit.eye`."""
    return _init("eye_", tensor)


def dirac_(tensor: torch.Tensor, groups: int = 1) -> torch.Tensor:
    """Fill a convolution's weight with Dirac's delta, in place; see `uniform_` and `fastinit.dirac`."""
    return _init("dirac_", tensor, groups)


def xavier_uniform_(tensor: torch.Tensor, gain: float = 1.0, generator: torch.Generator | None = None) -> torch.Tensor:
    """Fill a tensor by Xavier's uniform rule, in place; see `uniform_` and `fastinit.xavier_uniform`."""
    return _init("xavier_uniform_", tensor, gain, generator=generator)


def xavier_normal_(tensor: torch.Tensor, gain: float = 1.0, generator: torch.Generator | None = None) -> torch.Tensor:
    """Fill a tensor by Xavier's normal rule, in place; see `uniform_` and `fastinit.xavier_normal`."""
    return _init("xavier_normal_", tensor, gain, generator=generator)


def kaiming_uniform_(
    tensor: torch.Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """Fill a tensor by Kaiming He's uniform rule, in place; see `uniform_` and `fastinit.he_uniform`."""
    return _init("kaiming_uniform_", tensor, a, mode, nonlinearity, generator=generator)


def kaiming_normal_(
    tensor: torch.Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """Fill a tensor by Kaiming He's normal rule, in place; see `uniform_` and `fastinit.he_normal`."""
    return _init("kaiming_normal_", tensor, a, mode, nonlinearity, generator=generator)


def orthogonal_(tensor: torch.Tensor, gain: float = 1, generator: torch.Generator | None = None) -> torch.Tensor:
    """Fill a tensor with a (semi-)orthogonal matrix, in place; see `uniform_` and `fastinit.orthogonal`.

    bfloat16 and float16, too. Every element depends on all others, so each process that has a part draws the whole.
    """
    return _init("orthogonal_", tensor, gain, generator=generator)


def sparse_(
    tensor: torch.Tensor, sparsity: float, std: float = 0.01, generator: torch.Generator | None = None
) -> torch.Tensor:
    """Fill a matrix with N(0, std^2) and the same number of zeros in each column, in place; see `uniform_`.

    The generator decides where the zeros are, too; see `fastinit.sparse`.
    """
    return _init("sparse_", tensor, sparsity, std, generator=generator)


def _deprecated(function: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """A function under its name before PyTorch 0.4, which `torch.nn.init` still has."""
    name = function.__name__.removesuffix("_")

    def deprecated_init(*args: Any, **kwargs: Any) -> torch.Tensor:
        warnings.warn(f"`nn.init.{name}` is now deprecated in favor of `nn.init.{name}_`.", FutureWarning, stacklevel=2)
        return function(*args, **kwargs)

    deprecated_init.__name__ = deprecated_init.__qualname__ = name
    deprecated_init.__doc__ = f"`{name}_`, under a name that is deprecated."
    return deprecated_init


uniform = _deprecated(uniform_)
normal = _deprecated(normal_)
constant = _deprecated(constant_)
eye = _deprecated(eye_)
dirac = _deprecated(dirac_)
xavier_uniform = _deprecated(xavier_uniform_)
xavier_normal = _deprecated(xavier_normal_)
kaiming_uniform = _deprecated(kaiming_uniform_)
kaiming_normal = _deprecated(kaiming_normal_)
orthogonal = _deprecated(orthogonal_)
sparse = _deprecated(sparse_)


# ---- unchanged code that builds a model ----


@contextlib.contextmanager
def accelerate(seed: Seed = None) -> Iterator[None]:
    """A context in which model code, unchanged, draws its weights through the kernels.

    On this thread, `Tensor.uniform_`, `Tensor.normal_`, `torch.rand`, `torch.randn`, their ``_like`` forms and
    `torch.nn.init.trunc_normal_` are drawn here if they are for the CPU, and so is everything made of them: the
    defaults of `torch.nn`'s modules, most of `torch.nn.init`. Anything else is PyTorch's own. (Its `eye_`, `dirac_` and
    `sparse_` are wrong or fail on a `DTensor`, in a context or not; this module's are right.)

    Parameters
    ----------
    seed : int, numpy.random.Generator, numpy.random.SeedSequence, optional
        Seeds a generator for this context, from which every random function of PyTorch for the CPU draws here that
        takes one and is given none. Without it they draw from what they ever do, which `torch.manual_seed` seeds, or a
        context around. The values depend on the order of the calls; those of `initialize` do not.

    Raises
    ------
    TypeError, ValueError
        If `seed` is not one.

    Examples
    --------
    >>> import torch, fastinit.torch
    >>> with fastinit.torch.accelerate(seed=0):
    ...     layer = torch.nn.Linear(784, 512)
    >>> bool(layer.weight.abs().max() <= 784**-0.5)
    True
    """
    generator = None if seed is None else torch.Generator(device="cpu").manual_seed(as_seed(seed))
    with _truncated_normals(), _Accelerated(generator):
        yield


#: New tensors: what makes their memory, and what draws into it.
_NEW = {
    _aten.rand.default: (torch.empty, _aten.uniform_.default),
    _aten.rand.generator: (torch.empty, _aten.uniform_.default),
    _aten.rand_like.default: (torch.empty_like, _aten.uniform_.default),
    _aten.randn.default: (torch.empty, _aten.normal_.default),
    _aten.randn.generator: (torch.empty, _aten.normal_.default),
    _aten.randn_like.default: (torch.empty_like, _aten.normal_.default),
}
#: Parameters that a call may leave out, of both functions.
_DEFAULTS = (0.0, 1.0)


class _Accelerated(TorchDispatchMode):  # type: ignore[misc]
    """Sees every operation of its thread below autograd, where a tensor's version has been counted already."""

    def __init__(self, generator: torch.Generator | None) -> None:
        super().__init__()
        self.generator = generator

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if _is_traced():
            return function(*args, **kwargs)
        if any(map(_wraps, types)):
            return NotImplemented  # it knows what it is made of, and asks again for that
        if function in _NEW:
            make, function = _NEW[function]
            generator = kwargs.pop("generator", None)
            args, kwargs = (make(*args, **kwargs),), {"generator": generator}
        if self.generator is not None and kwargs.get("generator") is None:
            seeded = _seeded(function)
            if seeded is not None and _is_for_cpu(args, kwargs):
                function, kwargs["generator"] = seeded, self.generator
        name = _IN_PLACE.get(function)
        if name is not None:
            arguments = (*args[1:], *_DEFAULTS[len(args) - 1 :])
            if _could_draw(name, args[0], arguments, kwargs.get("generator")):
                return args[0]
        return function(*args, **kwargs)


@functools.cache
def _seeded(function: Any) -> Any:
    """The overload of a random function that takes a `generator`, too; None if it is not random or there is none."""
    if torch.Tag.nondeterministic_seeded not in function.tags:
        return None
    overloads = [getattr(function.overloadpacket, name) for name in function.overloadpacket.overloads()]
    wanted = {**_arguments(function), "generator": "Optional[Generator]"}
    return next((overload for overload in overloads if _arguments(overload) == wanted), None)


def _arguments(function: Any) -> dict[str, str]:
    return {argument.name: str(argument.type) for argument in function._schema.arguments}


def _is_for_cpu(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    device = args[0].device if args and isinstance(args[0], torch.Tensor) else kwargs.get("device")
    return device is None or device.type == "cpu"


def _could_draw(name: str, tensor: torch.Tensor, arguments: tuple[Any, ...], generator: torch.Generator | None) -> bool:
    """Draw if the kernels can; if not, PyTorch is to do it, or to say why it cannot."""
    if not _is_ours(name, tensor) or not tensor.is_cpu:
        return False
    try:
        planned = _planned(name, tensor, arguments)
    except (ArithmeticError, RuntimeError, TypeError, ValueError):
        return False
    _fill(tensor, planned, {"generator": generator})
    return True


_lock = threading.Lock()
_contexts = 0
_replaced: Any = None
_of_thread = threading.local()


@contextlib.contextmanager
def _truncated_normals() -> Iterator[None]:
    """Draw this thread's truncated normals here: in operations they are a loop that says little of what it is for.

    As long as any thread is in such a context, what `torch.nn.init.trunc_normal_` calls is replaced, for all.
    """
    global _contexts, _replaced
    with _lock:
        if not _contexts:
            _replaced = nn.init._no_grad_trunc_normal_
            nn.init._no_grad_trunc_normal_ = _trunc_normal_of_thread
        _contexts += 1
    _of_thread.contexts = getattr(_of_thread, "contexts", 0) + 1
    try:
        yield
    finally:
        _of_thread.contexts -= 1
        with _lock:
            _contexts -= 1
            if not _contexts:
                nn.init._no_grad_trunc_normal_ = _replaced


def _trunc_normal_of_thread(
    tensor: torch.Tensor, mean: float, std: float, a: float, b: float, generator: torch.Generator | None = None
) -> torch.Tensor:
    arguments = (mean, std, a, b)
    if getattr(_of_thread, "contexts", 0) and _could_draw("trunc_normal_", tensor, arguments, generator):
        _warn_if_far(3, *arguments)  # as if PyTorch's own had
        _changed(tensor)
        return tensor
    return _replaced(tensor, *arguments, generator=generator)


# ---- modules ----


def initialize(
    module: nn.Module, recipe: Recipe | PathOrName, *, seed: Seed = None, threads: int | None = None
) -> nn.Module:
    """Fill every parameter of a module by a recipe, in place.

    A parameter's stream is its name, so its values depend neither on the order of the parameters nor on the device,
    and are the same whether the module was built in memory or came from the meta device by `to_empty`, is compiled or
    wrapped for data parallelism. Of parameters that are sharded (a `DTensor`, as `fully_shard` and tensor parallelism
    make them), each process fills its own part, of the same whole on any number of processes, with any placements.

    `to_empty` leaves buffers to be made anew, which this does not, and unties parameters that were shared.

    Parameters
    ----------
    module : torch.nn.Module
        Its parameters must have memory, and be of a dtype that `fastinit.fill` knows; those that are shared have the
        name that `named_parameters` gives them. The names that wrappers add count for nothing: a recipe for the module
        fits the module wrapped by `torch.compile`, `DistributedDataParallel`, `DataParallel` and activation
        checkpointing.
    recipe : Recipe, str or path
        What to draw for which names; what `load_recipe` takes, too.
    seed : int, numpy.random.Generator, numpy.random.SeedSequence, optional
        The whole model's seed, the same on every process; by default a word of PyTorch's generator, which
        `torch.manual_seed` seeds.
    threads : int, optional
        As for `fastinit.fill`.

    Returns
    -------
    torch.nn.Module
        `module`.

    Raises
    ------
    TypeError, ValueError
        If an argument is not what it must be, a name matches no rule, or a parameter cannot be drawn, which the error
        names; nothing is filled then.

    Examples
    --------
    >>> import torch, fastinit as fi, fastinit.torch
    >>> with torch.device("meta"):
    ...     model = torch.nn.Sequential(torch.nn.Linear(784, 512), torch.nn.ReLU(), torch.nn.Linear(512, 10))
    >>> recipe = fi.Recipe([("*.bias", "zeros"), ("*.weight", "he")])
    >>> model = fastinit.torch.initialize(model.to_empty(device="cpu"), recipe, seed=0)
    >>> w = fi.initialize((512, 784), "he", seed=0, stream="0.weight")
    >>> bool((model[0].weight.detach().numpy() == w).all())
    True
    """
    if not isinstance(module, nn.Module):
        raise TypeError(f"module must be a torch.nn.Module; got {module!r}")
    if not isinstance(recipe, Recipe):
        recipe = load_recipe(recipe)
    parameters, pieces = _named_parameters(module), {}
    for name, parameter in parameters.items():
        with _about(name):
            if not _has_memory(parameter):
                raise ValueError(
                    "parameter must be dense and in memory, which module.to_empty(device=...) gives one on the meta "
                    f"device; got a {type(parameter).__name__} on {parameter.device}"
                )
            pieces[name] = _pieces(parameter)
    tensors = {name: (tuple(p.shape), str(p.dtype).removeprefix("torch.")) for name, p in parameters.items()}
    planned = plan_tensors(recipe, tensors, seed=0 if seed is None else seed, threads=threads)
    word = _word(None) if seed is None else None  # last: the generator gives nothing away on an error
    for tensor in planned:
        tensor_seed = tensor.seed if word is None else word
        for memory, part in pieces[tensor.name]:
            _fill_memory(memory, tensor.plan, part, tensor_seed, tensor.stream, tensor.threads)
        _changed(parameters[tensor.name])
    return module


#: What these call the module that they wrap; `DistributedDataParallel` and `DataParallel` say "module", as a user may.
_WRAPPED = ("_orig_mod", "_checkpoint_wrapped_module")


def _named_parameters(module: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters under the names that they have where nothing is wrapped, each once."""
    named: dict[str, nn.Parameter] = {}
    seen = set()
    for prefix, part in _named_modules(module, "", set()):
        if isinstance(part, _distributed("fsdp", "FullyShardedDataParallel")):
            raise TypeError(
                "module must not be wrapped by FullyShardedDataParallel, which flattens parameters: initialize it "
                "before, or use fully_shard"
            )
        if isinstance(part, _distributed("fsdp", "FSDPModule")):
            part.reshard()  # what is gathered for a forward pass is thrown away after it
        for name, parameter in part.named_parameters(prefix, recurse=False):
            if parameter not in seen:
                seen.add(parameter)
                named[name] = parameter
    return named


def _named_modules(module: nn.Module, name: str, seen: set[nn.Module]) -> Iterator[tuple[str, nn.Module]]:
    """A module and all in it, each once, with its name where nothing is wrapped."""
    if module in seen:
        return
    seen.add(module)
    yield name, module
    for own, child in module.named_children():
        wraps = own in _WRAPPED or isinstance(module, (nn.DataParallel, nn.parallel.DistributedDataParallel))
        yield from _named_modules(child, name if wraps else f"{name}.{own}" if name else own, seen)
