"""The estimators against scikit-learn's own: from equal weights, equal losses, equal weights after it."""

import numpy as np
import pytest
from compare import assert_close

import fastnn as fn

pytest.importorskip("sklearn", reason="scikit-learn isn't installed")
from sklearn.datasets import (
    load_breast_cancer,
    load_digits,
    make_multilabel_classification,
    make_regression,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings(f"ignore::{ConvergenceWarning.__module__}.ConvergenceWarning")

ROWS = 300  # 64 a batch: four batches and one of 44


def binary():
    x, y = load_breast_cancer(return_X_y=True)
    return ((x - x.mean(axis=0)) / x.std(axis=0))[:ROWS], np.array(["malignant", "benign"])[y[:ROWS]]


def multiclass():
    x, y = load_digits(return_X_y=True)
    return x[:ROWS] / 16, y[:ROWS]


def multilabel():
    x, y = make_multilabel_classification(ROWS, 20, n_classes=4, random_state=0)
    return x / 10, y


def regression(outputs=1):
    x, y = make_regression(ROWS, 10, n_targets=outputs, random_state=0)
    return x, y / 100


CLASSIFICATION = (MLPClassifier, "MLPClassifier")
REGRESSION = (MLPRegressor, "MLPRegressor")
TASKS = {
    "binary": (*CLASSIFICATION, binary),
    "multiclass": (*CLASSIFICATION, multiclass),
    "multilabel": (*CLASSIFICATION, multilabel),
    "regression": (*REGRESSION, regression),
}
THREE_OUTPUTS = (*REGRESSION, lambda: regression(outputs=3))
SOLVERS = {
    "SGD": {"solver": "sgd", "momentum": 0},
    "momentum": {"solver": "sgd", "nesterovs_momentum": False},
    "Nesterov": {"solver": "sgd"},
    "inverse scaling": {"solver": "sgd", "learning_rate": "invscaling", "learning_rate_init": 0.1},
    "adaptive": {"solver": "sgd", "learning_rate": "adaptive", "tol": 0.1, "n_iter_no_change": 1},
    # ε is added elsewhere (as fastnn.estimators says): without it the rest is equal.
    "Adam": {"solver": "adam", "epsilon": 1e-15},
    "lbfgs": {"solver": "lbfgs", "max_iter": 15},
}
SETTINGS = {
    "hidden_layer_sizes": (12, 7),
    "alpha": 0.3,
    "batch_size": 64,
    "learning_rate_init": 0.01,
    "max_iter": 12,
    "shuffle": False,
    "random_state": 0,
}
TOLERANCE = {"SGD": 1e-12, "Adam": 1e-8, "lbfgs": 1e-8}


def tolerance(solver):
    return TOLERANCE.get(solver, TOLERANCE["SGD"])


def both(task, **settings):
    """scikit-learn's estimator, ours, and the data."""
    theirs, ours, data = TASKS.get(task, THREE_OUTPUTS)
    settings = SETTINGS | settings
    return theirs(**settings), getattr(fn.estimators, ours)(**settings), *data()


def assert_same_weights(ours, theirs, tolerance):
    assert len(ours.coefs_) == len(theirs.coefs_)
    for layer in range(len(theirs.coefs_)):
        assert_close(ours.coefs_[layer], theirs.coefs_[layer], tolerance, f"coefs_[{layer}]")
        assert_close(ours.intercepts_[layer], theirs.intercepts_[layer], tolerance, f"intercepts_[{layer}]")


def assert_same_answers(ours, theirs, x, tolerance):
    if hasattr(theirs, "predict_proba"):
        assert (ours.predict(x) == theirs.predict(x)).all()
        for method in ("predict_proba", "predict_log_proba"):
            assert_close(getattr(ours, method)(x), getattr(theirs, method)(x), tolerance, method)
        assert (np.asarray(ours.classes_) == theirs.classes_).all()
    else:
        assert_close(ours.predict(x), theirs.predict(x), tolerance, "predict")


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("solver", SOLVERS)
def test_training_is_scikit_learns(task, solver):
    theirs, ours, x, y = both(task, activation="tanh", **SOLVERS[solver])
    theirs.fit(x, y)
    ours.fit(x, y)
    assert_same_weights(ours, theirs, tolerance(solver))
    assert ours.loss_ == pytest.approx(theirs.loss_, rel=tolerance(solver))
    if solver != "lbfgs":
        assert len(ours.loss_curve_) == 12
        assert ours.loss_curve_ == pytest.approx(theirs.loss_curve_, rel=tolerance(solver))
        assert ours.best_loss_ == pytest.approx(theirs.best_loss_, rel=tolerance(solver))
        assert theirs.loss_curve_[-1] < theirs.loss_curve_[0], "nothing was learned"
    assert_same_answers(ours, theirs, x, tolerance(solver))
    assert ours.score(x, y) == pytest.approx(theirs.score(x, y), abs=tolerance(solver))
    for name in ("n_iter_", "t_", "n_layers_", "n_outputs_", "out_activation_", "n_features_in_"):
        assert getattr(ours, name) == getattr(theirs, name), name


@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
@pytest.mark.parametrize("hidden_layer_sizes", [(), 9, (6, 5, 4)])
def test_every_activation_and_depth(activation, hidden_layer_sizes):
    settings = {"solver": "sgd", "activation": activation, "hidden_layer_sizes": hidden_layer_sizes}
    theirs, ours, x, y = both("multiclass", **settings)
    assert_same_weights(ours.fit(x, y), theirs.fit(x, y), 1e-12)
    assert ours.loss_curve_ == pytest.approx(theirs.loss_curve_, rel=1e-12)


@pytest.mark.parametrize("solver", ["SGD", "Nesterov", "Adam"])
def test_copied_weights(solver):
    """Of other weights than a random_state's: what is written into coefs_ is what partial_fit starts from."""
    theirs, ours, x, y = both("binary", **SOLVERS[solver])
    generator = np.random.default_rng(1)
    for each in (theirs, ours):
        each.set_params(batch_size="auto", alpha=0).partial_fit(x[:1], y[:1], classes=np.unique(y))
        each.set_params(batch_size=64, alpha=0.3)  # which don't make the optimizer start afresh
    for layer, (coef, intercept) in enumerate(zip(theirs.coefs_, theirs.intercepts_, strict=True)):
        coef[...] = generator.normal(0, 0.3, coef.shape)
        intercept[...] = generator.normal(0, 0.3, intercept.shape)
        ours.coefs_[layer][...] = coef
        ours.intercepts_[layer][...] = intercept
    assert_same_answers(ours, theirs, x, 1e-12)
    for _ in range(3):
        theirs.partial_fit(x, y)
        ours.partial_fit(x, y)
    assert_same_weights(ours, theirs, tolerance(solver))
    assert ours.loss_curve_ == pytest.approx(theirs.loss_curve_, rel=tolerance(solver))
    assert ours.t_ == theirs.t_ == 3 * ROWS + 1


def test_adam_s_epsilon():
    """In one step from zeros: lr g / (|g| + ε) here, lr g / (|g| + ε / √(1 − β2)) there."""
    theirs, ours, x, y = both("regression", solver="adam", epsilon=0.01, alpha=0, batch_size=ROWS, max_iter=1)
    descent = MLPRegressor(**theirs.get_params() | {"solver": "sgd", "momentum": 0})
    plain = descent.fit(x, y).coefs_[0]
    fresh = descent.set_params(learning_rate_init=1e-300).fit(x, y).coefs_[0]
    gradient = (fresh - plain) / SETTINGS["learning_rate_init"]
    for estimator, epsilon in ((ours, 0.01), (theirs, 0.01 / np.sqrt(1 - 0.999))):
        step = (fresh - estimator.fit(x, y).coefs_[0]) / SETTINGS["learning_rate_init"]
        assert_close(step, gradient / (np.abs(gradient) + epsilon), 1e-9)


def test_adam_as_it_is_by_default():
    """ε = 1e-8 leaves its mark where gradients are small: a tenth of a percent of the weights at most."""
    theirs, ours, x, y = both("binary", solver="adam")
    assert_same_weights(ours.fit(x, y), theirs.fit(x, y), 1e-3)
    assert ours.loss_curve_ == pytest.approx(theirs.loss_curve_, rel=1e-5)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("solver", ["Nesterov", "Adam"])
@pytest.mark.parametrize("tol", [0.0, 0.03])
def test_early_stopping(task, solver, tol):
    """The same rows are held out, the same scores come out, and the same weights are the best."""
    settings = {"early_stopping": True, "n_iter_no_change": 3, "max_iter": 40, "alpha": 0.01, "tol": tol}
    theirs, ours, x, y = both(task, **SOLVERS[solver] | settings, activation="tanh")
    theirs.fit(x, y)
    ours.fit(x, y)
    assert ours.n_iter_ == theirs.n_iter_
    assert ours.validation_scores_ == pytest.approx(theirs.validation_scores_, rel=tolerance(solver))
    assert ours.best_validation_score_ == pytest.approx(theirs.best_validation_score_, rel=tolerance(solver))
    assert ours.best_loss_ is theirs.best_loss_ is None
    assert_same_weights(ours, theirs, 100 * tolerance(solver))


@pytest.mark.parametrize("solver", ["SGD", "adaptive", "Adam"])
def test_the_end_comes_in_the_same_epoch(solver, capsys):
    settings = {"tol": 0.01, "n_iter_no_change": 2, "max_iter": 500, "verbose": True}
    theirs, ours, x, y = both("binary", **SOLVERS[solver] | settings)
    theirs.fit(x, y)
    expected = capsys.readouterr().out
    ours.fit(x, y)
    assert ours.n_iter_ == theirs.n_iter_ < 500
    assert capsys.readouterr().out == expected


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("solver", ["Nesterov", "Adam", "lbfgs"])
def test_sample_weight_of_whole_batches(task, solver):
    theirs, ours, x, y = both(task, **SOLVERS[solver] | {"batch_size": ROWS}, activation="tanh")
    weight = np.random.default_rng(0).integers(0, 4, ROWS)
    theirs.fit(x, y, sample_weight=weight)
    ours.fit(x, y, sample_weight=weight)
    assert_same_weights(ours, theirs, tolerance(solver))
    assert ours.loss_ == pytest.approx(theirs.loss_, rel=tolerance(solver))


def test_sample_weight_of_batches_with_equal_sums():
    """Where every batch has the weights' mean, its sum says the same: and alpha's share of it too."""
    theirs, ours, x, y = both("multiclass", solver="sgd")
    weight = np.tile([0.5, 2.0, 1.0, 0.0], ROWS // 4)
    theirs.fit(x, y, sample_weight=weight)
    ours.fit(x, y, sample_weight=weight)
    assert_same_weights(ours, theirs, 1e-12)
    assert ours.loss_curve_ == pytest.approx(theirs.loss_curve_, rel=1e-12)


def test_sample_weight_and_early_stopping():
    theirs, ours, x, y = both("binary", solver="sgd", early_stopping=True, batch_size=ROWS)
    weight = np.random.default_rng(0).integers(0, 4, ROWS)
    with pytest.warns(UserWarning, match="It is going to be clipped"):
        theirs.fit(x, y, sample_weight=weight)
    with pytest.warns(UserWarning, match="It is going to be clipped"):
        ours.fit(x, y, sample_weight=weight)
    assert ours.validation_scores_ == pytest.approx(theirs.validation_scores_, rel=1e-12)
    assert_same_weights(ours, theirs, 1e-12)


@pytest.mark.parametrize("solver", ["Nesterov", "Adam"])
def test_several_outputs(solver):
    """The weights are scikit-learn's with alpha; the reported loss is it where there is no penalty."""
    theirs, ours, x, y = both("three outputs", **SOLVERS[solver], activation="tanh")
    assert_same_weights(ours.fit(x, y), theirs.fit(x, y), tolerance(solver))
    assert_same_answers(ours, theirs, x, tolerance(solver))
    theirs, ours, x, y = both("three outputs", **SOLVERS[solver], activation="tanh")
    for each in (theirs, ours):
        each.set_params(alpha=0).fit(x, y)
    assert ours.loss_curve_ == pytest.approx(theirs.loss_curve_, rel=tolerance(solver))


def test_lbfgs_of_several_outputs():
    """It minimises ½ Σ error² / n + ½ alpha Σ W² / n, of which scikit-learn has the gradient too."""
    settings = {"solver": "lbfgs", "activation": "tanh", "max_iter": 3000, "tol": 1e-7, "max_fun": 10**6}
    _, ours, x, y = both("three outputs", **settings, hidden_layer_sizes=(4,), warm_start=True)
    for _ in range(2):  # it may first end in a flat valley, where the loss hardly falls
        ours.fit(x, y)
    network = ours.network_
    gradients = network.gradients(x, y, np.full(ROWS, 3 / 2))
    for name, weight in network.parameters.items():
        gradient = gradients[name] + (0.3 / ROWS * weight if name[0] == "W" else 0)
        assert np.abs(gradient).max() < 1e-4, name
    penalty = 0.3 / 2 / ROWS * sum((coef**2).sum() for coef in ours.coefs_)
    errors = ((ours.predict(x) - y) ** 2).sum() / 2 / ROWS
    assert ours.loss_ == pytest.approx((errors + penalty) / 3, rel=1e-12)


def test_warm_start():
    theirs, ours, x, y = both("multiclass", solver="sgd", warm_start=True)
    for _ in range(3):
        theirs.fit(x, y)
        ours.fit(x, y)
    assert_same_weights(ours, theirs, 1e-12)
    assert ours.loss_curve_ == pytest.approx(theirs.loss_curve_, rel=1e-12)
    assert len(ours.loss_curve_) == 36
    assert ours.n_iter_ == 12
    assert ours.t_ == theirs.t_


@pytest.mark.parametrize(("load", "rate"), [(load_breast_cancer, 0.001), (load_digits, 0.003)])
def test_shuffled_and_in_float32(load, rate):
    """Other orders and less precision: on rows not seen within 1.5 % of scikit-learn's accuracy."""
    x, y = load(return_X_y=True)
    x = ((x - x.mean(axis=0)) / (x.std(axis=0) + 1e-3)).astype(np.float32)
    train, test = slice(0, len(x) * 3 // 4), slice(len(x) * 3 // 4, None)
    theirs, ours = (
        estimator((32,), learning_rate_init=rate, max_iter=60, random_state=0).fit(x[train], y[train])
        for estimator in (MLPClassifier, fn.estimators.MLPClassifier)
    )
    assert ours.network_.dtype == ours.predict_proba(x[test]).dtype == np.float32
    assert theirs.score(x[test], y[test]) > 0.9
    assert ours.score(x[test], y[test]) > theirs.score(x[test], y[test]) - 0.015
