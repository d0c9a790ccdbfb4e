"""Training steps and epochs, through each library's own training loop."""

from __future__ import annotations

from bench.case import Case
from bench.problems.networks import LENET_5, cnn_32_64, dense
from bench.problems.training import Epoch, Training

# The number of batches keeps a call of the fastest peer long against what a call itself costs.
_STEPS = (
    Training(dense(30, 16, 8, 1), 32, "sgd", batches=100, epochs=10),
    Training(dense(30, 16, 8, 1), 1, "sgd", batches=2000, epochs=2),
    Training(dense(64, 32, 32, 10), 64, "adam", batches=100, epochs=5),
    Training(dense(784, 128, 64, 10), 128, "adam", batches=100),
    Training(dense(784, 512, 512, 10), 256, "adam", batches=20),
    Training(LENET_5, 64, "adam", batches=20),
    Training(cnn_32_64(), 64, "adam", batches=10),
)


def _name(problem: Training) -> str:
    return f"training/{problem.network.name}/{problem.optimizer}/B={problem.batch}"


CASES: tuple[Case, ...] = (
    *(Case(_name(problem), problem, quick=True) for problem in _STEPS),
    Case("epoch/CNN-32-64/12000-images", Epoch(cnn_32_64(), 64, 12_000)),
    Case("epoch/784-128-64-10/60000-images", Epoch(dense(784, 128, 64, 10), 128, 60_000)),
    Case("epoch/30-16-8-1/569-rows", Epoch(dense(30, 16, 8, 1), 32, 569), quick=True),
)
