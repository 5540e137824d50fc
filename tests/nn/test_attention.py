"""Attention layers, positions, the encoder layer: what they see, PyTorch beside them, refusals."""

import numpy as np
import pytest

import clnet
from clnet import nn, ops
from clnet.errors import ArgumentError, ShapeError


def values(device, *shape, seed=0):
    return clnet.tensor(np.random.default_rng(seed).normal(size=shape).astype(np.float32), device=device)


def changed(device, x, step):
    """x with other numbers at one step."""
    other = x.numpy()
    other[:, step] += 1
    return clnet.tensor(other, device=device)


def test_what_a_step_sees(device):
    x = values(device, 2, 6, 8)
    layer = nn.MultiHeadAttention(2, causal=True)
    y = layer(x).numpy()
    later = layer(changed(device, x, 4)).numpy()
    np.testing.assert_array_equal(y[:, :4], later[:, :4])
    assert (y[:, 4:] != later[:, 4:]).all()
    ragged = nn.MultiHeadAttention(2)
    lengths = clnet.tensor(np.array([4, 6], np.int32), device=device)
    mask = clnet.tensor(np.arange(6) < [[4], [6]], device=device)
    got = ragged(x, lengths=lengths).numpy()
    np.testing.assert_array_equal(got, ragged(x, mask=mask).numpy())
    np.testing.assert_allclose(got[0, :4], ragged(x[:1, :4]).numpy()[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("form", ["auto", "gpu"])
@pytest.mark.parametrize("causal", [False, True])
def test_a_nan_is_seen(causal, form, device):
    """NaN in a row of q, k, v or dy is NaN in all that it reaches; a query that sees nothing gets 0 all the same."""
    i, j, blind = 9, 2, 3
    random = np.random.default_rng(0)
    mask = random.random((2, 40, 70)) < 0.7
    mask[:, blind], mask[:, :i:4, j] = False, True
    seen = mask[0] & (np.tri(40, 70, 30, dtype=bool) if causal else True)
    beside = seen[seen[:, j]].any(axis=0)  # keys that are seen together with key j
    none, own = np.zeros(70, bool), np.arange(40) == i
    reached = [  # (y, dq, dk, dv)
        (own, own, seen[i], seen[i]),
        (seen[:, j], seen[:, j], beside, beside),
        (seen[:, j], seen[:, j], beside, none),
        (none[:40], own, seen[i], seen[i]),
    ]

    def attend(q, k, v, mask):
        return ops.attention(q, k, v, causal=causal, mask=mask)

    loss = clnet.value_and_grad(lambda q, k, v, dy, mask: ops.sum(attend(q, k, v, mask) * dy), wrt=(0, 1, 2))
    forward, backward = (clnet.compile(each, device=device, form=form) for each in (attend, loss))

    def results(arrays):
        q, k, v, dy, on = (clnet.tensor(each, device=device) for each in (*arrays, mask))
        return [forward(q, k, v, on).numpy(), *(each.numpy() for each in backward(q, k, v, dy, on)[1])]

    arrays = [random.standard_normal((2, rows, 2, 5)).astype(np.float32) for rows in (40, 70, 70, 40)]
    clean = results(arrays)
    for which, row in enumerate((i, j, j, i)):
        spoiled = [each.copy() for each in arrays]
        spoiled[which][0, row, 1] = np.nan
        found = results(spoiled)
        for rows, got, was in zip(reached[which], found, clean, strict=True):
            assert np.isnan(got[0, rows, 1]).all()
            np.testing.assert_array_equal(got[0, :, 0], was[0, :, 0])  # the other head
            np.testing.assert_array_equal(got[1], was[1])
        if which < 2:
            np.testing.assert_array_equal(found[0][0, ~reached[which][0]], clean[0][0, ~reached[which][0]])
            assert not found[0][0, blind].any()
    for got in results([each * np.nan for each in arrays]):
        assert np.isnan(np.delete(got, blind, axis=1)).all()


@pytest.mark.parametrize("form", ["auto", "gpu"])
def test_scores_of_minus_infinity(form, device):
    """Such keys have no weight, wherever they come, and queries that see no others get 0."""
    random = np.random.default_rng(0)
    q, k, v = (random.uniform(1, 2, (1, rows, 1, 5)).astype(np.float32) for rows in (3, 40, 40))
    k[:, [0, 5, 39]] = -3e38
    attend = clnet.compile(ops.attention, device=device, form=form)
    y = attend(*(clnet.tensor(each, device=device) for each in (q, k, v))).numpy()
    others = np.delete(np.arange(40), [0, 5, 39])
    wanted = attend(*(clnet.tensor(each, device=device) for each in (q, k[:, others], v[:, others]))).numpy()
    np.testing.assert_allclose(y, wanted, rtol=1e-5)
    k[:] = -3e38
    assert not attend(*(clnet.tensor(each, device=device) for each in (q, k, v))).numpy().any()


def test_causal_tiles_of_a_gpu(device):
    """Several groups of queries and keys, which leave different tiles out, give what a CPU's form gives."""
    q, k, v, dy = (values(device, 1, rows, 2, 8, seed=seed) for seed, rows in enumerate((130, 200, 200, 130)))

    def loss(q, k, v):
        return ops.sum(ops.attention(q, k, v, causal=True) * dy)

    ours, theirs = (
        clnet.compile(clnet.value_and_grad(loss, wrt=(0, 1, 2)), device=device, form=form)(q, k, v)
        for form in ("gpu", "cpu")
    )
    np.testing.assert_allclose(ours[0].numpy(), theirs[0].numpy(), rtol=1e-4)
    for mine, other in zip(ours[1], theirs[1], strict=True):
        np.testing.assert_allclose(mine.numpy(), other.numpy(), rtol=1e-3, atol=1e-4)


def test_cross_attention_looks_at_the_context(device):
    x, context = values(device, 2, 3, 8), values(device, 2, 5, 6, seed=1)
    layer = nn.CrossAttention(2, key_dim=3)
    y = layer(x, context)
    assert y.shape == (2, 3, 8)
    assert layer.variables()["key_weight"].shape == (6, 6)
    lengths = clnet.tensor(np.array([5, 4], np.int32), device=device)
    masked = layer(x, changed(device, context, 4), lengths=lengths).numpy()
    np.testing.assert_allclose(masked[1], layer(x, context, lengths=lengths).numpy()[1], rtol=1e-6)
    assert (masked[0] != y.numpy()[0]).any()


def test_positions(device):
    x = values(device, 2, 5, 6)
    added = nn.PositionalEncoding()(x).numpy() - x.numpy()
    np.testing.assert_allclose(added[0, :, 0], np.sin(np.arange(5)), atol=1e-6)
    np.testing.assert_allclose(added[1, :, 3], np.cos(np.arange(5) / 10000 ** (2 / 6)), atol=1e-6)
    layer = nn.PositionEmbedding(7)
    np.testing.assert_allclose(layer(x).numpy(), x.numpy() + layer.weight.numpy()[:5], rtol=1e-6)
    _, gradient = clnet.value_and_grad(lambda: ops.sum(layer(x) * x), wrt=layer.weight)()
    wanted = np.pad(x.numpy().sum(axis=0), [(0, 2), (0, 0)])
    np.testing.assert_allclose(gradient.numpy(), wanted, rtol=1e-5, atol=1e-5)


def test_a_gpt_learns_saves_and_loads(device, tmp_path):
    """Each token is the one three before it; no step of training allocates."""
    tokens = np.tile(np.random.default_rng(0).integers(0, 7, (64, 3)), 5).astype(np.int32)
    x, y = tokens[:, :-1], tokens[:, 1:]
    block = {"feed_forward": 32, "dropout": 0.0, "norm_first": True, "causal": True, "activation": "gelu"}
    net = nn.Sequential(
        nn.Embedding(7, 16), nn.PositionEmbedding(14), *(nn.TransformerEncoderLayer(16, 2, **block) for _ in range(2)),
        nn.Dense(7),
    )  # fmt: skip
    model = clnet.Model(net, "softmax_cross_entropy", clnet.optim.Adam(1e-2), ["accuracy"], device=device, seed=1)
    model.fit(x, y, epochs=1, verbose=0)
    before = device.allocations
    model.fit(x, y, epochs=60, initial_epoch=1, batch_size=16, verbose=0)
    assert device.allocations - before < 200  # a plan for another batch size, not a step each
    assert model.evaluate(x, y)["accuracy"] > 0.85  # the first tokens cannot be known
    model.save(tmp_path / "gpt.safetensors")
    again = clnet.Model.load(tmp_path / "gpt.safetensors", device=device)
    np.testing.assert_array_equal(again.predict(x), model.predict(x))


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("masked", [None, "causal", "padding"])
def test_encoder_layer_beside_pytorch(norm_first, masked, device):
    torch = pytest.importorskip("torch")
    x = values(device, 2, 5, 8)
    layer = nn.TransformerEncoderLayer(
        8, 2, feed_forward=12, norm_first=norm_first, activation="gelu", causal=masked == "causal"
    )
    layer.build((2, 5, 8), device=device)
    theirs = torch.nn.TransformerEncoderLayer(
        8, 2, 12, 0.0, "gelu", batch_first=True, norm_first=norm_first, dtype=torch.float64
    )
    random = np.random.default_rng(3)
    for variable in layer.trainable_variables().values():
        variable.assign(random.normal(size=variable.shape).astype(np.float32) * 0.5)
    own = {path: variable.numpy().astype(np.float64).T for path, variable in layer.variables().items()}
    names = {
        "self_attn.in_proj_weight": "attention/input_weight", "self_attn.in_proj_bias": "attention/input_bias",
        "self_attn.out_proj.weight": "attention/output_weight", "self_attn.out_proj.bias": "attention/output_bias",
        "linear1.weight": "hidden/weight", "linear1.bias": "hidden/bias", "linear2.weight": "output/weight",
        "linear2.bias": "output/bias", "norm1.weight": "norms/0/gamma", "norm1.bias": "norms/0/beta",
        "norm2.weight": "norms/1/gamma", "norm2.bias": "norms/1/beta",
    }  # fmt: skip
    theirs.load_state_dict({name: torch.tensor(own[path]) for name, path in names.items()})
    given = torch.tensor(x.numpy().astype(np.float64), requires_grad=True)
    hidden = ~torch.tensor(np.arange(5) < np.array([[3], [5]])) if masked == "padding" else None
    ahead = torch.triu(torch.ones(5, 5, dtype=torch.bool), 1) if masked == "causal" else None
    y = theirs(given, src_mask=ahead, src_key_padding_mask=hidden)
    weights = random.normal(size=(2, 5, 8)) * (1 if hidden is None else ~hidden.numpy()[..., None])
    (y * torch.tensor(weights)).sum().backward()

    lengths = clnet.tensor(np.array([3, 5], np.int32), device=device) if masked == "padding" else None
    on_device = clnet.tensor(weights.astype(np.float32), device=device)
    loss = clnet.value_and_grad(lambda x: ops.sum(layer(x, lengths=lengths) * on_device))
    got = layer(x, lengths=lengths).numpy()
    if hidden is not None:
        got, y = got[~hidden.numpy()], y[~hidden]
    np.testing.assert_allclose(got, y.detach().numpy(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(loss(x)[1].numpy(), given.grad.numpy(), rtol=1e-3, atol=1e-4)


def test_refusals(device):
    x = values(device, 2, 4, 6)
    layer = nn.MultiHeadAttention(3)
    layer(x)
    wrong = [
        (lambda: layer(values(device, 2, 6)), r"input has shape \(2, 6\), wants \(batch, steps, 6\)"),
        (lambda: layer(x, mask=values(device, 4, 2)), r"mask has shape \(4, 2\), wants \(2, 4\) or \(2, 4, 4\)"),
        (lambda: layer(x, lengths=values(device, 4)), r"lengths has shape \(4,\)"),
        (lambda: nn.MultiHeadAttention(4)(x), "6 features do not divide among 4 heads; give key_dim"),
        (lambda: nn.TransformerEncoderLayer(8, 2)(x), r"wants \(batch, steps, 8\)"),
        (lambda: nn.PositionEmbedding(3)(x), r"wants \(batch, up to 3, 6\)"),
        (lambda: nn.PositionalEncoding()(values(device, 2, 6)), r"wants floats \(batch, steps, features\)"),
        (lambda: ops.self_attention(x), r"wants \(batch, steps, 3, heads, features\)"),
        (lambda: ops.attention(*[values(device, 2, 4, 3, 2)] * 2, values(device, 2, 5, 3, 2)), "attention: got q"),
    ]
    for call, message in wrong:
        with pytest.raises(ShapeError, match=message):
            call()
    with pytest.raises(ArgumentError, match="num_heads is 0"):
        nn.MultiHeadAttention(0)
    twice = clnet.value_and_grad(lambda x: ops.sum(clnet.value_and_grad(lambda x: ops.sum(layer(x)))(x)[1]))
    with pytest.raises(ArgumentError, match="attention: has no second derivative"):
        twice(x)
