"""The solvers sgd and adam: one training of the network, that ends when the loss or a score says so."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split

from fastnn.callbacks import Callback, Logs
from fastnn.network import Network
from fastnn.optimizers import SGD, Adam, Optimizer

if TYPE_CHECKING:
    from fastnn.estimators.base import MultilayerPerceptron

_AUTO_BATCH = 200
_LEAST_ADAPTIVE_RATE = 1e-6


def fit_stochastic(
    estimator: MultilayerPerceptron,
    X: np.ndarray,
    targets: np.ndarray,
    y: np.ndarray,
    sample_weight: np.ndarray | None,
    random: np.random.RandomState,
    first: bool,
    incremental: bool,
) -> None:
    """Train the estimator's network: for an epoch if `incremental`, else until it is done.

    `targets` are y as the network takes them. `first` starts the estimator's records. A network that has an
    optimizer already goes on with it.
    """
    if estimator.early_stopping and incremental:
        raise ValueError("partial_fit does not support early_stopping=True")
    network, held_out = estimator.network_, None
    if first or getattr(estimator, "_watches_score", None) != estimator.early_stopping:
        _start_records(estimator)
    if estimator.early_stopping:
        train, test = _split(estimator, targets, random)
        held_out = (X[test], y[test], None if sample_weight is None else sample_weight[test])
        X, targets = X[train], targets[train]
        sample_weight = None if sample_weight is None else sample_weight[train]
    network.seed = int(random.randint(np.iinfo(np.int32).max))
    row_weight, alpha = estimator._weighting(sample_weight, len(X))
    if network.state.optimizer is None:
        optimizer = _optimizer(estimator, alpha)
    else:
        # alpha alone may have changed; the optimizer's vectors and its rate go on.
        network.state.optimizer = optimizer = replace(network.state.optimizer, l2=alpha)
    estimator.n_iter_ = 0
    progress = _Progress(estimator, len(X), held_out)
    try:
        network.fit(
            X,
            targets,
            epochs=1 if incremental else estimator.max_iter,
            batch_size=_batch_size(estimator.batch_size, len(X)),
            optimizer=optimizer,
            shuffle=bool(estimator.shuffle),
            sample_weight=row_weight,
            callbacks=[progress],
        )
    except KeyboardInterrupt:
        warnings.warn("Training interrupted by user.", stacklevel=2)
    if estimator.n_iter_ == estimator.max_iter and not (progress.done or incremental):
        warnings.warn(
            f"Stochastic Optimizer: Maximum iterations ({estimator.max_iter}) reached and the optimization "
            "hasn't converged yet.",
            ConvergenceWarning,
            stacklevel=2,
        )
    if estimator.early_stopping:
        network.theta[...] = estimator._best_theta


def _start_records(estimator: MultilayerPerceptron) -> None:
    watches = estimator._watches_score = bool(estimator.early_stopping)
    estimator.loss_curve_ = []
    estimator.best_loss_ = None if watches else np.inf
    estimator.validation_scores_ = [] if watches else None
    estimator.best_validation_score_ = -np.inf if watches else None
    estimator._best_theta = estimator.network_.theta.copy() if watches else None
    estimator._no_improvement_count = 0


def _split(
    estimator: MultilayerPerceptron, targets: np.ndarray, random: np.random.RandomState
) -> tuple[np.ndarray, np.ndarray]:
    """The rows to train on and those to hold out; of two classes in equal shares."""
    stratify = targets if estimator.out_activation_ == "logistic" and estimator.n_outputs_ == 1 else None
    train, test = train_test_split(
        np.arange(len(targets)),
        random_state=random,
        test_size=estimator.validation_fraction,
        stratify=stratify,
    )
    if len(test) < 2:
        raise ValueError(
            "The validation set is too small. Increase 'validation_fraction' or the size of your dataset."
        )
    return train, test


def _batch_size(batch_size: int | str, rows: int) -> int:
    if isinstance(batch_size, str):
        return min(_AUTO_BATCH, rows)
    if batch_size > rows:
        warnings.warn(
            "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped", stacklevel=2
        )
    return min(batch_size, rows)


def _optimizer(estimator: MultilayerPerceptron, alpha: float) -> Optimizer:
    rate = estimator.learning_rate_init
    if estimator.solver == "adam":
        return Adam(rate, estimator.beta_1, estimator.beta_2, estimator.epsilon, l2=alpha)
    momentum = estimator.momentum
    return SGD(rate, momentum, nesterov=bool(estimator.nesterovs_momentum and momentum), l2=alpha)


class _Progress(Callback):
    """Keeps the estimator's records after every epoch, changes the learning rate, and ends the training."""

    def __init__(
        self,
        estimator: MultilayerPerceptron,
        rows: int,
        held_out: tuple[np.ndarray, np.ndarray, np.ndarray | None] | None,
    ) -> None:
        self.estimator = estimator
        self.rows = rows
        self.held_out = held_out
        self.done = False

    def on_epoch_end(self, network: Network, epoch: int, logs: Logs) -> bool:
        estimator = self.estimator
        estimator.n_iter_ += 1
        estimator.t_ += self.rows
        estimator.loss_ = logs["loss"] * estimator._loss_scale
        estimator.loss_curve_.append(estimator.loss_)
        self._say(f"Iteration {estimator.n_iter_}, loss = {estimator.loss_:.8f}")
        improved = self._is_better_loss() if self.held_out is None else self._is_better_score(network)
        estimator._no_improvement_count = 0 if improved else estimator._no_improvement_count + 1
        if estimator.solver == "sgd" and estimator.learning_rate == "invscaling":
            _change_rate(network, estimator.learning_rate_init / (estimator.t_ + 1) ** estimator.power_t)
        if estimator._no_improvement_count > estimator.n_iter_no_change:
            self._stop_or_slow_down(network)
        return self.done

    def _is_better_loss(self) -> bool:
        estimator = self.estimator
        assert estimator.best_loss_ is not None
        improved = estimator.loss_ <= estimator.best_loss_ - estimator.tol
        estimator.best_loss_ = min(estimator.best_loss_, estimator.loss_)
        return improved

    def _is_better_score(self, network: Network) -> bool:
        estimator = self.estimator
        assert self.held_out is not None
        assert estimator.validation_scores_ is not None
        score, best = estimator._validation_score(*self.held_out), estimator.best_validation_score_
        assert best is not None
        estimator.validation_scores_.append(score)
        self._say(f"Validation score: {score:f}")
        if score > best:
            estimator.best_validation_score_ = score
            estimator._best_theta = network.theta.copy()
        return not score < best + estimator.tol

    def _stop_or_slow_down(self, network: Network) -> None:
        estimator = self.estimator
        watched = "Training loss" if self.held_out is None else "Validation score"
        message = (
            f"{watched} did not improve more than tol={estimator.tol:f} for "
            f"{estimator.n_iter_no_change} consecutive epochs."
        )
        optimizer = network.state.optimizer
        assert optimizer is not None
        assert not callable(optimizer.lr)
        if estimator.solver != "sgd" or estimator.learning_rate != "adaptive":
            self.done = True
            self._say(f"{message} Stopping.")
        elif optimizer.lr <= _LEAST_ADAPTIVE_RATE:
            self.done = True
            self._say(f"{message} Learning rate too small. Stopping.")
        else:
            _change_rate(network, optimizer.lr / 5)
            estimator._no_improvement_count = 0
            self._say(f"{message} Setting learning rate to {optimizer.lr / 5:f}")

    def _say(self, line: str) -> None:
        if self.estimator.verbose:
            print(line)


def _change_rate(network: Network, rate: float) -> None:
    """The SGD's next rate. scikit-learn's velocity is a sum of past steps, each with the rate of its time;
    ours one of gradients that today's rate multiplies: it is divided by what the rate is multiplied by."""
    optimizer = network.state.optimizer
    assert optimizer is not None
    assert not callable(optimizer.lr)
    for velocity in network.state.optimizer_vectors.values():
        velocity *= optimizer.lr / rate
    network.state.optimizer = replace(optimizer, lr=rate)
