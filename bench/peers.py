"""What others offer for the same work: each function makes, for an array `out`, a call that fills it on one thread.

A peer that is not installed raises ImportError, which says so.
"""

import contextlib
import ctypes
import functools
import os
from importlib import metadata

import numpy as np

import fastinit as fi

# ---- NumPy ----


def limit(out):
    return lambda: out.fill(1.5)


def numpy_uniform(out, bits=np.random.PCG64):
    generator = np.random.Generator(bits(0))
    return lambda: generator.random(out=out, dtype=out.dtype)


def numpy_normal(out, bits=np.random.SFC64):
    generator = np.random.Generator(bits(0))
    return lambda: generator.standard_normal(out=out, dtype=out.dtype)


# ---- PyTorch, in place on the same memory ----


def torch_tensor(out):
    import torch

    torch.set_num_threads(1)
    if out.dtype.name == "bfloat16":  # which PyTorch does not take from NumPy
        return torch.from_numpy(out.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(out)


def torch_uniform(out):
    return torch_tensor(out).uniform_


def torch_normal(out):
    return torch_tensor(out).normal_


def torch_truncated_normal(out):
    tensor = torch_tensor(out)
    from torch.nn.init import trunc_normal_

    return lambda: trunc_normal_(tensor)


def torch_kaiming_normal(out):
    tensor = torch_tensor(out)
    from torch.nn.init import kaiming_normal_

    return lambda: kaiming_normal_(tensor, nonlinearity="relu")


def torch_orthogonal(out):
    """On as many threads as NumPy's own products of matrices use: all."""
    tensor = torch_tensor(out)
    import torch
    from torch.nn.init import orthogonal_

    def run():
        torch.set_num_threads(os.cpu_count() or 1)
        orthogonal_(tensor)
        torch.set_num_threads(1)

    return run


def torch_model(recipe, manifest):
    """New tensors for every entry of `manifest`, all float32, filled by what torch.nn.init has for `recipe`'s rules."""
    import torch
    from torch.nn import init

    tensors = {}
    for name, rule in recipe.match(manifest).items():
        tensor = tensors[name] = torch.empty(manifest[name]["shape"])
        match rule.strategy:
            case fi.Constant(value):
                init.constant_(tensor, value)
            case fi.Uniform(low, high):
                init.uniform_(tensor, low, high)
            case fi.Normal(mean, std):
                init.normal_(tensor, mean, std)
            case fi.VarianceScaling(scale, mode, "normal"):
                init.kaiming_normal_(tensor, a=(2 / scale - 1) ** 0.5, mode=mode)
            case fi.VarianceScaling(scale, mode, "uniform"):
                init.kaiming_uniform_(tensor, a=(2 / scale - 1) ** 0.5, mode=mode)
            case strategy:
                raise NotImplementedError(strategy)
    return tensors


# ---- JAX, which makes a new array a call ----


@functools.cache
def one_threaded_jax():
    """JAX heeds no option for its threads, but starts as many as the processors it may use when it begins."""
    may_use = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    try:
        if may_use:
            os.sched_setaffinity(0, {min(may_use)})
        import jax

        jax.config.update("jax_platforms", "cpu")
        jax.config.update("jax_enable_x64", True)
        jax.numpy.zeros(1).block_until_ready()
    finally:
        if may_use:
            os.sched_setaffinity(0, may_use)
    return jax


def jax_draw(name, out, *bounds):
    jax = one_threaded_jax()
    draw, shape, dtype = getattr(jax.random, name), out.shape, out.dtype
    jitted = jax.jit(lambda key: draw(key, *bounds, shape=shape, dtype=dtype))
    key = jax.random.key(0)
    return lambda: jitted(key).block_until_ready()


def jax_uniform(out):
    return jax_draw("uniform", out)


def jax_normal(out):
    return jax_draw("normal", out)


def jax_truncated_normal(out):
    return jax_draw("truncated_normal", out, -2.0, 2.0)


# ---- Intel MKL's vector statistics library, by ctypes ----

#: As in mkl_vsl_defines.h; the quasi-random and the hardware's generator are left out.
MKL_GENERATORS = {
    "MCG31": 1 << 20,
    "R250": 2 << 20,
    "MRG32K3A": 3 << 20,
    "MCG59": 4 << 20,
    "WH": 5 << 20,
    "MT19937": 8 << 20,
    "MT2203": 9 << 20,
    "SFMT19937": 13 << 20,
    "ARS5": 15 << 20,
    "PHILOX4X32X10": 16 << 20,
}
MKL_METHODS = {"BOXMULLER": 0, "BOXMULLER2": 1, "ICDF": 2}


@functools.cache
def mkl():
    try:
        files = metadata.files("mkl") or []
    except metadata.PackageNotFoundError:
        files = []
    names = [file.locate() for file in files if file.name.startswith(("libmkl_rt", "mkl_rt"))]
    for name in [*names, "libmkl_rt.so"]:
        with contextlib.suppress(OSError):
            library = ctypes.CDLL(str(name))
            break
    else:
        raise ImportError("No library named 'libmkl_rt'")
    library.MKL_Set_Threading_Layer(1)  # sequential
    library.MKL_Set_Num_Threads(1)
    return library


def mkl_draw(distribution, method, generator, out, a, b):
    library = mkl()
    letter, real = {"float32": ("s", ctypes.c_float), "float64": ("d", ctypes.c_double)}[out.dtype.name]
    stream = ctypes.c_void_p()
    error = library.vslNewStream(ctypes.byref(stream), MKL_GENERATORS[generator], ctypes.c_uint(1))
    if error:
        raise ImportError(f"MKL has no {generator} here: error {error}")
    draw = getattr(library, f"v{letter}Rng{distribution}")
    arguments = method, stream, out.size, ctypes.c_void_p(out.ctypes.data), real(a), real(b)

    def run():
        if error := draw(*arguments):
            raise RuntimeError(f"MKL: error {error}")

    run.out = out  # keeps it alive
    return run


def mkl_uniform(generator, out):
    return mkl_draw("Uniform", 0, generator, out, 0.0, 1.0)


def mkl_normal(method, generator, out):
    return mkl_draw("Gaussian", MKL_METHODS[method], generator, out, 0.0, 1.0)


#: Every peer of a draw: its name, and what makes a call that fills `out`.
PEERS = {
    "uniform": {
        "NumPy PCG64": numpy_uniform,
        "NumPy SFC64": functools.partial(numpy_uniform, bits=np.random.SFC64),
        "PyTorch": torch_uniform,
        "JAX": jax_uniform,
        **{f"MKL {generator}": functools.partial(mkl_uniform, generator) for generator in MKL_GENERATORS},
    },
    "normal": {
        "NumPy PCG64": functools.partial(numpy_normal, bits=np.random.PCG64),
        "NumPy SFC64": numpy_normal,
        "PyTorch": torch_normal,
        "JAX": jax_normal,
        **{
            f"MKL {generator} {method}": functools.partial(mkl_normal, method, generator)
            for generator in MKL_GENERATORS
            for method in MKL_METHODS
        },
    },
    "truncated_normal": {
        "PyTorch": torch_truncated_normal,
        "JAX": jax_truncated_normal,
    },
}
