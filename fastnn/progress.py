"""A progress bar over the epochs: tqdm's where it is installed, else a line an epoch on stderr."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from fastnn.callbacks import Callback, Logs

if TYPE_CHECKING:
    from fastnn.network import Network


class ProgressBar(Callback):
    def __init__(self) -> None:
        self._epochs = 0
        self._bar: Any = None

    def on_train_begin(self, network: Network, epochs: int, metrics: tuple[str, ...]) -> None:
        self._epochs = epochs
        try:
            from tqdm.auto import tqdm
        except ImportError:
            return
        self._bar = tqdm(total=epochs, unit="epoch")

    def on_epoch_end(self, network: Network, epoch: int, logs: Logs) -> None:
        names = [name for name in logs if name.endswith(("loss", "accuracy"))]
        shown = ", ".join(f"{name.replace('_', ' ')} {logs[name]:.4f}" for name in names)
        if self._bar is None:
            print(f"epoch {epoch}/{self._epochs}: {shown}", file=sys.stderr)
            return
        self._bar.set_postfix_str(shown, refresh=False)
        self._bar.update()

    def on_train_end(self, network: Network) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
