"""Convolutions, pools and upsampling as layers: shapes, what they compute, what they refuse; beside PyTorch."""

from __future__ import annotations

import json

import numpy as np
import pytest

import clnet
from clnet import nn, ops, optim, recipe
from clnet.errors import ArgumentError, ShapeError


def values(device, *shape, seed=0):
    return clnet.tensor(np.random.default_rng(seed).normal(size=shape).astype(np.float32), device=device)


def test_conv2d_is_a_convolution_a_bias_and_an_activation(device):
    x = values(device, 2, 6, 7, 3)
    layer = nn.Conv2D(5, (2, 3), activation="relu", bias_initializer="normal")
    y = layer(x).numpy()
    weight, bias = layer.weight.numpy(), layer.bias.numpy()
    assert weight.shape == (2, 3, 3, 5)
    wanted = np.zeros((2, 5, 5, 5))
    for i in range(2):
        for j in range(3):
            wanted += x.numpy()[:, i : i + 5, j : j + 5] @ weight[i, j].astype(float)
    np.testing.assert_allclose(y, np.maximum(wanted + bias, 0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("layer", "shape", "wanted"),
    [
        (lambda: nn.Conv2D(4, 3), (2, 8, 9, 3), (2, 6, 7, 4)),
        (lambda: nn.Conv2D(4, 3, strides=2, padding="same"), (2, 8, 9, 3), (2, 4, 5, 4)),
        (lambda: nn.Conv2D(4, 3, padding=((0, 1), (2, 0)), dilation_rate=2), (2, 8, 9, 3), (2, 5, 7, 4)),
        (lambda: nn.Conv2D(4, 3, groups=2, padding=1), (2, 8, 9, 6), (2, 8, 9, 4)),
        (lambda: nn.Conv1D(4, 5, strides=2, padding="same"), (2, 9, 3), (2, 5, 4)),
        (lambda: nn.DepthwiseConv2D(3, depth_multiplier=2), (2, 8, 9, 3), (2, 6, 7, 6)),
        (lambda: nn.SeparableConv2D(7, 3, padding="same"), (2, 8, 9, 3), (2, 8, 9, 7)),
        (lambda: nn.Conv2DTranspose(4, 3, strides=2), (2, 4, 5, 3), (2, 9, 11, 4)),
        (lambda: nn.Conv2DTranspose(4, 2, strides=3), (2, 4, 5, 3), (2, 12, 15, 4)),
        (lambda: nn.Conv2DTranspose(4, 3, strides=2, padding="same"), (2, 4, 5, 3), (2, 8, 10, 4)),
        (lambda: nn.Conv2DTranspose(4, 3, strides=2, padding="same", output_padding=0), (2, 4, 5, 3), (2, 7, 9, 4)),
        (lambda: nn.MaxPool2D(), (2, 7, 9, 3), (2, 3, 4, 3)),
        (lambda: nn.MaxPool2D(3, strides=2, padding="same"), (2, 7, 9, 3), (2, 4, 5, 3)),
        (lambda: nn.AvgPool1D(3), (2, 9, 3), (2, 3, 3)),
        (lambda: nn.L2Pool2D((1, 2)), (2, 7, 9, 3), (2, 7, 4, 3)),
        (lambda: nn.GlobalMaxPool2D(), (2, 7, 9, 3), (2, 3)),
        (lambda: nn.GlobalAvgPool1D(keepdims=True), (2, 7, 3), (2, 1, 3)),
        (lambda: nn.UpSample2D((2, 3)), (2, 7, 9, 3), (2, 14, 27, 3)),
        (lambda: nn.UpSample2D(interpolation="bilinear"), (2, 7, 9, 3), (2, 14, 18, 3)),
    ],
)
def test_shapes_and_recipes(layer, shape, wanted, device):
    made = layer()
    made.build(shape, device=device)
    assert made.output_shape[1:] == wanted[1:]
    assert made(values(device, *shape)).shape == wanted
    again = recipe.read(json.loads(json.dumps(recipe.write(made))))
    assert recipe.write(again) == recipe.write(made)


def test_first_values_know_the_window(device):
    layer = nn.Conv2D(64, 5, weight_initializer="he_normal")
    layer.build((None, 8, 8, 32), device=device)
    assert np.std(layer.weight.numpy()) == pytest.approx(np.sqrt(2 / (5 * 5 * 32)), rel=0.02)


def test_pictures_of_bytes(device):
    pixels = clnet.tensor(np.arange(32, dtype=np.uint8).reshape(1, 4, 8, 1), device=device)
    assert nn.Conv2D(2, 3)(pixels).dtype == np.float32


def test_bias_and_activation_are_in_the_epilogue(device):
    layer = nn.Conv2D(20, 3, activation="relu")
    x = values(device, 2, 8, 8, 16)
    layer(x)
    assert any(("relu" in step.ops and "conv" in step.ops) or "matmul" in step.ops for step in _plan(layer, x).steps)
    assert not any(step.ops.strip() == "relu" for step in _plan(layer, x).steps)


def _plan(layer, x):
    return clnet.compile(lambda x: layer(x), device=x.device).plan(x)


def test_what_reads_it_flattened_joins_the_epilogue(device):
    """The shape that a reshape takes apart and another puts together again is the same one, so the value is at hand."""
    x, w, mask = (
        np.random.default_rng(0).random(shape, np.float32) for shape in ((3, 9, 8, 2), (3, 3, 2, 20), (3, 840))
    )

    def masked(x, w, mask):
        return ops.where(mask > 0.5, ops.reshape(ops.convolution(x, w), (3, 840)), 0.0)

    compiled = clnet.compile(masked, device=device)
    y = compiled(x, w, mask).numpy()
    plain = clnet.compile(ops.convolution, device=device)(x, w).numpy().reshape(3, 840)
    assert compiled.plan(x, w, mask).launches == 1
    np.testing.assert_array_equal(y, np.where(mask > 0.5, plain, 0))


def test_a_padded_maximum_is_never_padding(device):
    x = clnet.tensor(np.full((1, 3, 3, 1), -5, np.float32), device=device)
    assert (nn.MaxPool2D(2, padding=1)(x).numpy() == -5).all()


def test_gradient_of_equal_maxima_goes_to_the_first(device):
    x = clnet.tensor(np.zeros((1, 4, 4, 2), np.float32), device=device)
    _, dx = clnet.value_and_grad(lambda x: ops.sum(ops.max_pool(x, 2)))(x)
    wanted = np.zeros((1, 4, 4, 2))
    wanted[:, ::2, ::2] = 1
    np.testing.assert_array_equal(dx.numpy(), wanted)


def test_no_windows_are_stored(device):
    """Neither by the gradient of a pool whose windows overlap, nor by that of a depthwise convolution."""
    x, w = values(device, 4, 16, 16, 8), values(device, 3, 3, 1, 8)

    def pooled(x, w):
        return ops.sum(ops.sigmoid(ops.max_pool(x, 3, strides=1, padding=1)))

    def depthwise(x, w):
        return ops.sum(ops.sigmoid(ops.convolution(x, w, padding=1, groups=8)))

    for loss in (pooled, depthwise):
        plan = clnet.compile(clnet.value_and_grad(loss, wrt=0), device=device).plan(x, w)
        assert plan.nbytes < 4 * x.nbytes


def test_l2_pool_of_zeros_has_a_gradient(device):
    x = clnet.tensor(np.zeros((1, 2, 2, 1), np.float32), device=device)
    _, dx = clnet.value_and_grad(lambda x: ops.sum(ops.l2_pool(x, 2)))(x)
    np.testing.assert_array_equal(dx.numpy(), 0)


@pytest.mark.parametrize(("channels", "filters"), [(2, 3), (16, 17)], ids=["narrow", "wide"])
def test_second_derivatives(channels, filters, device):
    """Of sum(y^3) along v, through a strided convolution and a pool, against a central difference of the gradient."""
    shape = (3, 3, channels, filters)
    x, w, v = values(device, 1, 7, 7, channels), values(device, *shape, seed=1), values(device, *shape, seed=2)

    def loss(w, x):
        y = ops.average_pool(ops.convolution(x, w, strides=2, padding=1), 2)
        return ops.sum(y * y * y)

    slope = clnet.value_and_grad(loss)

    def along(w, x):
        return ops.sum(slope(w, x)[1] * v)

    _, found = clnet.value_and_grad(along)(w, x)
    step = 1e-2
    _, up = slope(clnet.tensor(w.numpy() + step * v.numpy(), device=device), x)
    _, down = slope(clnet.tensor(w.numpy() - step * v.numpy(), device=device), x)
    wanted = (up.numpy() - down.numpy()) / (2 * step)
    np.testing.assert_allclose(found.numpy(), wanted, rtol=2e-2, atol=1e-3 * np.abs(wanted).max())


@pytest.mark.parametrize("strides", [1, 2])
def test_both_forms_give_the_same_gradients(strides, device):
    """What a GPU would run, on every runtime; the gradient by x of a strided convolution spreads its operand."""
    x, w = values(device, 3, 9, 8, 17), values(device, 3, 3, 17, 18, seed=1)

    def loss(x, w):
        return ops.sum(ops.sigmoid(ops.convolution(x, w, strides=strides, padding=1)))

    both = [clnet.compile(clnet.value_and_grad(loss, wrt=(0, 1)), device=device, form=form) for form in ("cpu", "gpu")]
    for here, there in zip(*(compiled(x, w)[1] for compiled in both), strict=True):
        np.testing.assert_allclose(there.numpy(), here.numpy(), rtol=1e-3, atol=1e-4)


def test_a_network_of_them_learns(device):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 64).astype(np.int32)
    x = rng.normal(size=(64, 8, 8, 1)).astype(np.float32)
    x[:, 2:6, 2:6] += (4 * y - 2)[:, None, None, None]
    net = nn.Sequential(
        nn.Conv2D(4, 3, activation="relu"), nn.MaxPool2D(), nn.SeparableConv2D(6, 2), nn.GlobalAvgPool2D(), nn.Dense(2)
    )
    model = clnet.Model(
        net, loss="softmax_cross_entropy", optimizer=optim.Adam(0.02), metrics=["accuracy"], device=device, seed=1
    )
    model.fit(x, y, epochs=8, batch_size=16, verbose=0)
    assert model.evaluate(x, y)["accuracy"] > 0.9


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (lambda d: nn.Conv2D(4, 3)(values(d, 5, 7)), r"Conv2D: input has shape \(5, 7\), wants \(batch, height"),
        (lambda d: nn.Conv1D(4, 3)(values(d, 5, 7, 3, 2)), r"Conv1D: input has shape .* wants \(batch, steps"),
        (lambda d: nn.Conv2D(4, 5)(values(d, 1, 4, 8, 1)), "a window of 5 x 5 does not fit into the 4 x 8"),
        (lambda d: nn.Conv2D(4, 2, groups=2)(values(d, 1, 4, 4, 3)), "3 channels do not divide among 2 groups"),
        (lambda d: nn.MaxPool2D(3)(values(d, 1, 2, 5, 1)), "a window of 3 x 3 does not fit"),
        (lambda d: nn.GlobalMaxPool2D()(values(d, 1, 2, 5)), "GlobalMaxPool2D: input has shape"),
        (lambda d: nn.UpSample2D()(values(d, 1, 2, 5)), "UpSample2D: input has shape"),
        (lambda d: nn.Conv2DTranspose(2, 2, padding=2)(values(d, 1, 2, 2, 1)), "leaves nothing"),
        (lambda d: ops.convolution(values(d, 1, 4, 4, 3), values(d, 3, 3, 2, 4)), "wanted 2 channels for each"),
        (lambda d: ops.convolution(values(d, 1, 4, 4, 3), values(d, 3, 3, 4)), "got input .* and weights"),
    ],
)
def test_shapes_that_do_not_fit(run, message, device):
    with pytest.raises(ShapeError, match=message):
        run(device)


def test_another_number_of_channels_later(device):
    layer = nn.Conv2D(4, 3)
    layer(values(device, 1, 5, 5, 3))
    with pytest.raises(ShapeError, match="Conv2D: input has 2 channels, weights want 3"):
        layer(values(device, 1, 5, 5, 2))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.Conv2D(0, 3), "Conv2D: 0 filters in 1 groups"),
        (lambda: nn.Conv2D(4, 3, groups=3), "Conv2D: 4 filters in 3 groups"),
        (lambda: nn.Conv2D(4, 0), "kernel_size is 0, wants an integer of 1 or more"),
        (lambda: nn.Conv2D(4, (3, 3, 3)), r"kernel_size is \(3, 3, 3\)"),
        (lambda: nn.Conv2D(4, 3, strides=0), "strides is 0"),
        (lambda: nn.Conv2D(4, 3, dilation_rate=(1, 0)), "dilation_rate is"),
        (lambda: nn.Conv2D(4, 3, padding="full"), "padding is 'full', wants"),
        (lambda: nn.Conv2D(4, 3, padding=-1), "padding is -1"),
        (lambda: nn.Conv1D(4, 3, padding=((1, 1), (1, 1))), "padding is"),
        (lambda: nn.Conv2DTranspose(4, 3, output_padding=-1), "output_padding is -1"),
        (lambda: nn.DepthwiseConv2D(3, depth_multiplier=0), "depth_multiplier is 0"),
        (lambda: nn.MaxPool2D(0), "pool_size is 0"),
        (lambda: nn.AvgPool1D(2, strides=-1), "strides is -1"),
        (lambda: nn.UpSample2D(0), "size is 0"),
    ],
)
def test_wrong_arguments(make, message):
    with pytest.raises(ArgumentError, match=message):
        make()


def _torch_agrees(function, theirs, device, *shapes):
    """Results and gradients of a weighted sum, ours NHWC, theirs NCHW, by float64 of theirs."""
    torch = pytest.importorskip("torch")
    arrays = [np.random.default_rng(n).normal(size=shape).astype(np.float32) for n, shape in enumerate(shapes)]
    tensors = [torch.tensor(array.astype(np.float64), requires_grad=True) for array in arrays]
    y = theirs(torch, *tensors)
    weights = np.random.default_rng(9).normal(size=tuple(y.shape))
    (y * torch.tensor(weights)).sum().backward()
    on_device = clnet.tensor(weights.astype(np.float32), device=device)
    run = clnet.value_and_grad(lambda *inputs: ops.sum(function(*inputs) * on_device), wrt=tuple(range(len(arrays))))
    inputs = [clnet.tensor(array, device=device) for array in arrays]
    np.testing.assert_allclose(function(*inputs).numpy(), y.detach().numpy(), rtol=1e-4, atol=1e-4)
    for ours, tensor in zip(run(*inputs)[1], tensors, strict=True):
        np.testing.assert_allclose(ours.numpy(), tensor.grad.numpy(), rtol=1e-3, atol=1e-3)


@pytest.mark.slow  # two plans each
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("padding", [0, 1, (2, 1)])
@pytest.mark.parametrize("strides", [1, 2, (3, 1)])
def test_convolutions_beside_pytorch(strides, padding, dilation, groups, device):
    def theirs(torch, x, w):
        y = torch.nn.functional.conv2d(
            x.permute(0, 3, 1, 2), w.permute(3, 2, 0, 1), None, strides, padding, dilation, groups
        )
        return y.permute(0, 2, 3, 1)

    def ours(x, w):
        return ops.convolution(x, w, strides=strides, padding=padding, dilation=dilation, groups=groups)

    _torch_agrees(ours, theirs, device, (2, 9, 8, 4), (3, 3, 4 // groups, 6))


@pytest.mark.slow  # two plans each
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("more", [0, 1])
@pytest.mark.parametrize("padding", [0, 1, (3, 2)])
@pytest.mark.parametrize("strides", [1, 2, 3])
def test_transposed_convolutions_beside_pytorch(strides, padding, more, dilation, device):
    if more >= max(strides, dilation):
        pytest.skip("both refuse it")

    def theirs(torch, x, w):
        y = torch.nn.functional.conv_transpose2d(
            x.permute(0, 3, 1, 2), w.permute(2, 3, 0, 1), None, strides, padding, more, 1, dilation
        )
        return y.permute(0, 2, 3, 1)

    def ours(x, w):
        return ops.transposed_convolution(
            x, w, strides=strides, padding=padding, output_padding=more, dilation=dilation
        )

    _torch_agrees(ours, theirs, device, (2, 5, 4, 3), (3, 4, 3, 5))


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
def test_upsampling_beside_pytorch(interpolation, device):
    def theirs(torch, x):
        y = torch.nn.functional.interpolate(x.permute(0, 3, 1, 2), scale_factor=3, mode=interpolation)
        return y.permute(0, 2, 3, 1)

    _torch_agrees(lambda x: ops.upsample(x, 3, interpolation=interpolation), theirs, device, (2, 5, 4, 3))


@pytest.mark.parametrize(("size", "strides", "padding"), [(2, 2, 0), (3, 2, 1), (3, 1, 0)])
def test_pools_beside_pytorch(size, strides, padding, device):
    def theirs(torch, x):
        return torch.nn.functional.max_pool2d(x.permute(0, 3, 1, 2), size, strides, padding).permute(0, 2, 3, 1)

    def mean(torch, x):
        y = torch.nn.functional.avg_pool2d(x.permute(0, 3, 1, 2), size, strides, padding, count_include_pad=False)
        return y.permute(0, 2, 3, 1)

    shape = (2, 9, 8, 5)
    _torch_agrees(lambda x: ops.max_pool(x, size, strides=strides, padding=padding), theirs, device, shape)
    _torch_agrees(lambda x: ops.average_pool(x, size, strides=strides, padding=padding), mean, device, shape)
