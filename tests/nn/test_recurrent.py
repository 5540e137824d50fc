"""Recurrent layers: shapes, ragged sequences, both directions, carried states, refusals."""

import numpy as np
import pytest

import clnet
from clnet import nn, ops
from clnet.errors import ArgumentError, ShapeError

LAYERS = [nn.SimpleRNN, nn.LSTM, nn.GRU]
every = pytest.mark.parametrize("kind", LAYERS, ids=lambda kind: kind.__name__)


def values(device, *shape, seed=0):
    return clnet.tensor(np.random.default_rng(seed).normal(size=shape).astype(np.float32), device=device)


def like(layer, device, *shape, **options):
    """Another layer of the kind with the same weights."""
    other = type(layer)(layer.units, **options)
    other.build(shape, device=device)
    for path, variable in layer.variables().items():
        other.variables()[path].assign(variable)
    return other


@every
def test_whole_sequences_last_states_and_pieces(kind, device):
    x = values(device, 3, 6, 4)
    layer = kind(5, return_sequences=True, return_state=True, bias_initializer="normal")
    ys, *states = layer(x)
    assert ys.shape == (3, 6, 5)
    assert [state.shape for state in states] == [(3, 5)] * layer.states
    np.testing.assert_array_equal(ys.numpy()[:, -1], states[0].numpy())
    np.testing.assert_array_equal(like(layer, device, 3, 6, 4)(x).numpy(), states[0].numpy())
    first, *middle = layer(x[:, :2])
    second, *_ = layer(x[:, 2:], initial_state=middle)
    joined = np.concatenate([first.numpy(), second.numpy()], axis=1)
    np.testing.assert_allclose(joined, ys.numpy(), rtol=1e-5, atol=1e-6)


@every
def test_ragged_rows_are_as_if_they_were_alone(kind, device):
    x, lengths = values(device, 3, 6, 4), [6, 2, 4]
    layer = kind(5, return_sequences=True)
    given = clnet.tensor(np.array(lengths, np.int32), device=device)
    ys = layer(x, lengths=given).numpy()
    mask = clnet.tensor(np.arange(6) < np.array(lengths)[:, None], device=device)
    np.testing.assert_array_equal(ys, layer(x, mask=mask).numpy())
    zeros = like(layer, device, 3, 6, 4, return_sequences=True, zero_output_for_mask=True)(x, lengths=given).numpy()
    back = like(layer, device, 3, 6, 4, go_backwards=True)
    for row, length in enumerate(lengths):
        alone = layer(x[row : row + 1, :length]).numpy()[0]
        np.testing.assert_allclose(ys[row, :length], alone, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(ys[row, length:], np.broadcast_to(ys[row, length - 1], (6 - length, 5)))
        np.testing.assert_array_equal(zeros[row], np.where(np.arange(6)[:, None] < length, ys[row], 0))
        backwards = back(x[row : row + 1, :length]).numpy()[0]
        np.testing.assert_allclose(back(x, lengths=given).numpy()[row], backwards, rtol=1e-5, atol=1e-6)


@every
def test_both_directions(kind, device):
    x = values(device, 2, 4, 3)
    both = nn.Bidirectional(kind(5, return_sequences=True, return_state=True))
    y, *states = both(x)
    assert y.shape == (2, 4, 10)
    assert len(states) == 2 * both.layer.states
    assert {path.split("/")[0] for path in both.variables()} == {"layer", "backward"}
    forth = both.layer(x)[0].numpy()
    back = both.backward(x)[0].numpy()[:, ::-1]
    np.testing.assert_array_equal(y.numpy(), np.concatenate([forth, back], axis=-1))
    merged = nn.Bidirectional(kind(5), merge="ave")
    got = merged(x).numpy()
    np.testing.assert_allclose(got, (merged.layer(x).numpy() + merged.backward(x).numpy()) / 2, rtol=1e-6)


@every
def test_gradients_go_through_carried_states(kind, device):
    """Two halves of a sequence have the gradients of the whole."""
    x = values(device, 2, 6, 3)
    layer = kind(4, return_state=True)
    layer.build((2, 6, 3), device=device)

    def whole():
        return ops.sum(ops.square(layer(x)[0]))

    def halves():
        _, *states = layer(x[:, :3])
        return ops.sum(ops.square(layer(x[:, 3:], initial_state=states)[0]))

    _, wanted = clnet.value_and_grad(whole, wrt=layer.variables())()
    _, found = clnet.value_and_grad(halves, wrt=layer.variables())()
    for path, gradient in wanted.items():
        np.testing.assert_allclose(found[path].numpy(), gradient.numpy(), rtol=1e-4, atol=1e-5)


def test_time_distributed(device):
    x = values(device, 2, 3, 4)
    layer = nn.TimeDistributed(nn.Dense(5, activation="tanh"))
    np.testing.assert_allclose(layer(x).numpy()[:, 1], layer.layer(x[:, 1]).numpy(), rtol=1e-6)
    assert list(layer.variables()) == ["layer/weight", "layer/bias"]


def test_a_forget_gate_starts_open(device):
    layer = nn.LSTM(2)
    layer.build((None, 3, 1), device=device)
    np.testing.assert_array_equal(layer.bias.numpy(), [0, 0, 1, 1, 0, 0, 0, 0])


@every
def test_a_model_learns_saves_and_loads(kind, device, tmp_path):
    """Whether the first number of a sequence was positive; no step of training allocates."""
    x = np.random.default_rng(0).normal(size=(256, 5, 1)).astype(np.float32)
    y = (x[:, 0, 0] > 0).astype(np.int32)
    net = nn.Sequential(nn.Bidirectional(kind(8, return_sequences=True)), kind(8), nn.Dense(2))
    model = clnet.Model(net, "softmax_cross_entropy", clnet.optim.Adam(1e-2), ["accuracy"], device=device, seed=1)
    model.fit(x, y, epochs=1, verbose=0)
    before = device.allocations
    model.fit(x, y, epochs=15, initial_epoch=1, verbose=0)
    assert device.allocations - before < 12  # the data, not the steps
    assert model.evaluate(x, y)["accuracy"] > 0.9
    model.save(tmp_path / "model.safetensors")
    again = clnet.Model.load(tmp_path / "model.safetensors", device=device)
    np.testing.assert_array_equal(again.predict(x), model.predict(x))


def test_refusals(device):
    x = values(device, 2, 4, 3)
    layer = nn.LSTM(5)
    layer(x)
    wrong = [
        ({}, values(device, 2, 3), r"input has shape \(2, 3\), wants \(batch, steps, 3\)"),
        ({}, values(device, 2, 4, 2), "wants"),
        ({"mask": values(device, 4, 2)}, x, r"mask has shape \(4, 2\), wants \(2, 4\)"),
        ({"lengths": values(device, 2)}, x, r"lengths has shape \(2,\) of float32, wants integers \(2,\)"),
        ({"initial_state": values(device, 2, 5)}, x, r"initial_state has shapes \(2, 5\); wants 2 of \(2, 5\)"),
    ]
    for options, given, message in wrong:
        with pytest.raises(ShapeError, match=message):
            layer(given, **options)
    lengths = clnet.tensor(np.array([1, 2], np.int32), device=device)
    with pytest.raises(ArgumentError, match="lengths and mask"):
        layer(x, lengths=lengths, mask=values(device, 2, 4))
    with pytest.raises(ShapeError, match=r"lstm: weights has shape \(5, 5\), wants \(5, 20\)"):
        ops.lstm(values(device, 4, 2, 20), values(device, 5, 5), values(device, 2, 5), values(device, 2, 5))
    twice = clnet.value_and_grad(lambda x: ops.sum(clnet.value_and_grad(lambda x: ops.sum(layer(x)))(x)[1]))
    with pytest.raises(ArgumentError, match="lstm: has no second derivative"):
        twice(x)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.LSTM(0), "LSTM: units is 0"),
        (lambda: nn.GRU(3, activation="relu"), "GRU: activation is 'relu', wants tanh"),
        (lambda: nn.Bidirectional(nn.Dense(3)), "wants a new recurrent layer"),
        (lambda: nn.Bidirectional(nn.LSTM(3), merge="max"), "merge is 'max'"),
        (lambda: nn.TimeDistributed("dense"), "wants a layer"),
    ],
)
def test_wrong_arguments(make, message):
    with pytest.raises(ArgumentError, match=message):
        make()


def _as_theirs(layer, kind):
    """Our weights in PyTorch's order of gates: (weight_ih, weight_hh, bias_ih, bias_hh)."""
    order = {nn.GRU: [1, 0, 2], nn.LSTM: [0, 1, 2, 3], nn.SimpleRNN: [0]}[kind]
    own = [layer.weight, layer.recurrent_weight, layer.bias, getattr(layer, "recurrent_bias", None)]
    arrays = [np.zeros(len(order) * layer.units) if each is None else each.numpy().T for each in own]
    return [
        np.concatenate([np.split(array, len(order))[gate] for gate in order]).astype(np.float64) for array in arrays
    ]


@every
@pytest.mark.parametrize("lengths", [None, [7, 2, 5, 1]], ids=["whole", "ragged"])
def test_recurrent_layers_beside_pytorch(kind, lengths, device):
    torch = pytest.importorskip("torch")
    x = values(device, 4, 7, 3)
    net = nn.Bidirectional(kind(6, return_sequences=True, zero_output_for_mask=True, bias_initializer="normal"))
    net.build((4, 7, 3), device=device)
    theirs = {nn.SimpleRNN: torch.nn.RNN, nn.LSTM: torch.nn.LSTM, nn.GRU: torch.nn.GRU}[kind](
        3, 6, batch_first=True, bidirectional=True, dtype=torch.float64
    )
    parameters = [*_as_theirs(net.layer, kind), *_as_theirs(net.backward, kind)]
    for parameter, array in zip(theirs.parameters(), parameters, strict=True):
        parameter.data = torch.tensor(array)
    given = torch.tensor(x.numpy().astype(np.float64), requires_grad=True)
    packed = given
    if lengths:
        packed = torch.nn.utils.rnn.pack_padded_sequence(given, lengths, batch_first=True, enforce_sorted=False)
    y = theirs(packed)[0]
    if lengths:
        y = torch.nn.utils.rnn.pad_packed_sequence(y, batch_first=True)[0]
    weights = np.random.default_rng(5).normal(size=(4, 7, 12))
    (y * torch.tensor(weights)).sum().backward()

    ours = None if lengths is None else clnet.tensor(np.array(lengths, np.int32), device=device)
    on_device = clnet.tensor(weights.astype(np.float32), device=device)
    loss = clnet.value_and_grad(lambda x: ops.sum(net(x, lengths=ours) * on_device))
    np.testing.assert_allclose(net(x, lengths=ours).numpy(), y.detach().numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(loss(x)[1].numpy(), given.grad.numpy(), rtol=1e-4, atol=1e-5)
    by_weights = clnet.value_and_grad(lambda: ops.sum(net(x, lengths=ours) * on_device), wrt=net.variables())
    gradient = by_weights()[1]["backward/recurrent_weight"].numpy()
    wanted = theirs.weight_hh_l0_reverse.grad.numpy()
    if kind is nn.GRU:
        wanted = np.concatenate([np.split(wanted, 3)[gate] for gate in (1, 0, 2)])
    np.testing.assert_allclose(gradient, wanted.T, rtol=1e-4, atol=1e-4)
