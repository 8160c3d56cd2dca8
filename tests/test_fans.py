"""Fans where other libraries' are said to be wrong: each test states the complaint, and counts what a layer sums."""

import math
import re

import numpy as np
import pytest

import fastinit as fi
from fastinit._fans import Fans

from .helpers import peer


def fans(shape, layout="oi...", **options):
    asked = Fans(shape, layout, **options)
    return asked.fan_in, asked.fan_out


def torch_fans(*shape):
    torch = peer("torch")
    return torch.nn.init._calculate_fan_in_and_fan_out(torch.empty(*shape, device="meta"))


def counted(layer, inputs):
    """The most inputs that an output sums over, and the most outputs that an input feeds, of a linear PyTorch layer.

    With weights of ones on ones, these are its greatest output and the greatest gradient of their sum.
    """
    torch = peer("torch")
    for parameter in layer.parameters():
        torch.nn.init.ones_(parameter)
    x = torch.ones(1, *inputs, requires_grad=True)
    y = layer(x)
    y.sum().backward()
    return int(y.max()), int(x.grad.max())


# ---- groups ----


@pytest.mark.parametrize("mode", ["fan_in", "fan_out", "fan_avg", "fan_geo_avg"])
@pytest.mark.parametrize(
    ("shape", "layout", "axis", "groups"),
    [
        ((10, 3, 3), "oi...", "o", 3),
        ((10, 4, 3, 3), "oi...", "o", 9),
        ((3, 3, 4, 10), "...io", "o", 3),
        ((10, 4, 3), "io...", "i", 3),
        ((4, 3), "i...", "o", 3),  # one output
    ],
)
def test_groups_divide_the_channels_alone(shape, layout, axis, groups, mode):
    """10 channels cannot be 3 groups, though 3 divides 10 times the receptive field's size; nor for fan_in alone."""
    text = f"groups must divide the {axis!r} axis of shape {shape} in layout {layout!r}; got {groups}"
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        fi.initialize(shape, fi.VarianceScaling(2.0, mode), layout=layout, groups=groups)


def test_groups_of_no_channels_are_refused_where_fans_are_given():
    """Given fans ask nothing of the shape."""
    assert fans((10, 3, 3), groups=3, given_fan_in=5, given_fan_out=6) == (5, 6)


@pytest.mark.parametrize("groups", [1, 2, 8])
def test_grouped_convolution(groups):
    """PyTorch's fan_out of a grouped convolution counts the outputs of all groups, of which an input feeds one's."""
    torch = peer("torch")
    layer = torch.nn.Conv2d(16, 32, 3, groups=groups, bias=False)
    shape = tuple(layer.weight.shape)
    assert fans(shape, groups=groups) == counted(layer, (16, 8, 8)) == (16 // groups * 9, 32 // groups * 9)
    assert torch_fans(*shape) == (16 // groups * 9, 32 * 9)


# ---- depthwise ----


@pytest.mark.parametrize("multiplier", [1, 2, 3])
def test_depthwise_of_pytorch(multiplier):
    """PyTorch counts the outputs of all channels as fed by each: a fan_out `channels` times too large."""
    torch = peer("torch")
    layer = torch.nn.Conv2d(32, 32 * multiplier, 3, groups=32, bias=False)
    shape = tuple(layer.weight.shape)
    assert fans(shape, groups=32) == counted(layer, (32, 8, 8)) == (9, 9 * multiplier)
    assert torch_fans(*shape) == (9, 32 * 9 * multiplier)


@pytest.mark.parametrize("multiplier", [1, 2, 32])
def test_depthwise_of_keras(multiplier):
    """Keras counts its depthwise kernel's channels as inputs of every output: weights sqrt(channels) too small."""
    shape = (3, 3, 32, multiplier)
    assert fans(shape, "...bo") == fans(shape, "hwbo") == (9, 9 * multiplier)
    assert fans(shape, "...io") == (32 * 9, 9 * multiplier)
    assert fans((32 * multiplier, 1, 3, 3), groups=32) == fans(shape, "...bo")  # the same layer's
    assert fans((3, 3, 1, 32 * multiplier), "...io", groups=32) == fans(shape, "...bo")  # JAX's own spelling
    drawn = fi.initialize(shape, "he", seed=1, layout="...bo")
    assert drawn.tobytes() == fi.initialize(shape, fi.normal(std=math.sqrt(2 / 9)), seed=1).tobytes()


# ---- transposed convolutions ----


def test_transposed_convolution():
    """PyTorch gives ConvTranspose2d(16, 64, 3) a fan_in of 576, where 16 * 9 = 144 inputs feed each output."""
    torch = peer("torch")
    layer = torch.nn.ConvTranspose2d(16, 64, 3, bias=False)
    shape = tuple(layer.weight.shape)
    assert torch_fans(*shape) == (576, 144)
    assert fans(shape, "io...") == counted(layer, (16, 8, 8)) == (144, 576)


@pytest.mark.parametrize("groups", [2, 8])
def test_grouped_transposed_convolution(groups):
    torch = peer("torch")
    layer = torch.nn.ConvTranspose2d(16, 64, 3, groups=groups, bias=False)
    shape = tuple(layer.weight.shape)
    assert fans(shape, "io...", groups=groups) == counted(layer, (16, 8, 8)) == (16 // groups * 9, 64 // groups * 9)


def test_transposed_convolution_with_a_stride():
    """A stride is not in the weight's shape: of k * k taps, 1 / stride^2 meet an input. fan_in= says so."""
    torch = peer("torch")
    layer = torch.nn.ConvTranspose2d(16, 64, 4, stride=2, bias=False)
    fan_in = 16 * 4 * 4 // 2**2
    assert counted(layer, (16, 8, 8)) == (fan_in, 64 * 16)
    assert fans(tuple(layer.weight.shape), "io...", given_fan_in=fan_in) == (fan_in, 64 * 16)


# ---- batches of matrices ----


def test_experts():
    """A stack of 8 experts is a convolution to PyTorch: a fan_in a thousand times too large."""
    shape = (8, 1024, 4096)
    assert fans(shape, "boi") == fans(shape[1:]) == (4096, 1024)
    assert fans(shape, "bio") == (1024, 4096)
    assert torch_fans(*shape) == (1024 * 4096, 8 * 4096)


def test_experts_of_keras():
    """Keras takes the experts for a receptive field: weights sqrt(8) too small."""
    peer("keras")
    from keras.src.initializers.random_initializers import compute_fans

    assert compute_fans((8, 1024, 4096)) == (8 * 1024, 8 * 4096)


def test_heads():
    """A projection (inputs, heads, size) sums over the inputs; Keras and JAX count the heads, too, by default."""
    assert fans((512, 8, 64), "ibo") == (512, 64)
    assert fans((512, 8, 64), "ibo", given_fan_out=512) == (512, 512)  # as one matrix of all heads
    assert fans((8, 64, 512), "...io", given_fan_out=512) == (512, 512)  # the projection back sums over all heads


def test_fused_query_key_value():
    """(3 d, d) is three matrices d x d: Xavier on the fused shape draws them sqrt(2) too small."""
    d = 64
    fused = fi.initialize((3 * d, d), "xavier", seed=1, stream="qkv")
    assert fans((3 * d, d)) == (d, 3 * d)
    apart = fi.initialize((3, d, d), "xavier", seed=1, stream="qkv", layout="boi")
    given = fi.initialize((3 * d, d), "xavier", seed=1, stream="qkv", fan_out=d)
    assert apart.tobytes() == given.tobytes()
    assert apart.tobytes() == fi.initialize((3, d, d), fi.normal(std=d**-0.5), seed=1, stream="qkv").tobytes()
    np.testing.assert_allclose(given, fused * math.sqrt(2), rtol=2**-22)


# ---- what the shape cannot say ----


def test_vectors_have_no_fans():
    """PyTorch refuses a bias; here the fans can be given, and one alone where only one is asked for."""
    assert fans((50,), given_fan_in=50, given_fan_out=1) == (50, 1)
    with pytest.raises(ValueError, match=re.escape("shape must have an axis for each letter of layout 'oi...', or")):
        fi.initialize(50, "xavier", fan_in=50)
    assert fi.initialize(50, "he", fan_in=50, seed=1).shape == (50,)


def test_embedding():
    """A row is looked up, not summed over: fan_in= 1, or a std of one's own."""
    assert fans((50_000, 512), given_fan_in=1) == (1, 50_000)
