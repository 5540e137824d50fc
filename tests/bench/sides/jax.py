"""JAX: one jitted step with donated state in a Python loop, or a whole epoch of them under lax.scan."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import nets
import numpy as np
from jax import lax

Weights = dict[str, jax.Array]
Data = tuple[jax.Array, jax.Array, jax.Array]  # samples, targets, and their order
ACTIVATIONS = {"relu": jax.nn.relu, "sigmoid": jax.nn.sigmoid, None: lambda x: x}
PICTURES = ("NHWC", "HWIO", "NHWC")


def prepare(task: dict[str, Any], arrays: dict[str, np.ndarray]) -> Any:
    return {"fit": Training, "predict": Inference}[task["work"]](task, arrays)


def network(parts: tuple[nets.Part, ...], weights: Weights, x: jax.Array) -> jax.Array:
    for part in parts:
        x = layer(part, {name: weights[f"{part.path}/{name}"] for name in part.weights}, weights, x)
    return x


def layer(part: nets.Part, own: Weights, weights: Weights, x: jax.Array) -> jax.Array:
    if part.kind == "dense":
        return ACTIVATIONS[part["activation"]](x @ own["weight"] + own["bias"])
    if part.kind in ("conv", "depthwise"):
        groups = 1 if part.kind == "conv" else part.inputs[-1]
        y = lax.conv_general_dilated(
            *(x, own["weight"], (1, 1), [(part["padding"],) * 2] * 2),
            dimension_numbers=PICTURES,
            feature_group_count=groups,
        )
        return ACTIVATIONS[part["activation"]](y + own["bias"]) if part.kind == "conv" else y
    if part.kind == "norm":  # the running statistics, which no step reads, are left out: in JAX's favour
        return jax.nn.relu(normalized(x, (0, 1, 2), 1e-3) * own["gamma"] + own["beta"])
    if part.kind == "layer_norm":
        return normalized(x, -1, 1e-3) * own["gamma"] + own["beta"]
    if part.kind == "pool":
        return lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
    if part.kind == "flatten":
        return x.reshape(len(x), -1)
    if part.kind == "mean":
        return x.mean(tuple(range(1, x.ndim - 1)))
    if part.kind == "residual":
        return x + network(part.inner, weights, x)
    if part.kind == "embedding":
        return own["weight"][x]
    if part.kind == "position":
        return x + own["weight"]
    return encoder(part, own, x) if part.kind == "encoder" else recurrent(part, own, x)


def normalized(x: jax.Array, axes: Any, epsilon: float) -> jax.Array:
    mean, variance = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    return (x - mean) * lax.rsqrt(variance + epsilon)


def recurrent(part: nets.Part, own: Weights, x: jax.Array) -> jax.Array:
    """The input's projection for all steps at once, then a scan."""
    units = part["units"]
    projected = jnp.moveaxis(x @ own["weight"] + own["bias"], 1, 0)
    zeros = jnp.zeros((len(x), units))

    def step(state: Any, now: jax.Array) -> Any:
        h, c = state
        if part.kind == "gru":
            u = h @ own["recurrent_weight"] + own["recurrent_bias"]
            z, r = jnp.split(jax.nn.sigmoid(now[:, : 2 * units] + u[:, : 2 * units]), 2, -1)
            h = z * h + (1 - z) * jnp.tanh(now[:, 2 * units :] + r * u[:, 2 * units :])
            return (h, c), h
        i, f, g, o = jnp.split(now + h @ own["recurrent_weight"], 4, -1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    (last, _), states = lax.scan(step, (zeros, zeros), projected)
    return jnp.moveaxis(states, 0, 1) if part["sequences"] else last


def encoder(part: nets.Part, own: Weights, x: jax.Array) -> jax.Array:
    def norm(x: jax.Array, n: int) -> jax.Array:
        return normalized(x, -1, 1e-5) * own[f"norms/{n}/gamma"] + own[f"norms/{n}/beta"]

    def attend(x: jax.Array) -> jax.Array:
        heads = x @ own["attention/input_weight"] + own["attention/input_bias"]
        q, k, v = jnp.moveaxis(heads.reshape(*x.shape[:2], 3, part["heads"], -1), 2, 0)
        y = jax.nn.dot_product_attention(q, k, v, is_causal=part["gpt"])
        return y.reshape(x.shape) @ own["attention/output_weight"] + own["attention/output_bias"]

    def think(x: jax.Array) -> jax.Array:
        hidden = x @ own["hidden/weight"] + own["hidden/bias"]
        hidden = jax.nn.gelu(hidden, approximate=False) if part["gpt"] else jax.nn.relu(hidden)
        return hidden @ own["output/weight"] + own["output/bias"]

    if part["gpt"]:
        x = x + attend(norm(x, 0))
        return x + think(norm(x, 1))
    x = norm(x + attend(x), 0)
    return norm(x + think(x), 1)


class Training:
    """Epochs of steps; a unit is a step."""

    def __init__(self, task: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        self.task, self.x, self.y = task, jnp.asarray(arrays["x"]), jnp.asarray(arrays["y"])
        weights = {path: jnp.asarray(value) for path, value in arrays.items() if path not in ("x", "y")}
        slots = {"sgd": 0, "momentum": 1, "adam": 2}[task["optimizer"]]
        moments = tuple(jax.tree.map(jnp.zeros_like, weights) for _ in range(slots))
        self.state = {"weights": weights, "moments": moments, "steps": jnp.int32(0)}
        parts = nets.parts(task["net"], task["sample"])
        self.step = jax.jit(partial(step, task, parts), donate_argnums=0, static_argnums=2)
        self.scan = jax.jit(partial(scan, task, parts), donate_argnums=0, static_argnums=2)
        self.key = jax.random.key(0)
        self.permutation = jax.jit(jax.random.permutation, static_argnums=1)

    def check(self) -> list[float]:
        order = jnp.arange(self.task["check"])
        return [self._epoch(order) for _ in range(3)]

    def run(self) -> int:
        self.key, key = jax.random.split(self.key)
        self._epoch(self.permutation(key, len(self.x)))
        return -(-len(self.x) // self.task["batch"])

    def _epoch(self, order: jax.Array) -> float:
        steps, rest = divmod(len(order), self.task["batch"])
        data = (self.x, self.y, order)
        state = self.state | {"offset": jnp.int32(0), "total": jnp.float32(0)}
        if self.task["side"] == "jax.scan":
            state = self.scan(state, data, steps)
        else:
            for _ in range(steps):
                state = self.step(state, data, self.task["batch"])
        if rest:
            state = self.step(state, data, rest)
        total = float(state.pop("total"))
        del state["offset"]
        self.state = state
        return total / len(order)


def loss_of(task: dict[str, Any], parts: Any, weights: Weights, x: jax.Array, y: jax.Array) -> jax.Array:
    outputs = network(parts, weights, x)
    if task["loss"] == "mean_squared_error":
        return jnp.mean((outputs - y) ** 2)
    return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(outputs), y[..., None], axis=-1))


def step(task: dict[str, Any], parts: Any, state: dict[str, Any], data: Data, size: int) -> dict[str, Any]:
    xs, ys, order = data
    indices = lax.dynamic_slice(order, (state["offset"],), (size,))
    x, y = xs[indices], ys[indices]
    loss, gradients = jax.value_and_grad(partial(loss_of, task, parts))(state["weights"], x, y)
    steps = state["steps"] + 1
    weights, moments = update(task, state["weights"], gradients, state["moments"], steps)
    offset, total = state["offset"] + size, state["total"] + loss * size
    return {"weights": weights, "moments": moments, "steps": steps, "offset": offset, "total": total}


def update(task: dict[str, Any], weights: Weights, gradients: Weights, moments: Any, steps: jax.Array) -> Any:
    rate = task["learning_rate"]
    if task["optimizer"] == "sgd":
        return jax.tree.map(lambda p, g: p - rate * g, weights, gradients), moments
    if task["optimizer"] == "momentum":
        velocity = jax.tree.map(lambda v, g: 0.9 * v - rate * g, moments[0], gradients)
        return jax.tree.map(jnp.add, weights, velocity), (velocity,)
    first = jax.tree.map(lambda m, g: m + 0.1 * (g - m), moments[0], gradients)
    second = jax.tree.map(lambda v, g: v + 0.001 * (g * g - v), moments[1], gradients)
    m_scale, v_scale = 1 / (1 - 0.9**steps), 1 / (1 - 0.999**steps)
    change = jax.tree.map(lambda m, v: rate * m * m_scale / (jnp.sqrt(v * v_scale) + task["epsilon"]), first, second)
    return jax.tree.map(jnp.subtract, weights, change), (first, second)


def scan(task: dict[str, Any], parts: Any, state: dict[str, Any], data: Data, steps: int) -> dict[str, Any]:
    def one(held: dict[str, Any], _: None) -> Any:
        return step(task, parts, held, data, task["batch"]), None

    return lax.scan(one, state, None, length=steps)[0]


class Inference:
    """The network's outputs for one batch, each waited for."""

    def __init__(self, task: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        self.x = jnp.asarray(arrays["x"][: task["batch"]])
        self.weights = {path: jnp.asarray(value) for path, value in arrays.items() if path not in ("x", "y")}
        self.call = jax.jit(partial(network, nets.parts(task["net"], task["sample"])))

    def check(self) -> np.ndarray:
        return np.asarray(self.call(self.weights, self.x))

    def run(self) -> int:
        for _ in range(10):
            self.call(self.weights, self.x).block_until_ready()
        return 10
