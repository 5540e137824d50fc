"""Embedding: rows of a table, their gradient, and what it refuses."""

import numpy as np
import pytest

import clnet
from clnet import nn, ops
from clnet.errors import ArgumentError, DataError, DTypeError

TOKENS = np.array([[1, 4, 4], [0, 2, 1]], np.int32)


def test_looks_up_rows_and_adds_gradients_of_equal_tokens(device):
    layer = nn.Embedding(5, 3)
    tokens = clnet.tensor(TOKENS, device=device)
    y = layer(tokens)
    np.testing.assert_array_equal(y.numpy(), layer.weight.numpy()[TOKENS])
    factors = np.random.default_rng(0).normal(size=(2, 3, 3)).astype(np.float32)
    _, gradients = clnet.value_and_grad(lambda: ops.sum(layer(tokens) * factors), wrt=layer.variables())()
    wanted = np.zeros((5, 3), np.float32)
    np.add.at(wanted, TOKENS, factors)
    np.testing.assert_allclose(gradients["weight"].numpy(), wanted, rtol=1e-6)


def test_mask_tells_padding(device):
    tokens = clnet.tensor(TOKENS, device=device)
    np.testing.assert_array_equal(nn.Embedding(5, 3, mask_zero=True).mask(tokens).numpy(), TOKENS != 0)
    assert nn.Embedding(5, 3).mask(tokens) is None


def test_a_model_names_the_token_that_is_unknown(device):
    net = nn.Sequential(nn.Embedding(5, 3), nn.Flatten(), nn.Dense(2))
    model = clnet.Model(net, loss="softmax_cross_entropy", device=device)
    model.fit(TOKENS, np.array([0, 1]), verbose=0)
    wrong = TOKENS.copy()
    wrong[1, 2] = 5
    with pytest.raises(DataError, match=r"x has token 5 \(at \(1, 2\)\), Embedding '0' wants 0 to 4"):
        model.fit(wrong, np.array([0, 1]), verbose=0)
    with pytest.raises(DataError, match="token -1"):
        model.predict(wrong - 1 - 5 * (wrong == 5))


def test_refusals(device):
    with pytest.raises(ArgumentError, match="input_dim is 0"):
        nn.Embedding(0, 3)
    with pytest.raises(DTypeError, match="got tokens of float32"):
        nn.Embedding(5, 3)(clnet.tensor(TOKENS.astype(np.float32), device=device))
