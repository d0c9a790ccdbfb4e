"""The programs of one network, compiled when they are first asked for."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

import numpy as np

from fastnn.backend import get_backend
from fastnn.compiler import Purpose, compile_program
from fastnn.losses import Loss
from fastnn.memory import views
from fastnn.plan import Plan
from fastnn.program import Program
from fastnn.state import State

# Enough for the batch sizes that a service or a training goes through, and their last batches.
_MAX_PROGRAMS = 32


class Programs:
    """A cache by rows, purpose and backend. A new program may drop the one asked for longest ago."""

    def __init__(self, plan: Plan, loss: Loss, state: State, when_dropped: Callable[[], None]) -> None:
        """`when_dropped` is called when a program leaves the cache."""
        self._plan = plan
        self._loss = loss
        self._state = state
        self._when_dropped = when_dropped
        self._lock = threading.Lock()
        self._programs: OrderedDict[tuple[int, Purpose, str], Program] = OrderedDict()

    def get(self, rows: int, purpose: Purpose) -> Program:
        """The program for batches of `rows` rows in the current backend."""
        key = (rows, purpose, get_backend())
        with self._lock:
            program = self._programs.get(key)
            if program is None:
                shared = self._shared(purpose)
                program = compile_program(self._plan, self._loss, rows, purpose, shared)
                self._programs[key] = program
                if len(self._programs) > _MAX_PROGRAMS:
                    self._programs.popitem(last=False)
                    self._when_dropped()
            self._programs.move_to_end(key)
            return program

    def drop_updates(self) -> None:
        """Forget the training steps, which hold the vectors of an optimizer that is gone."""
        with self._lock:
            for key in [key for key in self._programs if key[1].update is not None]:
                del self._programs[key]

    def _shared(self, purpose: Purpose) -> dict[str, np.ndarray]:
        """The arrays of the state that a program works on; it has buffers of its own for all others.

        A training step without the update must leave no trace: its gradients and statistics are its own.
        """
        state = self._state
        shared = {"theta": state.theta, **state.parameters}
        if purpose.update is not None:
            shared |= {"gradient": state.gradient, **state.gradients, **state.optimizer_vectors}
            for vector, array in state.optimizer_vectors.items():
                shapes = {f"{vector}_{name}": each.shape for name, each in state.parameters.items()}
                shared |= views(array, shapes)
            shared["step"] = state.step
        if purpose.update is not None or not purpose.training:
            shared |= state.statistics
        return shared
