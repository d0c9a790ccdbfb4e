"""scikit-learn's MLPClassifier: dense networks, predicted by predict_proba, trained by fit."""

from __future__ import annotations

import warnings
from functools import partial
from typing import ClassVar

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from bench.peers.peer import Peer
from bench.problems.inference import Inference, InferenceInputs
from bench.problems.networks import Network, Weights
from bench.problems.training import (
    ADAM,
    VERIFIED_STEPS,
    Epoch,
    Search,
    SearchInputs,
    Training,
    TrainingInputs,
    training_results,
)
from bench.task import Arrays, Task, Unsupported, named


class ScikitLearn(Peer):
    """Its gradients stay inside, so they are compared by the steps that they make. Its Adam adds ε before the
    bias correction (the end of section 2 of the paper), where the others add it after."""

    name = "scikit-learn"
    distribution = "scikit-learn"
    import_statement = "from sklearn.neural_network import MLPClassifier"
    cannot: ClassVar[dict[str, str]] = {"": "has whole models, no kernels"}

    slack = 20

    def inference(self, problem: Inference, inputs: InferenceInputs) -> Task:
        if problem.into:
            raise Unsupported("predict_proba has no output argument")
        _refuse_images(problem.network)
        model = _model(problem.network, problem.batch, "sgd", 0.1)
        _set(model, problem.network, inputs.weights)
        columns = slice(1, None) if problem.network.outputs == 1 else slice(None)
        return Task(
            model.predict_proba, [(x,) for x in inputs.x], lambda output: {"output": output[:, columns]}
        )

    def training(self, problem: Training, inputs: TrainingInputs) -> Task:
        _refuse_images(problem.network)
        model = _model(problem.network, problem.batch, problem.optimizer, problem.learning_rate)
        labels = inputs.y.astype(np.int64).ravel()

        def train() -> float:
            return model.fit(inputs.x, labels).loss_curve_[-1]

        def results() -> Arrays:
            return _results(problem, problem.optimizer, inputs, labels, VERIFIED_STEPS * problem.batch)

        begin = partial(_set, model, problem.network, inputs.weights)
        return Task(train, [()], named("loss"), problem.batches, begin, results)

    def epoch(self, problem: Epoch, inputs: TrainingInputs) -> Task:
        _refuse_images(problem.network)
        model = _model(problem.network, problem.batch, "adam", problem.learning_rate)
        labels = inputs.y.astype(np.int64).ravel()

        model.set_params(shuffle=True)

        def train() -> float:
            return model.fit(inputs.x, labels).loss_curve_[-1]

        def results() -> Arrays:
            return _results(problem, "adam", inputs, labels, problem.verified_rows)

        begin = partial(_set, model, problem.network, inputs.weights)
        return Task(train, [()], named("loss"), begin=begin, results=results)

    def search(self, problem: Search, inputs: SearchInputs) -> Task:
        from joblib import Parallel, delayed

        train = partial(_train_one, problem, inputs.x, inputs.y.astype(np.int64).ravel())
        pairs = list(zip(inputs.weights, inputs.learning_rates, strict=True))

        def search() -> np.ndarray:
            jobs = (delayed(train)(weights, rate) for weights, rate in pairs)
            return np.array(Parallel(n_jobs=self.threads)(jobs))

        return Task(search, [()], named("losses"))


def _refuse_images(network: Network) -> None:
    if not network.is_dense:
        raise Unsupported("has no convolution")


def _model(
    network: Network, batch: int, optimizer: str, learning_rate: float, epochs: int = 1
) -> MLPClassifier:
    """Each fit does `epochs` epochs from the weights that it finds, in the rows' order."""
    warnings.simplefilter("ignore", ConvergenceWarning)  # one epoch isn't meant to converge
    return MLPClassifier(
        network.hidden,
        solver=optimizer,
        alpha=0.0,
        batch_size=batch,
        learning_rate_init=learning_rate,
        max_iter=epochs,
        shuffle=False,
        warm_start=True,
        tol=0.0,
        n_iter_no_change=epochs + 1,
        momentum=0.0,
        nesterovs_momentum=False,
        beta_1=ADAM["beta1"],
        beta_2=ADAM["beta2"],
        epsilon=ADAM["eps"],
    )


def _set(model: MLPClassifier, network: Network, weights: Weights) -> None:
    """Put weights in: a first fit, of anything, makes the arrays, in the weights' dtype."""
    if not hasattr(model, "coefs_"):
        classes = max(network.outputs, 2)
        rows = max(model.batch_size, classes)
        x = np.zeros((rows, *network.input_shape), weights["W1"].dtype)
        model.fit(x, np.arange(rows) % classes)
    for number, (coefficients, intercepts) in enumerate(zip(model.coefs_, model.intercepts_, strict=True), 1):
        coefficients[...] = weights[f"W{number}"]
        intercepts[...] = weights[f"b{number}"]


def _results(
    problem: Training | Epoch, optimizer: str, inputs: TrainingInputs, labels: np.ndarray, rows: int
) -> Arrays:
    """What training on the first rows, in their order, gives."""
    model = _model(problem.network, problem.batch, optimizer, problem.learning_rate)
    _set(model, problem.network, inputs.weights)
    model.fit(inputs.x[:rows], labels[:rows])
    return training_results({}, model.loss_curve_[-1], inputs.weights, _weights(model))


def _weights(model: MLPClassifier) -> Weights:
    pairs = enumerate(zip(model.coefs_, model.intercepts_, strict=True), 1)
    return {name: array for number, (w, b) in pairs for name, array in ((f"W{number}", w), (f"b{number}", b))}


def _train_one(problem: Search, x: np.ndarray, y: np.ndarray, weights: Weights, rate: float) -> float:
    model = _model(problem.network, problem.batch, "sgd", rate, problem.epochs)
    _set(model, problem.network, weights)
    return model.fit(x, y).loss_curve_[-1]
