"""Callbacks: what runs between the epochs, or the batches, of a training."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn.arguments import real_number, whole_number

if TYPE_CHECKING:
    from fastnn.network import Network

Logs = dict[str, float]


class Callback:
    """Override what you need. A training without an `on_batch_end` runs each epoch as one call."""

    def on_train_begin(self, network: Network, epochs: int, metrics: tuple[str, ...]) -> None:
        """Before the first of at most `epochs` epochs; `metrics` are the names in every epoch's logs."""

    def on_batch_end(self, network: Network, step: int, logs: Logs) -> None:
        """After the network's training step number `step` (from 1); logs has the batch's "loss"."""

    def on_epoch_end(self, network: Network, epoch: int, logs: Logs) -> bool | None:
        """After epoch number `epoch` of this training (from 1). Return True to end it here."""

    def on_train_end(self, network: Network) -> None:
        """After the last epoch, however the training ended."""


class EarlyStopping(Callback):
    """Ends the training when `monitor` hasn't improved for `patience` epochs, and restores the best weights.

    An improvement is a change by more than `min_delta`: downwards, or upwards for an accuracy. The best
    epoch's parameters and batch-norm statistics come back in any case; the optimizer's vectors don't.
    Source: Prechelt, "Early stopping - but when?", 1998.
    """

    def __init__(self, patience: int = 10, min_delta: float = 0.0, monitor: str = "validation_loss") -> None:
        self.patience = whole_number("patience", patience, 1)
        self.min_delta = real_number("min_delta", min_delta)
        self.monitor = monitor
        self.best_epoch = 0
        self.best = np.inf
        self._weights: dict[str, np.ndarray] = {}

    def on_train_begin(self, network: Network, epochs: int, metrics: tuple[str, ...]) -> None:
        if self.monitor not in metrics:
            known = ", ".join(map(repr, metrics))
            raise ValueError(f"monitor must be one of this training's {known}, got {self.monitor!r}")
        self.best_epoch = 0
        self.best = -np.inf if self._upwards else np.inf
        self._weights = {}

    def on_epoch_end(self, network: Network, epoch: int, logs: Logs) -> bool:
        value = logs[self.monitor]
        gain = value - self.best if self._upwards else self.best - value
        if gain > self.min_delta or not self._weights:
            self.best_epoch, self.best, self._weights = epoch, value, network.copy_weights()
        return epoch - self.best_epoch >= self.patience

    def on_train_end(self, network: Network) -> None:
        if self._weights:
            network.restore_weights(self._weights)

    @property
    def _upwards(self) -> bool:
        return self.monitor.endswith("accuracy")


def check_callbacks(callbacks: Iterable[Callback]) -> tuple[Callback, ...]:
    checked = (callbacks,) if isinstance(callbacks, Callback) else tuple(callbacks)
    for callback in checked:
        if not isinstance(callback, Callback):
            raise TypeError(f"callbacks must hold instances of Callback, got {callback!r}")
    return checked


def overrides(callback: Callback, method: str) -> bool:
    own: Any = getattr(type(callback), method)
    return own is not getattr(Callback, method)
