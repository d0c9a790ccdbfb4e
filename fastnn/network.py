"""Networks: layers with their parameters, compiled on demand into the programs that train and predict."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from fastnn import backend, training
from fastnn.arguments import whole_number
from fastnn.callbacks import Callback
from fastnn.checks import FLOAT32, FLOAT64, deliver, result
from fastnn.compiler import Purpose
from fastnn.data import ClassWeight, Rows, check_inputs, check_rows, fill
from fastnn.kernels.native import Executor
from fastnn.layers import Layer
from fastnn.losses import make_loss
from fastnn.optimizers import Adam, Optimizer
from fastnn.plan import make_plan
from fastnn.program import Program
from fastnn.programs import Programs
from fastnn.state import State
from fastnn.training import History

__all__ = ["History", "Network"]

_PREDICTION = Purpose()
_EVALUATION = Purpose(loss=True)
_PASSES = Purpose(training=True, loss=True, backward=True)  # a training step without the update

# Predictions go through as many rows at a time as mostly stay in the L2 cache, in sixteens, within limits
# that suit a matmul.
_CHUNK_BYTES = 2 * 1024 * 1024
_MIN_CHUNK, _MAX_CHUNK = 8, 256


class Network:
    """A feed-forward network: its layers, their parameters, and what training needs to go on.

    Args:
        layers: such as [Dense(16), ReLU(), Dense(1), Sigmoid()]. An instance may stand in several places.
        input_shape: one row's shape, (features,) or (channels, height, width).
        loss: "log_loss", which needs Sigmoid or Softmax as the last layer, or "mse".
        dtype: "float32" or "float64", of everything that is computed.
        seed: of the first weights, the order of the rows and the dropout: equal seeds give equal bits.
        input_scale: multiplies every input, as 1 / 255 for uint8 images.

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
        plan = make_plan(layers, input_shape, self.seed)
        self.layers = tuple(placed.layer for placed in plan.layers)
        self.input_shape = plan.input_shape
        self.output_shape = plan.output_shape
        self.loss_name = loss
        self.loss_function = make_loss(loss, self.layers[-1], self.output_shape, self.dtype)
        self.state = State(plan, self.dtype)
        self.training_lock = threading.RLock()  # held while `fit` runs
        fitting = _CHUNK_BYTES // (plan.row_size * self.dtype.itemsize) // 16 * 16
        self._chunk = min(max(fitting, _MIN_CHUNK), _MAX_CHUNK)
        self._programs = Programs(plan, self.loss_function, self.state, self._forget_predictors)
        self._forget_predictors()

    def fit(
        self,
        X: ArrayLike | Iterable[Any],
        y: ArrayLike | None = None,
        *,
        epochs: int = 1,
        batch_size: int = 32,
        optimizer: Optimizer = Adam(1e-3),  # noqa: B008 - it is immutable
        shuffle: bool = True,
        validation_data: tuple[ArrayLike, ArrayLike] | None = None,
        validation_fraction: float = 0.0,
        sample_weight: ArrayLike | None = None,
        class_weight: ClassWeight = None,
        callbacks: Iterable[Callback] = (),
        progress: bool = False,
        keep_good: bool = False,
    ) -> History:
        """Train for `epochs` passes over the data, in batches of `batch_size` rows and one of what remains.

        Args:
            X: (n, *input_shape). Float32, float64 and uint8 arrays of any strides, memory maps too, are read
                in place; others are converted. Or, without y, an iterable of batches (X, y) or
                (X, y, sample_weight), gone through anew for every epoch, whatever batch_size and shuffle.
            y: for Sigmoid labels from 0 to 1, (n,) or (n, columns); for Softmax classes from 0, (n,) or
                (n, 1); for "mse" finite numbers of the output's shape.
            optimizer: SGD, Adam or AdamW. If it is equal to that of the last training, its vectors and its
                step go on from there; another starts afresh.
            shuffle: the rows in another order every epoch, as the seed and the number of the epoch have it.
            validation_data: (X, y), evaluated after every epoch.
            validation_fraction: or this fraction of the rows, the last ones, which then aren't trained on.
            sample_weight: (n,), from 0. The loss is Σ weight · loss / n.
            class_weight: {class: weight}, or "balanced": n / (classes · rows of the class). Multiplies
                sample_weight.
            callbacks: `Callback`s, such as EarlyStopping().
            progress: show a bar over the epochs.
            keep_good: where the loss turns infinite or NaN, bring back the weights of before.

        Returns:
            The history: loss, validation_loss, … with one float an epoch.

        Raises:
            ValueError, TypeError: an argument doesn't fit; nothing has been computed then.
            KeyboardInterrupt: at Ctrl-C, between two batches; the network stays usable.

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
            # An array that a program can take as it is goes straight there; else the executor says None.
            if backend.current is self._predictors_backend:
                predicted = self._predictors[len(X)].predict(X, out)  # type: ignore[arg-type]
                if predicted is not None:
                    return predicted
        except (KeyError, TypeError):
            pass
        return self._predict_chunks(X, out)

    def evaluate(self, X: ArrayLike, y: ArrayLike) -> dict[str, float]:
        """{"loss": …, "accuracy": …} of what `predict` gives, as means over the rows; "mse" has no accuracy.

        A row is right where its largest probability is its class's; several sigmoids count one by one.
        """
        return self.evaluate_rows(check_rows(X, y, None, self.loss_function, self.input_shape))

    def loss(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """The loss that a training step on the batch (X, y) would have now: what `gradients` are of.

        As there, dropout drops, and batch norm takes the mean and variance of the batch. It is without the L2
        penalty of the optimizer. `evaluate` has the loss of predictions.
        """
        rows = check_rows(X, y, sample_weight, self.loss_function, self.input_shape)
        with self._run(replace(_PASSES, backward=False), *rows) as program:
            return float(program["L"].mean(dtype=np.float64))

    def gradients(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> dict[str, np.ndarray]:
        """{"W1": …, "b1": …}: the gradients of `loss` by every parameter. Nothing in the network changes."""
        rows = check_rows(X, y, sample_weight, self.loss_function, self.input_shape)
        with self._run(_PASSES, *rows) as program:
            return {name: program[f"d{name}"].copy() for name in self.parameters}

    def trace(
        self, X: ArrayLike, y: ArrayLike | None = None, sample_weight: ArrayLike | None = None
    ) -> dict[str, np.ndarray]:
        """Every tensor of both passes of a training step by name: X, Z1, A1, …, Y, L, dZ1, dW1, db1.

        L has one loss a row; the gradients are those of its mean. Nothing is fused, and nothing in the
        network changes. Without y: every tensor of a prediction.
        """
        if y is None:
            inputs = check_inputs("X", X, self.input_shape, self.dtype)
            ran = self._run(replace(_PREDICTION, fused=False), inputs)
        else:
            rows = check_rows(X, y, sample_weight, self.loss_function, self.input_shape)
            ran = self._run(replace(_PASSES, fused=False), *rows)
        hidden = {"step", *self.statistics}
        with ran as program:
            return {name: array.copy() for name, array in program.buffers.items() if name not in hidden}

    def program(self, batch_size: int, training: bool = True) -> Program:
        """The program of a training step on `batch_size` rows, or of their prediction.

        The step is that of the last training's optimizer, at first Adam's.
        """
        rows = whole_number("batch_size", batch_size, 1)
        if not training:
            return self._programs.get(rows, _PREDICTION)
        if self.state.optimizer is None:
            self.begin(Adam())
        return self.training_program(rows, weighted=False)

    def save(self, path: str | PathLike[str]) -> None:
        """Write the network to a safetensors file, for `fastnn.load`: training goes on from there to the bit.

        The file has the layers, theta, the statistics, the optimizer with its vectors and step, the epoch; of
        a learning-rate schedule only those of fastnn, not a function of the caller's.

        Raises:
            ImportError: safetensors isn't installed.
            OSError: the file can't be written; one that was there before is still there then.
        """
        from fastnn import serialization

        serialization.save(self, path)

    def __repr__(self) -> str:
        layers = ", ".join(map(repr, self.layers))
        return (
            f"Network([{layers}], input_shape={self.input_shape}, loss={self.loss_name!r}, "
            f"dtype={self.dtype.name!r}, seed={self.seed}): {self.theta.size:,} parameters"
        )

    @property
    def theta(self) -> np.ndarray:
        """All parameters as one flat vector."""
        return self.state.theta

    @property
    def parameters(self) -> dict[str, np.ndarray]:
        """{"W1": …, "b1": …}: views into theta; W is (in, out), or (filters, channels, height, width)."""
        return self.state.parameters

    @property
    def statistics(self) -> dict[str, np.ndarray]:
        """{"running_mean1": …, "running_var1": …}: what batch norm predicts with."""
        return self.state.statistics

    @property
    def epoch(self) -> int:
        """How many epochs the network has been trained."""
        return self.state.epoch

    @property
    def step_number(self) -> int:
        """How many steps the optimizer has done."""
        return self.state.step_number

    def copy_weights(self) -> dict[str, np.ndarray]:
        """Copies of all that a prediction depends on, theta and the statistics, by name."""
        return self.state.copy(optimizer=False)

    def restore_weights(self, copies: dict[str, np.ndarray]) -> None:
        """Put back what `copy_weights` returned."""
        self.state.restore(copies)

    # --- for training ---------------------------------------------------------------------------------

    def begin(self, optimizer: Optimizer) -> None:
        """Make `optimizer` the network's: it goes on if it is equal to the one before, else starts afresh."""
        if self.state.begin(optimizer):
            self._programs.drop_updates()

    def training_program(self, rows: int, weighted: bool) -> Program:
        """The training step of the network's optimizer on `rows` rows."""
        assert self.state.optimizer is not None
        # The rate comes with every step: programs don't differ by it.
        update = replace(self.state.optimizer, lr=0.0)
        return self._programs.get(rows, replace(_PASSES, weighted=weighted, update=update))

    def loss_and_gradient(self, rows: Rows) -> tuple[float, np.ndarray]:
        """`loss` of checked rows, and its gradient by theta, as one vector."""
        with self._run(_PASSES, *rows) as program:
            loss = float(program["L"].mean(dtype=np.float64))
            return loss, np.concatenate([program[f"d{name}"].ravel() for name in self.parameters])

    def evaluate_rows(self, rows: Rows) -> dict[str, float]:
        """`evaluate` of checked rows."""
        count = len(rows.x)
        loss, correct = 0.0, 0.0
        for start in range(0, count, self._chunk):
            chunk = rows.part(slice(start, start + self._chunk))
            with self._run(_EVALUATION, *chunk) as program:
                loss += float(program["L"].sum(dtype=np.float64))
                correct += self.loss_function.correct(program[program.output.name], chunk.y)
        return dict(zip(self.loss_function.metrics, (loss / count, correct / count), strict=False))

    # --- running programs -----------------------------------------------------------------------------

    @contextmanager
    def _run(
        self, purpose: Purpose, x: np.ndarray, y: np.ndarray | None = None, weight: np.ndarray | None = None
    ) -> Iterator[Program]:
        """A program that has run on checked rows as one batch, and is ours for the `with` block."""
        program = self._programs.get(len(x), replace(purpose, weighted=weight is not None))
        with program.lock:
            fill(program["X"], x, self.input_scale)
            if y is not None:
                program["Y"][...] = y
            if weight is not None:
                program["weight"][...] = weight
            if "step" in program.buffers:
                program["step"][1] = self.step_number + 1  # which dropout draws for
            program.executor.run(backend.threads_for(program.cost))
            yield program

    def _predict_chunks(self, X: ArrayLike, out: np.ndarray | None) -> np.ndarray:
        """`predict` of anything: checked, cut into chunks, and converted where that is needed."""
        x = check_inputs("X", X, self.input_shape, self.dtype)
        predicted = result(out, (len(x), *self.output_shape), self.dtype, (x,))
        for start in range(0, len(x), self._chunk):
            chunk, chunk_out = x[start : start + self._chunk], predicted[start : start + self._chunk]
            executor = self._predictor(len(chunk))
            if self.input_scale != 1 or executor.predict(chunk, chunk_out) is None:
                converted = fill(np.empty(chunk.shape, self.dtype), chunk, self.input_scale)
                executor.predict(converted, chunk_out)
        return deliver(predicted, out)

    def _predictor(self, rows: int) -> Executor:
        program = self._programs.get(rows, _PREDICTION)
        if program.backend is not self._predictors_backend:
            self._forget_predictors()
        if self.input_scale == 1:
            self._predictors[rows] = program.executor
        return program.executor

    def _forget_predictors(self) -> None:
        """Start the executors that `predict` finds by the number of rows anew, in the current backend."""
        self._predictors: dict[int, Executor] = {}
        self._predictors_backend = backend.get_backend()

    # --- pickling and copying: programs are compiled anew ---------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        return {
            "layers": self.layers,
            "input_shape": self.input_shape,
            "loss": self.loss_name,
            "dtype": self.dtype.name,
            "seed": self.seed,
            "input_scale": self.input_scale,
            "optimizer": self.state.optimizer,
            "epoch": self.epoch,
            "arrays": self.state.copy(optimizer=True),
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        arguments = dict(state)
        progress = [arguments.pop(name) for name in ("optimizer", "epoch", "arrays")]
        self.__init__(**arguments)  # type: ignore[misc]
        self.resume(*progress)

    def resume(self, optimizer: Optimizer | None, epoch: int, arrays: dict[str, np.ndarray]) -> None:
        """Go on from where another training stood: with all that its `state` had."""
        if optimizer is not None:
            self.begin(optimizer)
        self.state.epoch = epoch
        self.state.restore(arrays)


def _check_dtype(dtype: DTypeLike) -> np.dtype:
    with suppress(TypeError):  # NumPy's answer to what is no dtype; and None is float64 to it
        checked = np.dtype(dtype)
        if dtype is not None and checked in (FLOAT32, FLOAT64):
            return checked
    raise ValueError(f"dtype must be 'float32' or 'float64', got {dtype!r}")


def _check_scale(input_scale: float) -> float:
    is_number = isinstance(input_scale, (int, float, np.number))
    if not (is_number and np.isfinite(input_scale) and input_scale):
        raise ValueError(f"input_scale must be a finite number other than 0, got {input_scale!r}")
    return float(input_scale)
