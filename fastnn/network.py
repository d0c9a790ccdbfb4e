"""Networks: layers with their parameters, compiled on demand into the programs that train and predict."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from fastnn import training
from fastnn.backend import get_backend, threads_for
from fastnn.callbacks import Callback
from fastnn.checks import FLOAT32, FLOAT64, deliver, result
from fastnn.compiler import Purpose, compile_program
from fastnn.data import ClassWeight, Rows, check_inputs, check_rows, fill
from fastnn.kernels.native import Executor
from fastnn.layers import Layer
from fastnn.layers.base import whole_number
from fastnn.losses import make_loss
from fastnn.memory import aligned_zeros, views
from fastnn.optimizers import Adam, Optimizer
from fastnn.plan import make_plan
from fastnn.program import Program
from fastnn.training import History

__all__ = ["History", "Network"]

# Rows that are predicted or evaluated at a time: as many as keep a matmul busy, in buffers that stay in cache.
_CHUNK = 256
# Programs kept; a new one beyond that takes the place of the one that was asked for longest ago.
_MAX_PROGRAMS = 32

_PREDICT = Purpose()
_EVALUATE = Purpose(loss=True)


class Network:
    """A feed-forward network of layers, its parameters, and what training needs to go on.

    Args:
        layers: such as [Dense(16), ReLU(), Dense(1), Sigmoid()]. One instance may stand in several places.
        input_shape: one row's shape, (features,) or (channels, height, width).
        loss: "log_loss", which needs Sigmoid or Softmax as the last layer, or "mse".
        dtype: "float32" or "float64", of everything that is computed.
        seed: of the first weights, the order of the rows and the dropout: equal seeds give equal bits.
        input_scale: multiplies every input, as 1 / 255 for uint8 images.

    Attributes:
        theta: all parameters in one flat vector.
        parameters: {"W1": …, "b1": …}, views into theta. W is (in, out), or (filters, channels, height, width).
        statistics: {"running_mean1": …, "running_var1": …} of batch norm.
        optimizer: that of the last training; `optimizer_state` has its vectors, as long as theta.
        epoch: how many epochs have been trained; `step_number` says the same of the optimizer's steps.

    Raises:
        ValueError: a layer can't take its input's shape, or the loss its last layer; an argument is none of
            those above.
    """

    def __init__(
        self,
        layers: Iterable[Layer],
        input_shape: int | Sequence[int],
        loss: str = "log_loss",
        dtype: DTypeLike = "float32",
        seed: int = 0,
        input_scale: float = 1.0,
    ) -> None:
        self.dtype = _check_dtype(dtype)
        self.seed = whole_number("seed", seed, 0)
        self.input_scale = _check_scale(input_scale)
        self._plan = make_plan(layers, input_shape, self.seed)
        self.layers = tuple(placed.layer for placed in self._plan.layers)
        self.input_shape = self._plan.input_shape
        self.output_shape = self._plan.output_shape
        self.loss_name = loss
        self.loss_function = make_loss(loss, self.layers[-1], self.output_shape, self.dtype)
        shapes = {name: parameter.shape for name, parameter in self._plan.parameters.items()}
        size = sum(int(np.prod(shape)) for shape in shapes.values())
        self.theta = aligned_zeros(size, self.dtype)
        self._gradient = aligned_zeros(size, self.dtype)
        self.parameters = views(self.theta, shapes)
        for name, value in self._plan.initial_parameters().items():
            self.parameters[name][...] = value
        self.statistics = {name: aligned_zeros(each.shape, self.dtype) for name, each in self._plan.statistics.items()}
        for name, each in self._plan.statistics.items():
            self.statistics[name][...] = each.fill
        self.optimizer: Optimizer | None = None
        self.optimizer_state: dict[str, np.ndarray] = {}
        self.step = aligned_zeros(2, np.float64)  # the learning rate and the number of the last step
        self.epoch = 0
        self.training_lock = threading.RLock()
        self._compile_lock = threading.Lock()
        self._programs: OrderedDict[tuple[int, Purpose, str], Program] = OrderedDict()
        self._predictors: dict[int, Executor] = {}

    def fit(
        self,
        X: ArrayLike | Iterable[Any],
        y: ArrayLike | None = None,
        *,
        epochs: int = 1,
        batch_size: int = 32,
        optimizer: Optimizer = Adam(1e-3),  # noqa: B008 - immutable
        shuffle: bool = True,
        validation_data: tuple[ArrayLike, ArrayLike] | None = None,
        validation_fraction: float = 0.0,
        sample_weight: ArrayLike | None = None,
        class_weight: ClassWeight = None,
        callbacks: Iterable[Callback] = (),
        progress: bool = False,
        keep_good: bool = False,
    ) -> History:
        """Train for `epochs` passes over the data, in steps of `batch_size` rows and a last one of what remains.

        Args:
            X: (n, *input_shape). Float32, float64 and uint8 arrays of any strides are read in place, memory maps
                too; others are converted. Or, without y, an iterable of batches (X, y) or (X, y, sample_weight),
                gone through anew for every epoch; batch_size and shuffle then don't matter.
            y: for Sigmoid labels from 0 to 1, (n,) or (n, columns); for Softmax classes from 0, (n,) or (n, 1);
                for "mse" finite numbers of the output's shape.
            optimizer: SGD, Adam or AdamW. Its state and its steps go on from the last training if it is equal to
                the optimizer of that; another starts afresh.
            shuffle: the rows in another order every epoch, which the seed and `epoch` determine.
            validation_data: (X, y), evaluated after every epoch.
            validation_fraction: or this fraction of the rows, the last ones, which aren't trained on then.
            sample_weight: (n,), from 0. The loss is Σ weight · loss / n.
            class_weight: {class: weight}, or "balanced": n / (classes · rows of the class). Multiplies
                sample_weight.
            callbacks: `Callback`s, such as EarlyStopping().
            progress: show a bar over the epochs.
            keep_good: where the loss turns infinite or NaN, restore the weights of before.

        Returns:
            The history: loss, validation_loss, … with one float an epoch.

        Raises:
            ValueError, TypeError: an argument doesn't fit; nothing has been computed then.
            KeyboardInterrupt: at Ctrl-C, between two batches; the network stays as it is then.

        Warns:
            RuntimeWarning: the loss turned infinite or NaN, which ends the training.
        """
        return training.fit(
            self,
            X,
            y,
            epochs=epochs,
            batch_size=batch_size,
            optimizer=optimizer,
            shuffle=shuffle,
            validation_data=validation_data,
            validation_fraction=validation_fraction,
            sample_weight=sample_weight,
            class_weight=class_weight,
            callbacks=callbacks,
            progress=progress,
            keep_good=keep_good,
        )

    def predict(self, X: ArrayLike, out: np.ndarray | None = None) -> np.ndarray:
        """The last layer's output, (n, *output_shape); a row's has the same bits alone and in any batch.

        Args:
            X: (n, *input_shape), n at least 1.
            out: of the result's shape and dtype, overwritten; may overlap X.

        Raises:
            ValueError, TypeError: X or out doesn't fit.
        """
        try:
            # An array that fits a program as it is goes straight through it; None says that this one doesn't.
            predicted = self._predictors[len(X)].predict(X, out)
        except (KeyError, TypeError):
            predicted = None
        if predicted is not None:
            return predicted
        return self._predict_chunks(X, out)

    def evaluate(self, X: ArrayLike, y: ArrayLike) -> dict[str, float]:
        """{"loss": …, "accuracy": …} of what `predict` gives: means over the rows. "mse" has no accuracy.

        A row is right where its largest probability is its class's; of sigmoids, each column counts by itself.
        """
        return self.evaluate_rows(check_rows(X, y, None, self.loss_function, self.input_shape))

    def loss(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """The loss that the next training step would have on the batch (X, y): what `gradients` are of.

        As there, dropout drops, and batch norm takes the batch's mean and variance. `evaluate` has the loss of
        predictions.
        """
        purpose = Purpose(training=True, loss=True)
        with self._run(purpose, X, y, sample_weight) as program:
            return float(program["L"].mean(dtype=np.float64))

    def gradients(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> dict[str, np.ndarray]:
        """{"W1": …, "b1": …}: the gradients of `loss` by every parameter. Nothing in the network changes."""
        purpose = Purpose(training=True, loss=True, backward=True)
        with self._run(purpose, X, y, sample_weight) as program:
            return {name: program[f"d{name}"].copy() for name in self.parameters}

    def trace(
        self, X: ArrayLike, y: ArrayLike | None = None, sample_weight: ArrayLike | None = None
    ) -> dict[str, np.ndarray]:
        """Every tensor of both passes of a training step by name: X, Y, Z1, A1, …, L, dZ1, dW1, db1.

        Nothing is fused and nothing in the network changes. L has a loss for every row; the gradients are those
        of its mean. Without y: the tensors of a prediction.
        """
        if y is None:
            purpose = replace(_PREDICT, fused=False)
        else:
            purpose = Purpose(training=True, loss=True, backward=True, fused=False)
        hidden = ("step", *self.statistics)
        with self._run(purpose, X, y, sample_weight) as program:
            return {name: array.copy() for name, array in program.buffers.items() if name not in hidden}

    def program(self, batch_size: int, training: bool = True) -> Program:
        """The program of a training step on `batch_size` rows (with the last training's optimizer, or Adam), or of
        a prediction."""
        rows = whole_number("batch_size", batch_size, 1)
        if not training:
            return self._program(rows, _PREDICT)
        if self.optimizer is None:
            self.begin(Adam())
        return self.training_program(rows, weighted=False)

    def save(self, path: str | PathLike[str]) -> None:
        """Write the network to a safetensors file: layers, parameters, statistics, optimizer, epoch and step.

        `fastnn.load` restores it, and its training goes on as if it had never stopped. Needs safetensors.
        """
        from fastnn import serialization

        serialization.save(self, path)

    def __repr__(self) -> str:
        layers = ", ".join(map(repr, self.layers))
        return (
            f"Network([{layers}], input_shape={self.input_shape}, loss={self.loss_name!r}, "
            f"dtype={self.dtype.name!r}, seed={self.seed}): {self.theta.size:,} parameters"
        )

    # --- for training and serialization -----------------------------------------------------------------------

    @property
    def step_number(self) -> int:
        """How many steps the optimizer has done."""
        return int(self.step[1])

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names of what `evaluate` returns."""
        return ("loss", "accuracy") if self.loss_function.has_accuracy else ("loss",)

    def begin(self, optimizer: Optimizer) -> None:
        """Make `optimizer` the network's: with the state of the last training if it is equal, else afresh."""
        if not optimizer.continues(self.optimizer):
            self.optimizer_state = {name: aligned_zeros(self.theta.size, self.dtype) for name in optimizer.state}
            self.step[:] = 0
            with self._compile_lock:
                # The training programs hold the old state.
                for key in [key for key in self._programs if key[1].update is not None]:
                    del self._programs[key]
        self.optimizer = optimizer

    def training_program(self, rows: int, weighted: bool) -> Program:
        assert self.optimizer is not None
        # The rate comes in with every step, so that programs don't differ by it.
        update = replace(self.optimizer, lr=0.0)
        return self._program(
            rows, Purpose(training=True, loss=True, weighted=weighted, backward=True, update=update)
        )

    def evaluate_rows(self, rows: Rows) -> dict[str, float]:
        """`evaluate` of checked rows."""
        count = len(rows.x)
        loss, correct = 0.0, 0.0
        for start in range(0, count, _CHUNK):
            chunk = rows.part(slice(start, start + _CHUNK))
            program = self._program(len(chunk.x), _EVALUATE)
            with program.lock:
                self._fill(program, chunk)
                program.executor.run(threads_for(program.cost))
                loss += float(program["L"].sum(dtype=np.float64))
                correct += self.loss_function.correct(program[program.output.name], chunk.y)
        return dict(zip(self.metrics, (loss / count, correct / count), strict=False))

    def copy_weights(self, optimizer: bool = False) -> dict[str, np.ndarray]:
        """Copies of all that a prediction depends on, and with `optimizer` of what its next step does, by name."""
        arrays = {"theta": self.theta, **self.statistics}
        if optimizer:
            arrays |= {**self.optimizer_state, "step": self.step}
        return {name: array.copy() for name, array in arrays.items()}

    def restore_weights(self, copies: dict[str, np.ndarray]) -> None:
        """Put back what `copy_weights` returned."""
        arrays = {"theta": self.theta, **self.statistics, **self.optimizer_state, "step": self.step}
        for name, copy in copies.items():
            arrays[name][...] = copy

    # --- programs ---------------------------------------------------------------------------------------------

    def _program(self, rows: int, purpose: Purpose) -> Program:
        """The program for batches of `rows` rows in the current backend, compiled where there is none yet."""
        key = (rows, purpose, get_backend())
        with self._compile_lock:
            program = self._programs.get(key)
            if program is None:
                program = compile_program(self._plan, self.loss_function, rows, purpose, self._shared(purpose))
                self._programs[key] = program
                if len(self._programs) > _MAX_PROGRAMS:
                    self._programs.popitem(last=False)
                    self._predictors = {}
            self._programs.move_to_end(key)
            return program

    def _shared(self, purpose: Purpose) -> dict[str, np.ndarray]:
        """The arrays that a program has in common with others: all that it must leave a trace in, or read."""
        shared = {"theta": self.theta, **self.parameters}
        if not purpose.training:
            return shared | self.statistics
        if purpose.update is None:
            return shared  # what a training step would write, such as the statistics, goes into the program's own
        shapes = {f"d{name}": array.shape for name, array in self.parameters.items()}
        gradients = {"gradient": self._gradient, **views(self._gradient, shapes)}
        return shared | self.statistics | gradients | self.optimizer_state | {"step": self.step}

    @contextmanager
    def _run(
        self, purpose: Purpose, X: ArrayLike, y: ArrayLike | None, sample_weight: ArrayLike | None
    ) -> Iterator[Program]:
        """A program that has run on (X, y) as one batch, and is ours for the `with` block."""
        if y is None:
            rows = Rows(check_inputs("X", X, self.input_shape, self.dtype), None, None)
        else:
            rows = check_rows(X, y, sample_weight, self.loss_function, self.input_shape)
        program = self._program(len(rows.x), replace(purpose, weighted=rows.weight is not None))
        with program.lock:
            self._fill(program, rows)
            if "step" in program.buffers:
                program["step"][1] = self.step[1] + 1  # the step that dropout draws for
            program.executor.run(threads_for(program.cost))
            yield program

    def _fill(self, program: Program, rows: Rows) -> None:
        """Put a batch into the program's buffers."""
        fill(program["X"], rows.x, self.input_scale)
        if rows.y is not None:
            program["Y"][...] = rows.y
        if rows.weight is not None:
            program["weight"][...] = rows.weight

    def _predict_chunks(self, X: ArrayLike, out: np.ndarray | None) -> np.ndarray:
        """`predict` of anything: checked, converted and cut into batches of at most _CHUNK rows."""
        x = check_inputs("X", X, self.input_shape, self.dtype)
        predicted = result(out, (len(x), *self.output_shape), self.dtype, (x,))
        for start in range(0, len(x), _CHUNK):
            chunk, chunk_out = x[start : start + _CHUNK], predicted[start : start + _CHUNK]
            executor = self._program(len(chunk), _PREDICT).executor
            if self.input_scale == 1:
                self._predictors[len(chunk)] = executor
                if executor.predict(chunk, chunk_out) is not None:
                    continue
            executor.predict(fill(np.empty(chunk.shape, self.dtype), chunk, self.input_scale), chunk_out)
        return deliver(predicted, out)

    # --- pickling and copying: programs are compiled anew ------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        return {
            "arguments": (
                self.layers,
                self.input_shape,
                self.loss_name,
                self.dtype.name,
                self.seed,
                self.input_scale,
            ),
            "optimizer": self.optimizer,
            "epoch": self.epoch,
            "arrays": self.copy_weights(optimizer=True),
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(*state["arguments"])  # type: ignore[misc]
        self.resume(state["optimizer"], state["epoch"], state["arrays"])

    def resume(self, optimizer: Optimizer | None, epoch: int, arrays: dict[str, np.ndarray]) -> None:
        """Go on from where a training stood: `arrays` are what `copy_weights(optimizer=True)` returned."""
        if optimizer is not None:
            self.begin(optimizer)
        self.epoch = epoch
        self.restore_weights(arrays)


def _check_dtype(dtype: DTypeLike) -> np.dtype:
    try:
        checked = np.dtype(dtype)
    except TypeError:
        checked = None
    if checked not in (FLOAT32, FLOAT64):
        raise ValueError(f"dtype must be 'float32' or 'float64', got {dtype!r}")
    return checked


def _check_scale(input_scale: float) -> float:
    if not (isinstance(input_scale, (int, float, np.number)) and np.isfinite(input_scale) and input_scale):
        raise ValueError(f"input_scale must be a finite number other than 0, got {input_scale!r}")
    return float(input_scale)
