"""JAX: one jitted step with donated state in a Python loop, or a whole epoch of them under lax.scan."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def prepare(task: dict[str, Any], arrays: dict[str, np.ndarray]) -> "Training":
    return Training(task, arrays)


class Training:
    def __init__(self, task: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        self.task, self.x, self.y = task, jnp.asarray(arrays["x"]), jnp.asarray(arrays["y"])
        sizes = task["sizes"]
        parameters = [(jnp.asarray(arrays[f"w{i}"]), jnp.zeros(n)) for i, n in enumerate(sizes[1:])]
        zeros = jax.tree.map(jnp.zeros_like, parameters)
        moments = (zeros, jax.tree.map(jnp.zeros_like, parameters)) if task["optimizer"] == "adam" else ()
        self.state = {"parameters": parameters, "moments": moments, "steps": jnp.int32(0)}
        self.step = jax.jit(partial(step, task), donate_argnums=0)
        self.scan = jax.jit(partial(scan, task), donate_argnums=0, static_argnums=4)
        self.key = jax.random.key(0)
        self.permutation = jax.jit(jax.random.permutation, static_argnums=1)

    def check(self) -> list[float]:
        order = jnp.arange(self.task["check_samples"])
        return [self._epoch(order) for _ in range(2)]

    def run(self) -> int:
        self.key, key = jax.random.split(self.key)
        self._epoch(self.permutation(key, len(self.x)))
        return len(self.x) // self.task["batch"]

    def _epoch(self, order: jax.Array) -> float:
        steps = len(order) // self.task["batch"]
        state = self.state | {"offset": jnp.int32(0), "total": jnp.float32(0)}
        if self.task["side"] == "jax.scan":
            state = self.scan(state, self.x, self.y, order, steps)
        else:
            for _ in range(steps):
                state = self.step(state, self.x, self.y, order)
        total = float(state.pop("total"))
        del state["offset"]
        self.state = state
        return total / steps


def loss_of(task: dict[str, Any], parameters: Any, x: jax.Array, y: jax.Array) -> jax.Array:
    for w, b in parameters[:-1]:
        z = x @ w + b
        x = jax.nn.sigmoid(z) if task["activation"] == "sigmoid" else jax.nn.relu(z)
    w, b = parameters[-1]
    log_p = jax.nn.log_softmax(x @ w + b)
    return -jnp.mean(jnp.take_along_axis(log_p, y[:, None], axis=1))


def step(task: dict[str, Any], state: dict[str, Any], xs: jax.Array, ys: jax.Array, order: jax.Array) -> dict[str, Any]:
    indices = jax.lax.dynamic_slice(order, (state["offset"],), (task["batch"],))
    x, y = xs[indices], ys[indices]
    loss, gradients = jax.value_and_grad(partial(loss_of, task))(state["parameters"], x, y)
    steps = state["steps"] + 1
    parameters, moments = update(task, state["parameters"], gradients, state["moments"], steps)
    offset, total = state["offset"] + task["batch"], state["total"] + loss
    return {"parameters": parameters, "moments": moments, "steps": steps, "offset": offset, "total": total}


def update(task: dict[str, Any], parameters: Any, gradients: Any, moments: Any, steps: jax.Array) -> tuple[Any, Any]:
    rate = task["learning_rate"]
    if task["optimizer"] == "sgd":
        return jax.tree.map(lambda p, g: p - rate * g, parameters, gradients), moments
    first = jax.tree.map(lambda m, g: m + 0.1 * (g - m), moments[0], gradients)
    second = jax.tree.map(lambda v, g: v + 0.001 * (g * g - v), moments[1], gradients)
    m_scale, v_scale = 1 / (1 - 0.9**steps), 1 / (1 - 0.999**steps)
    change = jax.tree.map(lambda m, v: rate * m * m_scale / (jnp.sqrt(v * v_scale) + 1e-8), first, second)
    return jax.tree.map(jnp.subtract, parameters, change), (first, second)


def scan(
    task: dict[str, Any], state: dict[str, Any], xs: jax.Array, ys: jax.Array, order: jax.Array, steps: int
) -> dict[str, Any]:
    return jax.lax.scan(lambda held, _: (step(task, held, xs, ys, order), None), state, None, length=steps)[0]
