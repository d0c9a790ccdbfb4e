"""The estimators as scikit-learn's own tools see them: their signatures, its checks, its tools; errors."""

import inspect
import pickle
import subprocess
import sys

import numpy as np
import pytest
from compare import assert_close, assert_same_bits

from fastnn import training

pytest.importorskip("sklearn", reason="scikit-learn isn't installed")
import scipy.sparse
import sklearn.neural_network
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from fastnn.estimators import MLPClassifier, MLPRegressor

BOTH = pytest.mark.parametrize("estimator", [MLPClassifier, MLPRegressor])
unconverged = pytest.mark.filterwarnings(f"ignore::{ConvergenceWarning.__module__}.ConvergenceWarning")

X, Y = load_breast_cancer(return_X_y=True)
X = (X - X.mean(axis=0)) / X.std(axis=0)


def small(estimator=MLPClassifier, **settings):
    return estimator(**{"hidden_layer_sizes": (8,), "max_iter": 5, "random_state": 0} | settings)


def fitted(**settings):
    """A classifier after one epoch."""
    return small(**settings).partial_fit(X, Y, classes=[0, 1])


def names_and_defaults(function):
    return [(each.name, each.kind, each.default) for each in inspect.signature(function).parameters.values()]


@BOTH
@pytest.mark.parametrize(
    "method", ["__init__", "fit", "partial_fit", "predict", "predict_proba", "predict_log_proba", "score"]
)
def test_signatures_are_scikit_learns(estimator, method):
    theirs = getattr(sklearn.neural_network, estimator.__name__)
    assert hasattr(estimator, method) == hasattr(theirs, method)
    if hasattr(theirs, method):
        assert names_and_defaults(getattr(estimator, method)) == names_and_defaults(getattr(theirs, method))


@BOTH
def test_every_parameter_is_checked(estimator):
    theirs = getattr(sklearn.neural_network, estimator.__name__)
    assert (
        set(estimator._parameter_constraints) == set(estimator().get_params()) == set(theirs().get_params())
    )


@unconverged
@parametrize_with_checks([MLPClassifier(max_iter=100), MLPRegressor(max_iter=100)])
def test_scikit_learns_checks(estimator, check):
    check(estimator)


@unconverged
def test_in_a_pipeline_and_a_search():
    search = GridSearchCV(
        make_pipeline(StandardScaler(), small(max_iter=20, learning_rate_init=0.01)),
        {"mlpclassifier__alpha": [1e-4, 1e6], "mlpclassifier__activation": ["relu", "tanh"]},
    )
    search.fit(X, Y)
    assert search.best_params_["mlpclassifier__alpha"] == 1e-4
    assert search.best_score_ > 0.95
    assert search.cv_results_["mean_test_score"].min() < 0.7  # of so large an alpha


@unconverged
@BOTH
def test_clones_and_equal_seeds_give_equal_bits(estimator):
    first = small(estimator).fit(X, Y)
    again, other = clone(first).fit(X, Y), clone(first).set_params(random_state=1).fit(X, Y)
    assert_same_bits(again.network_.theta, first.network_.theta)
    assert (other.network_.theta != first.network_.theta).any()


@unconverged
def test_the_order_of_the_rows_is_the_random_states():
    estimator = small(warm_start=True, max_iter=1).fit(X, Y)
    start, thetas = estimator.network_.theta.copy(), []
    for settings in ({"random_state": 1}, {"random_state": 1}, {"random_state": 2}, {"shuffle": False}):
        estimator.network_.theta[...] = start
        estimator.set_params(**settings).fit(X, Y)
        thetas.append(estimator.network_.theta.copy())
    first, again, other, unshuffled = thetas
    assert_same_bits(again, first)
    assert (other != first).any()
    assert (unshuffled != other).any()


@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_a_pickled_estimator_goes_on(solver):
    estimator = fitted(solver=solver, learning_rate="invscaling")
    copy = pickle.loads(pickle.dumps(estimator))
    assert_same_bits(copy.predict_proba(X), estimator.predict_proba(X))
    for each in (estimator, copy):
        each.partial_fit(X, Y).partial_fit(X, Y)
    assert_same_bits(copy.network_.theta, estimator.network_.theta)
    assert copy.loss_curve_ == estimator.loss_curve_


@unconverged
@BOTH
def test_epochs_are_one_call_each(estimator, monkeypatch):
    monkeypatch.delattr(training, "_run_batches")
    calls = []
    run = training._WholeEpochs.run
    monkeypatch.setattr(training._WholeEpochs, "run", lambda self: calls.append(self) or run(self))
    small(estimator, batch_size=32).fit(X, Y)
    assert len(calls) == 5


@unconverged
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_sparse_rows_are_dense_ones(solver):
    dense = np.where(np.abs(X) > 1, X, 0)
    expected = small(solver=solver).fit(dense, Y)
    for form in (scipy.sparse.csr_matrix, scipy.sparse.csc_array):
        estimator = small(solver=solver).fit(form(dense), Y)
        assert_same_bits(estimator.network_.theta, expected.network_.theta)
        assert_same_bits(estimator.predict_proba(form(dense)), expected.predict_proba(dense))


@unconverged
def test_sparse_labels():
    labels = np.column_stack([Y, X[:, 0] > 0, X[:, 1] > 0]).astype(int)
    expected, estimator = small().fit(X, labels), small().fit(X, scipy.sparse.csr_matrix(labels))
    assert_same_bits(estimator.network_.theta, expected.network_.theta)
    assert (estimator.predict(X).toarray() == expected.predict(X)).all()


@unconverged
@BOTH
@pytest.mark.parametrize(
    ("solver", "given", "trained"),
    [("adam", "float32", "float32"), ("adam", "int64", "float64"), ("lbfgs", "float32", "float64")],
)
def test_dtypes(estimator, solver, given, trained):
    estimator = small(estimator, solver=solver).fit(X.astype(given), Y)
    assert estimator.coefs_[0].dtype == estimator.intercepts_[1].dtype == estimator.network_.dtype == trained


def test_weights_are_views():
    estimator = fitted()
    for each in (*estimator.coefs_, *estimator.intercepts_):
        each[...] = 0
    assert (estimator.predict_proba(X) == 0.5).all()
    with pytest.raises(TypeError, match="does not support item assignment"):
        estimator.coefs_[0] = np.zeros((30, 8))


def test_other_weights_of_rows_leave_the_optimizer_going():
    """Rows of weight 2 with an alpha of 1 are rows of weight 1 with an alpha of ½, also within a training."""
    plain, weighted = fitted(alpha=0.1), fitted(alpha=0.1)
    plain.set_params(alpha=0.5).partial_fit(X, Y)
    weighted.set_params(alpha=1.0).partial_fit(X, Y, sample_weight=np.full(len(X), 2.0))
    assert plain.network_.step_number == weighted.network_.step_number == 6
    assert_close(weighted.network_.theta, plain.network_.theta, 1e-12)


def test_an_end_before_convergence_is_a_warning():
    with pytest.warns(ConvergenceWarning, match=r"Maximum iterations \(5\) reached"):
        small().fit(X, Y)
    with pytest.warns(ConvergenceWarning, match=r"lbfgs failed to converge after 5 iteration\(s\)"):
        small(solver="lbfgs").fit(X, Y)


def test_ctrl_c_ends_the_training(monkeypatch):
    def interrupted(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(training._WholeEpochs, "run", interrupted)
    with pytest.warns(UserWarning, match="Training interrupted by user"):
        estimator = small().fit(X, Y)
    assert estimator.n_iter_ == 0
    assert estimator.predict(X).shape == Y.shape


@pytest.mark.filterwarnings("ignore:the loss turned:RuntimeWarning")
def test_a_training_that_diverges():
    with pytest.raises(ValueError, match="Solver produced non-finite parameter weights"):
        small(MLPRegressor, solver="sgd", learning_rate_init=1e200, activation="identity").fit(X, Y)


def test_records_start_anew_where_another_solver_or_score_is_watched():
    estimator = small(solver="lbfgs", warm_start=True)
    for settings in ({}, {"solver": "adam"}, {"early_stopping": True}, {"early_stopping": False}):
        with pytest.warns(ConvergenceWarning):
            estimator.set_params(**settings).fit(X, Y)
    assert len(estimator.loss_curve_) == 5
    assert estimator.validation_scores_ is None


ERRORS = {
    "poisson": (lambda: small(MLPRegressor, loss="poisson").fit(X, Y), "'loss' parameter.*Got 'poisson'"),
    "a momentum of 1": (lambda: small(momentum=1.0).fit(X, Y), r"'momentum' parameter.* 1.0\). Got 1.0"),
    "a negative alpha": (lambda: small(alpha=-1).fit(X, Y), "'alpha' parameter.*Got -1"),
    "no units": (lambda: small(hidden_layer_sizes=(3, 0)).fit(X, Y), "hidden_layer_sizes must be > 0, got"),
    "a negative weight": (lambda: small().fit(X, Y, -np.ones(len(X))), "Negative values in.*sample_weight"),
    "another class": (lambda: fitted().partial_fit(X, Y + 1), "`y` has classes not in"),
    "other classes": (
        lambda: fitted(warm_start=True).fit(X, Y + 1),
        "warm_start can only be used where `y` has the same classes",
    ),
    "other sizes": (
        lambda: fitted(warm_start=True).set_params(hidden_layer_sizes=(9,)).fit(X, Y),
        "hidden_layer_sizes must be those of the last fit",
    ),
    "no classes": (lambda: small().partial_fit(X, Y), "classes must be passed"),
    "parts held out": (lambda: fitted(early_stopping=True), "partial_fit does not support early_stopping"),
    "too little to hold out": (
        lambda: small(early_stopping=True, validation_fraction=0.1).fit(X[:8, :2], np.arange(8)),
        "The validation set is too small",
    ),
    "other features": (lambda: fitted().predict(X[:, 1:]), "X has 29 features, but MLP.* is expecting 30"),
    "not a number": (lambda: fitted().predict(np.full((1, 30), np.nan)), "Input X contains NaN"),
}  # fmt: skip


@pytest.mark.parametrize(("call", "message"), ERRORS.values(), ids=ERRORS)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@BOTH
def test_parts_of_an_lbfgs(estimator):
    with pytest.raises(AttributeError, match="partial_fit"):
        _ = small(estimator, solver="lbfgs").partial_fit


@BOTH
def test_before_a_fit(estimator):
    with pytest.raises(NotFittedError):
        small(estimator).predict(X)
    with pytest.raises(AttributeError, match="no weights yet"):
        _ = small(estimator).coefs_


def run(program):
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout


def test_fastnn_does_without_scikit_learn():
    there = "print('sklearn' in sys.modules)"
    assert run(f"import sys, fastnn; {there}; fastnn.estimators; {there}").split() == ["False", "True"]
    missing = """
import sys
sys.modules["sklearn"] = None
from fastnn import *
import fastnn as fn
try:
    fn.estimators
except ImportError as error:
    print(error)
"""
    assert "fastnn.estimators needs scikit-learn, which fastnn's extra `sklearn` installs" in run(missing)
