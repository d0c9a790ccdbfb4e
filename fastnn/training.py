"""Training: the loop over epochs. What happens within an epoch is one call of the executor."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import isfinite
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from fastnn.arguments import fraction, whole_number
from fastnn.backend import threads_for
from fastnn.callbacks import Callback, Logs, check_callbacks, overrides
from fastnn.data import ClassWeight, Rows, apply_class_weight, check_rows, split_rows
from fastnn.kernels import native
from fastnn.optimizers import Optimizer, check_optimizer
from fastnn.progress import ProgressBar

if TYPE_CHECKING:
    from fastnn.network import Network


@dataclass
class History:
    """What every epoch of a training came to; the validation's lists are empty where there was none."""

    loss: list[float] = field(default_factory=list)
    """The mean over the epoch's rows, each batch's before its update; with the optimizer's L2 penalty."""
    validation_loss: list[float] = field(default_factory=list)
    validation_accuracy: list[float] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)
    """Of the epoch's last step."""
    seconds: list[float] = field(default_factory=list)
    """Of the epoch's training, validation not included."""

    def append(self, logs: dict[str, float]) -> None:
        for name, value in logs.items():
            getattr(self, name).append(value)


def fit(
    network: Network,
    X: Any,
    y: ArrayLike | None,
    *,
    epochs: int,
    batch_size: int,
    optimizer: Optimizer,
    shuffle: bool,
    validation_data: tuple[ArrayLike, ArrayLike] | None,
    validation_fraction: float,
    sample_weight: ArrayLike | None,
    class_weight: ClassWeight,
    callbacks: Iterable[Callback],
    progress: bool,
    keep_good: bool,
) -> History:
    """`Network.fit`, which documents the arguments. All are checked before anything is computed."""
    epochs = whole_number("epochs", epochs, 1)
    batch_size = whole_number("batch_size", batch_size, 1)
    validation_fraction = fraction("validation_fraction", validation_fraction)
    check_optimizer(optimizer)
    checked = check_callbacks(callbacks)
    on_batch = [callback for callback in checked if overrides(callback, "on_batch_end")]
    validation = None if validation_data is None else _check_validation(network, validation_data)
    source: _Epochs
    if y is None:
        if sample_weight is not None or validation_fraction:
            raise ValueError("y must be given with sample_weight or validation_fraction")
        source = _Stream(network, X, class_weight, on_batch)
    else:
        rows = check_rows(X, y, sample_weight, network.loss_function, network.input_shape)
        rows, held_out = split_rows(rows, validation_fraction)
        if held_out is not None and validation is not None:
            raise ValueError("validation_fraction must be 0 where validation_data is given")
        validation = validation or held_out
        rows = apply_class_weight(rows, class_weight, network.loss_function)
        if batch_size > len(rows.x):
            raise ValueError(
                f"batch_size must be at most {len(rows.x)}, the rows to train on, got {batch_size}"
            )
        kind = _BatchByBatch if on_batch else _WholeEpochs
        source = kind(network, rows, batch_size, shuffle, on_batch)
    if progress:
        checked = (*checked, ProgressBar())
    with network.training_lock:
        network.begin(optimizer)
        source.prepare()
        return _run(network, source, epochs, validation, checked, keep_good)


def _check_validation(network: Network, data: tuple[ArrayLike, ArrayLike]) -> Rows:
    if not isinstance(data, (tuple, list)) or len(data) != 2:
        got = f"{len(data)} values" if isinstance(data, (tuple, list)) else type(data).__name__
        raise TypeError(f"validation_data must be a pair (X, y), got {got}")
    names = ("validation_data[0]", "validation_data[1]")
    return check_rows(*data, None, network.loss_function, network.input_shape, names=names)


def _run(
    network: Network,
    source: _Epochs,
    epochs: int,
    validation: Rows | None,
    callbacks: tuple[Callback, ...],
    keep_good: bool,
) -> History:
    history, state = History(), network.state
    metrics = ["loss", "learning_rate", "seconds"]
    if validation is not None:
        metrics += [f"validation_{name}" for name in network.loss_function.metrics]
    started = []
    good = before = state.copy(optimizer=True)
    try:
        for callback in callbacks:
            callback.on_train_begin(network, epochs, tuple(metrics))
            started.append(callback)
        for epoch in range(1, epochs + 1):
            if keep_good:
                good, before = before, state.copy(optimizer=True)
            first_step = state.step_number
            start = perf_counter()
            loss = source.run()
            logs: Logs = {"loss": loss, "learning_rate": float(state.step[0])}
            logs["seconds"] = perf_counter() - start
            if not isfinite(loss):
                history.append(logs)
                step = state.step_number - first_step
                _warn_of(loss, epoch, step, logs["learning_rate"])
                if keep_good:
                    # A finite loss at the first step proves that the weights at the epoch's start were good.
                    state.restore(before if step > 1 else good)
                break
            state.epoch += 1
            if validation is not None:
                measured = network.evaluate_rows(validation)
                logs |= {f"validation_{name}": value for name, value in measured.items()}
            history.append(logs)
            # Every callback sees the epoch, also after one that ends the training.
            if any([callback.on_epoch_end(network, epoch, logs) for callback in callbacks]):
                break
    finally:
        for callback in started:
            callback.on_train_end(network)
    return history


def _warn_of(loss: float, epoch: int, step: int, rate: float) -> None:
    place = f"in epoch {epoch}, at its step {step}, with a learning rate of {rate:g}"
    warnings.warn(f"the loss turned {loss} {place}: training ends here", RuntimeWarning, stacklevel=5)


class _Epochs:
    """Goes through the data once at every `run`, training the network."""

    def prepare(self) -> None:
        """Compile what `run` will need; ValueError where the network can't train on such batches."""

    def run(self) -> float:
        """Train for an epoch, or until a batch's loss isn't finite; return the mean over the rows."""
        raise NotImplementedError


class _WholeEpochs(_Epochs):
    """Arrays, an epoch a call."""

    def __init__(
        self, network: Network, rows: Rows, batch_size: int, shuffle: bool, on_batch: list[Callback]
    ) -> None:
        self.network = network
        self.rows = rows
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.on_batch = on_batch
        self.count = len(rows.x)
        self.order = np.empty(self.count, np.int64)

    @property
    def seed(self) -> int | None:
        """The seed of the epoch's order; None keeps the rows' own."""
        if not self.shuffle:
            return None
        mixed = np.random.SeedSequence((self.network.seed, self.network.epoch))
        return int(mixed.generate_state(1, np.uint64)[0])

    def prepare(self) -> None:
        weighted = self.rows.weight is not None
        tail = self.count % self.batch_size
        self.program = self.network.training_program(self.batch_size, weighted)
        self.tail = self.network.training_program(tail, weighted) if tail else None

    def run(self) -> float:
        total = self.program.executor.run_epoch(
            self.tail.executor if self.tail else None,
            *self.rows,
            self.order,
            _rates(self.network, steps=-(-self.count // self.batch_size)),
            self.network.input_scale,
            self.seed,
            threads_for(self.program.cost),
        )
        return total / self.count


class _BatchByBatch(_WholeEpochs):
    """Arrays, a batch a call, with callbacks between: the same results."""

    def run(self) -> float:
        native.row_order(self.order, self.seed)
        starts = range(0, self.count, self.batch_size)
        batches = (self.rows.part(self.order[start : start + self.batch_size]) for start in starts)
        return _run_batches(self.network, batches, self.on_batch)


class _Stream(_Epochs):
    """An iterable of batches (X, y) or (X, y, sample_weight), each of any number of rows."""

    def __init__(
        self, network: Network, batches: Any, class_weight: ClassWeight, on_batch: list[Callback]
    ) -> None:
        if isinstance(batches, np.ndarray) or not isinstance(batches, Iterable):
            raise ValueError("y must be given, except where X is an iterable of batches (X, y)")
        if class_weight == "balanced":
            raise ValueError("class_weight must be a dict where X is an iterable of batches, got 'balanced'")
        self.network = network
        self.batches = batches
        self.class_weight = class_weight
        self.on_batch = on_batch

    def run(self) -> float:
        return _run_batches(self.network, map(self._checked, self.batches), self.on_batch)

    def _checked(self, batch: Any) -> Rows:
        if not isinstance(batch, (tuple, list)) or len(batch) not in (2, 3):
            raise ValueError(f"X must yield (X, y) or (X, y, sample_weight), got {type(batch).__name__}")
        X, y, weight = (*batch, None)[:3]
        loss = self.network.loss_function
        return apply_class_weight(
            check_rows(X, y, weight, loss, self.network.input_shape), self.class_weight, loss
        )


def _run_batches(network: Network, batches: Iterable[Rows], on_batch: list[Callback]) -> float:
    """A training step a batch; the mean of the rows' losses."""
    total, count = 0.0, 0
    for rows in batches:
        size = len(rows.x)
        program = network.training_program(size, rows.weight is not None)
        order, rates = np.empty(size, np.int64), _rates(network, steps=1)
        threads = threads_for(program.cost)
        loss = program.executor.run_epoch(None, *rows, order, rates, network.input_scale, None, threads)
        total, count = total + loss, count + size
        if not isfinite(loss):
            break
        for callback in on_batch:
            callback.on_batch_end(network, network.step_number, {"loss": loss / size})
    if count == 0:
        raise ValueError("X must yield batches anew for every epoch, as a list does: it yielded none")
    return total / count


def _rates(network: Network, steps: int) -> np.ndarray:
    """The learning rates of the next steps."""
    assert network.state.optimizer is not None
    return network.state.optimizer.rates(network.step_number, steps)
