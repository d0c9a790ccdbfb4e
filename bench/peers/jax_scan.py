"""JAX with whole epochs in one compiled call (lax.scan), and whole searches in one (vmap)."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from bench.peers import jax_network
from bench.peers.peer import Peer
from bench.problems.training import (
    VERIFIED_STEPS,
    Epoch,
    Search,
    SearchInputs,
    Training,
    TrainingInputs,
    training_results,
)
from bench.task import Arrays, Task, Unsupported, named


class JaxScan(Peer):
    name = "jax-scan"
    distribution = "jax"
    import_statement = "import jax"
    cannot: ClassVar[dict[str, str]] = {
        "import": "the same package as jax-jit",
        "installed_size": "the same package as jax-jit",
        "": "differs from jax-jit in training only",
    }

    def training(self, problem: Training, inputs: TrainingInputs) -> Task:
        x, y = _in_batches(inputs.x, problem.batch), _in_batches(inputs.y, problem.batch)
        step = partial(jax_network.step, problem.network, problem.optimizer, problem.learning_rate)
        scan = jax.jit(partial(_scan, step), donate_argnums=0)
        state: list[jax_network.State] = []

        def begin() -> None:
            state[:] = [jax_network.start(inputs.weights)]

        def train() -> Any:
            state[0], losses = scan(state[0], x, y)
            return jax.block_until_ready(losses)

        def results() -> Arrays:
            begin()
            gradients = jax.grad(partial(jax_network.loss, problem.network))(state[0][0], x[0], y[0])
            state[0], losses = scan(state[0], x[:VERIFIED_STEPS], y[:VERIFIED_STEPS])
            return training_results(gradients, losses.mean(), inputs.weights, state[0][0])

        return Task(train, [()], named("losses"), problem.batches, begin, results)

    def epoch(self, problem: Epoch, inputs: TrainingInputs) -> Task:
        """A scan takes equal batches only, so a shorter last batch is a step of its own in the same call."""
        if not problem.network.is_dense:
            raise Unsupported("a scan's convolutions take minutes: see the training cases")
        x, y = jnp.asarray(inputs.x), jnp.asarray(inputs.y)
        step = partial(jax_network.step, problem.network, "adam", problem.learning_rate)
        run_epoch = jax.jit(partial(_epoch, step, problem.batch), donate_argnums=0)
        state: list[jax_network.State] = []
        rng = np.random.default_rng(0)

        def begin() -> None:
            state[:] = [jax_network.start(inputs.weights)]

        def train() -> Any:
            state[0], loss = run_epoch(state[0], x, y, rng.permutation(problem.rows))
            return jax.block_until_ready(loss)

        def results() -> Arrays:
            begin()
            rows = problem.verified_rows
            state[0], loss = run_epoch(state[0], x, y, np.arange(rows))
            return training_results({}, loss, inputs.weights, state[0][0])

        return Task(train, [()], named("loss"), begin=begin, results=results)

    def search(self, problem: Search, inputs: SearchInputs) -> Task:
        """All networks at once: every weight gets a leading axis, over which the training is vectorized."""
        x, y = jnp.asarray(inputs.x), jnp.asarray(inputs.y)
        weights = jax.tree.map(lambda *arrays: jnp.stack(arrays), *inputs.weights)
        rates = jnp.asarray(inputs.learning_rates)
        train = jax.jit(jax.vmap(partial(_train_one, problem, x, y)))
        return Task(lambda: jax.block_until_ready(train(weights, rates)), [()], named("losses"))

    def forget(self) -> None:
        jax.clear_caches()


def _scan(step: Any, state: jax_network.State, x: Any, y: Any) -> Any:
    return lax.scan(lambda state, batch: step(state, *batch), state, (x, y))


def _epoch(step: Any, batch: int, state: jax_network.State, x: Any, y: Any, order: Any) -> Any:
    """The state after the rows of `order`, and their mean loss, each batch's before its update."""
    rows = len(order)
    whole = rows // batch * batch

    def step_on_rows(state: jax_network.State, rows: Any) -> Any:
        return step(state, x[rows], y[rows])

    state, losses = lax.scan(step_on_rows, state, order[:whole].reshape(-1, batch))
    total = losses.sum() * batch
    if whole < rows:
        state, loss = step_on_rows(state, order[whole:])
        total += loss * (rows - whole)
    return state, total / rows


def _train_one(problem: Search, x: Any, y: Any, weights: Any, rate: Any) -> Any:
    step = partial(jax_network.step, problem.network, "sgd", rate)
    order = jnp.arange(problem.rows)

    def run_epoch(state: jax_network.State, _: None) -> Any:
        return _epoch(step, problem.batch, state, x, y, order)

    return lax.scan(run_epoch, jax_network.start(weights), None, length=problem.epochs)[1][-1]


def _in_batches(array: np.ndarray, batch: int) -> Any:
    return jnp.asarray(array.reshape(-1, batch, *array.shape[1:]))
