"""Random numbers: Philox's published vectors, the same on every device, permutations that are permutations."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import clnet
from clnet import ops
from clnet.errors import ArgumentError


def philox(c0: npt.NDArray[np.uint64], c1: int, c2: int, k0: int, k1: int) -> npt.NDArray[np.uint64]:
    """The first word of Philox 4x32-10 in NumPy, from the paper's description."""
    mask = np.uint64(0xFFFFFFFF)
    c = [c0 & mask, np.full_like(c0, c1), np.full_like(c0, c2), np.zeros_like(c0)]
    k = [np.uint64(k0), np.uint64(k1)]
    for _ in range(10):
        a, b = np.uint64(0xD2511F53) * c[0], np.uint64(0xCD9E8D57) * c[2]
        shift = np.uint64(32)
        c = [(b >> shift) ^ c[1] ^ k[0], b & mask, (a >> shift) ^ c[3] ^ k[1], a & mask]
        k = [(k[0] + np.uint64(0x9E3779B9)) & mask, (k[1] + np.uint64(0xBB67AE85)) & mask]
    return c[0]


def test_the_reference_gives_the_published_vector() -> None:
    """Random123's known answers, philox4x32 10: counter 0, key 0."""
    assert philox(np.zeros(1, np.uint64), 0, 0, 0, 0)[0] == 0x6627E8D5


@pytest.mark.parametrize("seed", [0, 1, 2**63 + 17])
def test_uniform_is_philox(device: clnet.Device, seed: int) -> None:
    key = ops.Key(seed, stream=9, counter=5)
    got = ops.random_uniform((7, 300), key=key, device=device).numpy()
    words = philox(np.arange(2100, dtype=np.uint64), 5, 9, seed & 0xFFFFFFFF, seed >> 32)
    np.testing.assert_array_equal(got.ravel(), (words >> np.uint64(8)).astype(np.float32) * np.float32(2**-24))
    assert 0 <= got.min() < 0.01 < 0.99 < got.max() < 1


def test_the_counter_may_lie_on_the_device(device: clnet.Device) -> None:
    step = clnet.Variable(np.int32(3), device=device)

    def draw() -> clnet.Tensor:
        step.assign(step + 1)
        return ops.random_uniform((40,), key=ops.Key(1, counter=step))

    compiled = clnet.compile(draw, device=device)
    first, second = compiled().numpy(), compiled().numpy()
    for counter, drawn in ((3, first), (4, second)):
        np.testing.assert_array_equal(
            drawn, ops.random_uniform((40,), key=ops.Key(1, counter=counter), device=device).numpy()
        )
    assert (first != second).any()


def test_streams_and_seeds_differ(device: clnet.Device) -> None:
    keys = [ops.Key(0), ops.Key(1), ops.Key(0, stream=1), ops.Key(0, counter=1), ops.Key(0).folded(0)]
    drawn = [ops.random_uniform((64,), key=key, device=device).numpy().tobytes() for key in keys]
    assert len(set(drawn)) == len(keys)


def test_normal_has_mean_0_and_deviation_1(device: clnet.Device) -> None:
    drawn = ops.random_normal((200, 500), key=ops.Key(4), device=device).numpy().astype(np.float64)
    assert abs(drawn.mean()) < 0.02
    assert abs(drawn.std() - 1) < 0.02
    assert abs((drawn**3).mean()) < 0.05
    assert np.isfinite(drawn).all()


@settings(max_examples=25, deadline=None)
@given(n=st.integers(1, 3000), seed=st.integers(0, 2**64 - 1), epoch=st.integers(0, 1000))
def test_permutations_are_permutations(n: int, seed: int, epoch: int) -> None:
    got = ops.permutation(n, key=ops.Key(seed, counter=epoch), device=clnet.device()).numpy()
    np.testing.assert_array_equal(np.sort(got), np.arange(n))


@pytest.mark.parametrize("n", [1, 255, 256, 257, 1000])
def test_the_form_changes_no_permutation(device: clnet.Device, n: int) -> None:
    """One element to a work-item, or some that walk side by side and make room."""
    counter = clnet.tensor(np.int32(2), device=device)

    def drawn(form: Any) -> Any:
        return clnet.compile(lambda counter: ops.permutation(n, key=ops.Key(5, 1, counter)), form=form)(counter).numpy()

    np.testing.assert_array_equal(drawn("cpu"), drawn("gpu"))


def test_permutations_are_those_of_the_paper(device: clnet.Device) -> None:
    """Four rounds of a Feistel network over 10 bits, walked until they end inside (Black and Rogaway 2002)."""
    n, half, stream, counter, seed = 300, 5, 7, 2, 0x123456789
    places = np.arange(n, dtype=np.uint64)
    outside = np.ones(n, bool)
    while outside.any():
        left, right = places[outside] >> np.uint64(half), places[outside] & np.uint64(31)
        for number in range(4):
            key = (stream + number * 0x9E3779B9) & 0xFFFFFFFF
            mixed = philox(right, counter, key, seed & 0xFFFFFFFF, seed >> 32) & np.uint64(31)
            left, right = right, left ^ mixed
        places[outside] = left << np.uint64(half) | right
        outside = places >= n
    got = ops.permutation(n, key=ops.Key(seed, stream, counter), device=device).numpy()
    np.testing.assert_array_equal(got, places)


def test_permutations_are_random(device: clnet.Device) -> None:
    n = 10_000
    got = ops.permutation(n, key=ops.Key(3), device=device).numpy().astype(np.float64)
    assert abs(np.corrcoef(got, np.arange(n))[0, 1]) < 0.05
    assert abs(np.corrcoef(got[1:], got[:-1])[0, 1]) < 0.05
    assert (got == np.arange(n)).sum() < 10
    assert (ops.permutation(n, key=ops.Key(3, counter=1), device=device).numpy() != got).mean() > 0.99


def test_dropout_drops_the_rate_and_keeps_the_mean(device: clnet.Device) -> None:
    x = clnet.tensor(np.ones((300, 200), np.float32), device=device)
    got = ops.dropout(x, 0.3, key=ops.Key(0)).numpy()
    assert abs((got == 0).mean() - 0.3) < 0.01
    np.testing.assert_allclose(got[got != 0], 1 / 0.7, rtol=1e-6)
    np.testing.assert_array_equal(ops.dropout(x, 0.0, key=ops.Key(0)).numpy(), x.numpy())


def test_the_backward_pass_draws_the_same_mask(device: clnet.Device) -> None:
    x = clnet.tensor(np.ones((30, 20), np.float32), device=device)
    key = ops.Key(7, counter=2)
    _, dx = clnet.value_and_grad(lambda x: ops.dropout(x, 0.5, key=key).sum())(x)
    np.testing.assert_array_equal(dx.numpy(), ops.dropout(x, 0.5, key=key).numpy())


def test_bad_keys_and_rates(device: clnet.Device) -> None:
    x = clnet.tensor(np.ones(3, np.float32), device=device)
    with pytest.raises(ArgumentError, match=r"dropout: got rate 1\.0"):
        ops.dropout(x, 1.0, key=ops.Key(0))
    with pytest.raises(ArgumentError, match=r"wanted an ops\.Key"):
        ops.random_uniform((3,), key=3, device=device)  # type: ignore[arg-type]
