"""Augmentation: what each layer makes of known draws, in NumPy; nothing outside training; bad input."""

import numpy as np
import pytest

import clnet
from clnet import nn, ops
from clnet.errors import ArgumentError, ShapeError
from clnet.nn.layer import fingerprint


def pictures(shape=(6, 7, 5, 2), seed=0):
    return np.random.default_rng(seed).uniform(0.1, 1, shape).astype(np.float32)


def trained(layer, x, device, calls=1, seed=3):
    """What training makes of x at its first calls."""
    net = nn.Sequential(layer)
    net.build((None, *x.shape[1:]), seed=seed, device=device)
    step = clnet.compile(lambda x: net(x, training=True), device=device)
    found = [step(clnet.tensor(x, device=device)).numpy() for _ in range(calls)]
    return found[0] if calls == 1 else np.stack(found)


def draws(samples, count, device, seed=3, call=0):
    key = ops.Key(seed, fingerprint("0/0"), call)
    return ops.random_uniform((samples, count), key=key, device=device).numpy()


def window(picture, top, left, height, width):
    """picture[top:, left:] of this size, zeros outside."""
    room = max(abs(top), abs(left), height, width)
    wide = np.pad(picture, [(room, room), (room, room), (0, 0)])
    return wide[room + top : room + top + height, room + left : room + left + width]


@pytest.mark.parametrize("call", [0, 1])
def test_translation(device, call):
    x = pictures()
    got = trained(nn.RandomTranslation(2, 1), x, device, calls=2)[call]
    moves = np.floor(draws(6, 2, device, call=call) * (5, 3)).astype(int) - (2, 1)
    np.testing.assert_array_equal(got, [window(p, -a, -b, 7, 5) for p, (a, b) in zip(x, moves, strict=True)])
    assert len(np.unique(moves, axis=0)) > 1


@pytest.mark.parametrize("mode", ["horizontal", "vertical", "horizontal_and_vertical"])
def test_flip(device, mode):
    x = pictures((16, 4, 5, 3))
    coins = draws(16, 2, device) >= 0.5
    wanted = x.copy()
    for picture, (vertical, horizontal) in zip(wanted, coins, strict=True):
        if vertical and "vertical" in mode:
            picture[:] = picture[::-1]
        if horizontal and "horizontal" in mode:
            picture[:] = picture[:, ::-1]
    np.testing.assert_array_equal(trained(nn.RandomFlip(mode), x, device), wanted)
    assert 0 < coins[:, 0].sum() < 16


@pytest.mark.parametrize(("size", "padding"), [((7, 5), 2), ((3, 4), 0), ((8, 9), 2)])
def test_crop(device, size, padding):
    x = pictures()
    layer = nn.RandomCrop(*size, padding=padding)
    spare = np.array([7, 5]) + 2 * padding - size
    corners = np.floor(draws(6, 2, device) * (spare + 1)).astype(int) - padding
    wanted = [window(p, a, b, *size) for p, (a, b) in zip(x, corners, strict=True)]
    np.testing.assert_array_equal(trained(layer, x, device), wanted)
    middle = [window(p, *(spare // 2 - padding), *size) for p in x]
    np.testing.assert_array_equal(layer(clnet.tensor(x, device=device)).numpy(), middle)


def bilinear(picture, rows, columns):
    """picture at places between its pixels, zeros around it."""
    wide = np.pad(picture.astype(np.float64), [(9, 9), (9, 9), (0, 0)])
    rows, columns = np.clip(rows, -8, len(picture) + 7) + 9, np.clip(columns, -8, picture.shape[1] + 7) + 9
    a, b = np.floor(rows).astype(int), np.floor(columns).astype(int)
    s, t = (rows - a)[..., None], (columns - b)[..., None]
    above = wide[a, b] * (1 - t) + wide[a, b + 1] * t
    below = wide[a + 1, b] * (1 - t) + wide[a + 1, b + 1] * t
    return above * (1 - s) + below * s


def test_rotation(device):
    x = pictures()
    angles = (draws(6, 1, device)[:, 0].astype(np.float64) * 2 - 1) * np.radians(40)
    i, j = np.mgrid[:7, :5] - np.array([3, 2]).reshape(2, 1, 1)
    wanted = [
        bilinear(p, np.cos(a) * i + np.sin(a) * j + 3, np.cos(a) * j - np.sin(a) * i + 2)
        for p, a in zip(x, angles, strict=True)
    ]
    np.testing.assert_allclose(trained(nn.RandomRotation(40), x, device), wanted, atol=1e-5)


@pytest.mark.parametrize("sigma", [0.8, 2.0])
def test_elastic_transform(device, sigma):
    x = pictures((3, 9, 12, 2))
    key = ops.Key(3, fingerprint("0/0"), 0)
    noise = ops.random_uniform((3, 2, 9, 12), key=key, device=device).numpy().astype(np.float64) * 2 - 1
    far = int(4 * sigma + 0.5)
    weights = np.exp(-0.5 * (np.arange(-far, far + 1) / sigma) ** 2)
    weights /= weights.sum()

    def blurred(field, axis):
        return np.apply_along_axis(lambda row: np.convolve(row, weights, "full")[far : far + len(row)], axis, field)

    moves = 7 * blurred(blurred(noise, 2), 3)
    i, j = np.mgrid[:9, :12]
    wanted = [bilinear(p, i + down, j + right) for p, (down, right) in zip(x, moves, strict=True)]
    np.testing.assert_allclose(trained(nn.RandomElasticTransform(7, sigma), x, device), wanted, atol=2e-4)


def test_erasing(device):
    x = pictures()
    middles = np.floor(draws(6, 2, device) * (7, 5)).astype(int)
    wanted = x.copy()
    for picture, (a, b) in zip(wanted, middles - (2, 1), strict=True):
        picture[max(a, 0) : a + 4, max(b, 0) : b + 3] = 0
    np.testing.assert_array_equal(trained(nn.RandomErasing(4, 3), x, device), wanted)


MAKERS = {
    "translation": lambda: nn.RandomTranslation(1),
    "flip": nn.RandomFlip,
    "crop": lambda: nn.RandomCrop(7, 5, padding=1),
    "rotation": lambda: nn.RandomRotation(30),
    "elastic": lambda: nn.RandomElasticTransform(10, 2),
    "erasing": lambda: nn.RandomErasing(3),
}
every_layer = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


@every_layer
def test_pictures_without_channels_are_pictures_too(device, make):
    x = pictures((6, 7, 5, 1))
    wanted = trained(make(), x, device)
    np.testing.assert_array_equal(trained(make(), x[..., 0], device), wanted[..., 0])


@every_layer
def test_nothing_happens_outside_training(device, make):
    x = clnet.tensor(pictures(), device=device)
    np.testing.assert_array_equal(make()(x).numpy(), x.numpy())


@every_layer
def test_each_step_and_each_seed_has_its_own_draws(device, make):
    x = pictures((20, 7, 5, 1))
    first = trained(make(), x, device, calls=2)
    assert (first[0] != first[1]).any()
    np.testing.assert_array_equal(first, trained(make(), x, device, calls=2))
    assert (first[0] != trained(make(), x, device, seed=4)).any()


def test_the_bits_are_those_of_every_device():
    x = pictures()
    for make in (MAKERS[name] for name in ("translation", "flip", "crop", "erasing")):
        found = [trained(make(), x, device) for device in clnet.devices()]
        for other in found[1:]:
            np.testing.assert_array_equal(other, found[0])


def test_a_model_trains_on_changed_pictures(device):
    digits = clnet.data.load("digits")
    net = nn.Sequential(nn.RandomTranslation(1), nn.Flatten(), nn.Dense(30, activation="relu"), nn.Dense(10))
    model = clnet.Model(net, loss="softmax_cross_entropy", metrics=["accuracy"], device=device)
    history = model.fit(digits.x_train, digits.y_train, epochs=2, verbose=0)
    assert history.history["loss"][1] < history.history["loss"][0]
    again = model.predict(digits.x_test)
    np.testing.assert_array_equal(again, model.predict(digits.x_test))


def test_bad_input(device):
    row = clnet.tensor(np.ones((3, 4), np.float32), device=device)
    with pytest.raises(ShapeError, match=r"RandomFlip: got shape \(3, 4\), wants \(batch, height, width\)"):
        nn.RandomFlip()(row, training=True)
    with pytest.raises(
        ShapeError, match="RandomCrop: pictures are 7 x 5 and have 1 zeros around, wants 10 x 4 or more"
    ):
        trained(nn.RandomCrop(10, 4, padding=1), pictures(), device)
    with pytest.raises(ArgumentError, match=r"RandomFlip: mode is 'sideways', wants one of horizontal, vertical"):
        nn.RandomFlip("sideways")
    with pytest.raises(ArgumentError, match="RandomCrop: height=0"):
        nn.RandomCrop(0, 1)
    with pytest.raises(ArgumentError, match="RandomTranslation: height=-1"):
        nn.RandomTranslation(-1)
    with pytest.raises(ArgumentError, match="RandomRotation: degrees is -1"):
        nn.RandomRotation(-1)
    with pytest.raises(ArgumentError, match=r"RandomElasticTransform: alpha=34\.0, sigma=0"):
        nn.RandomElasticTransform(sigma=0)
    with pytest.raises(ArgumentError, match="RandomErasing: height=0"):
        nn.RandomErasing(0)
    with pytest.raises(ShapeError, match=r"sample: pictures have shape \(3, 4\)"):
        ops.sample(row, clnet.tensor([0], device=device), clnet.tensor([0], device=device))
    place = clnet.tensor(np.zeros((4, 1, 1), np.int32), device=device)
    with pytest.raises(ShapeError, match=r"sample: pictures have shape \(6, 7, 5, 2\), rows \(4, 1, 1\)"):
        ops.sample(clnet.tensor(pictures(), device=device), place, place)
