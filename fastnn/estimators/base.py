"""What the classifier and the regressor share: the parameters, their network, and the course of a fit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from scipy.sparse import issparse
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, column_or_1d, validate_data

from fastnn.estimators.lbfgs import fit_lbfgs
from fastnn.estimators.stochastic import fit_stochastic
from fastnn.layers import Dense, Layer, ReLU, Sigmoid, Softmax, Tanh
from fastnn.network import Network

_STOCHASTIC = ("sgd", "adam")
_LAYERS: dict[str, list[Layer]] = {
    "identity": [],
    "logistic": [Sigmoid()],
    "tanh": [Tanh()],
    "relu": [ReLU()],
    "softmax": [Softmax()],
}


class MultilayerPerceptron(BaseEstimator):  # type: ignore[misc] # it has no types
    """The base of MLPClassifier and MLPRegressor. Its parameters are scikit-learn's.

    The loss of a batch of n rows is mean loss + ½ alpha Σ W² / n, over the weights W and not the biases.

    Args:
        hidden_layer_sizes: the units of every hidden layer.
        activation: of the hidden layers, "identity", "logistic", "tanh" or "relu".
        solver: "adam" or "sgd", over batches; or "lbfgs", over all rows, always in float64.
        alpha: of the L2 penalty.
        batch_size: rows of a batch; "auto" is min(200, n).
        learning_rate: of sgd, "constant"; "invscaling", learning_rate_init / (t + 1)^power_t after t rows; or
            "adaptive", divided by 5 whenever the training would else end.
        learning_rate_init: the first learning rate of sgd and adam.
        power_t: see learning_rate.
        max_iter: most epochs, or iterations of lbfgs.
        shuffle: the rows anew before every epoch.
        random_state: seeds the first weights, the rows held out and their order.
        tol: the training ends when its loss, or validation score, was better by tol than the best for none of
            n_iter_no_change epochs; lbfgs, when no gradient is above it.
        verbose: print every epoch's loss.
        warm_start: `fit` goes on from the last fit's weights.
        momentum: of sgd, below 1.
        nesterovs_momentum: whether it is Nesterov's.
        early_stopping: hold out validation_fraction of the rows, watch their score, keep the best weights.
        validation_fraction: see early_stopping.
        beta_1, beta_2, epsilon: of adam.
        n_iter_no_change: see tol.
        max_fun: most losses that lbfgs computes.

    Attributes:
        network_: the `fastnn.Network`, float32 where X was that (and the solver not lbfgs), else float64.
        coefs_, intercepts_: views of its weights, (inputs, units), and biases, (units,), layer by layer.
        loss_, loss_curve_, best_loss_: the loss with its penalty: the last epoch's, every epoch's (over its
            batches, each before its update), and the least, None with early_stopping.
        validation_scores_, best_validation_score_: of every epoch and the best; None without early_stopping.
        n_iter_, t_: epochs or iterations of the last fit; rows seen, those of several epochs counted anew.
        n_layers_, n_outputs_, out_activation_: layers with the input; units and activation of the last.
        n_features_in_, feature_names_in_: as scikit-learn's.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [StrOptions({"identity", "logistic", "tanh", "relu"})],
        "solver": [StrOptions({"lbfgs", *_STOCHASTIC})],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "learning_rate": [StrOptions({"constant", "invscaling", "adaptive"})],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "power_t": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "shuffle": ["boolean"],
        "random_state": ["random_state"],
        "tol": [Interval(Real, 0, None, closed="left")],
        "verbose": ["verbose"],
        "warm_start": ["boolean"],
        "momentum": [Interval(Real, 0, 1, closed="left")],
        "nesterovs_momentum": ["boolean"],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="left")],
        "beta_1": [Interval(Real, 0, 1, closed="left")],
        "beta_2": [Interval(Real, 0, 1, closed="left")],
        "epsilon": [Interval(Real, 0, None, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), Options(Real, {np.inf})],
        "max_fun": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        hidden_layer_sizes: int | Sequence[int] = (100,),
        activation: str = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: int | np.random.RandomState | None = None,
        tol: float = 1e-4,
        verbose: bool = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.max_fun = max_fun

    # --- what the classifier and the regressor say ------------------------------------------------------

    network_: Network
    _network_loss: ClassVar[str]

    @property
    def _row_scale(self) -> float:
        """What makes the gradient of the network's loss that of scikit-learn's: a factor of every row."""
        raise NotImplementedError

    @property
    def _loss_scale(self) -> float:
        """What then makes the loss scikit-learn's."""
        return 1.0

    def _targets(self, y: Any, first: bool, incremental: bool) -> np.ndarray:
        """y as the network takes it; where `first`, set n_outputs_ and out_activation_."""
        raise NotImplementedError

    def _validation_score(self, X: np.ndarray, y: Any, sample_weight: np.ndarray | None) -> float:
        """`score` of rows held out."""
        raise NotImplementedError

    # --- the network ------------------------------------------------------------------------------------

    @property
    def coefs_(self) -> tuple[np.ndarray, ...]:
        return self._parameters("W")

    @property
    def intercepts_(self) -> tuple[np.ndarray, ...]:
        return self._parameters("b")

    def _parameters(self, letter: str) -> tuple[np.ndarray, ...]:
        if not hasattr(self, "network_"):
            raise AttributeError(f"this {type(self).__name__} has no weights yet: fit it first")
        return tuple(each for name, each in self.network_.parameters.items() if name[0] == letter)

    def _checked_inputs(self, X: Any) -> np.ndarray:
        check_is_fitted(self, "network_")
        return _dense(validate_data(self, X, accept_sparse=["csr", "csc"], reset=False))

    def _make_network(self, dtype: np.dtype) -> Network:
        sizes = self.hidden_layer_sizes
        units = list(sizes) if isinstance(sizes, Iterable) else [sizes]
        if any(size <= 0 for size in units):
            raise ValueError(f"hidden_layer_sizes must be > 0, got {units}.")
        layers = [layer for size in units for layer in (Dense(size), *_LAYERS[self.activation])]
        layers += [Dense(self.n_outputs_), *_LAYERS[self.out_activation_]]
        return Network(layers, self.n_features_in_, loss=self._network_loss, dtype=dtype)

    def _draw_parameters(self, network: Network, random: np.random.RandomState) -> None:
        """The weights and biases that scikit-learn starts from: U(−a, a) with a = √(6 / (inputs + units)), or
        √(2 / (inputs + units)) for activation "logistic" (Glorot and Bengio 2010, equation 16)."""
        factor = 2.0 if self.activation == "logistic" else 6.0
        parameters = iter(network.parameters.values())
        for weight, bias in zip(parameters, parameters, strict=True):
            bound = np.sqrt(factor / sum(weight.shape))
            weight[...] = random.uniform(-bound, bound, weight.shape)
            bias[...] = random.uniform(-bound, bound, bias.shape)

    # --- the course of a fit ----------------------------------------------------------------------------

    def _fit(self, X: Any, y: Any, sample_weight: Any, incremental: bool = False) -> None:
        first = not hasattr(self, "network_") or not (self.warm_start or incremental)
        X, y = validate_data(
            self,
            X,
            y,
            accept_sparse=["csr", "csc"],
            multi_output=True,
            y_numeric=self._network_loss == "mse",
            dtype=(np.float64, np.float32),
            reset=first,
        )
        X = _dense(X)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X, ensure_non_negative=True)
        targets = self._targets(y, first, incremental)
        random = check_random_state(self.random_state)
        if first or not incremental:
            self._begin(np.dtype(np.float64) if self.solver == "lbfgs" else X.dtype, first, random)
        if self.solver == "lbfgs":
            fit_lbfgs(self, X, targets, sample_weight)
        else:
            fit_stochastic(self, X, targets, y, sample_weight, random, first, incremental)
        if not np.isfinite(self.network_.theta).all():
            raise ValueError(
                "Solver produced non-finite parameter weights. The input data may contain large values and "
                "need to be preprocessed."
            )

    def _begin(self, dtype: np.dtype, first: bool, random: np.random.RandomState) -> None:
        """A new network, whose optimizer starts afresh, with the last one's weights but for the first."""
        network = self._make_network(dtype)
        if first:
            self._draw_parameters(network, random)
            self.n_layers_ = len(network.parameters) // 2 + 1
            self.t_ = 0
        elif network.theta.shape == self.network_.theta.shape:
            network.theta[...] = self.network_.theta
        else:
            raise ValueError("hidden_layer_sizes must be those of the last fit where warm_start is set")
        self.network_ = network

    def _weighting(self, sample_weight: np.ndarray | None, rows: int) -> tuple[np.ndarray | None, float]:
        """The rows' weights in the network's loss, and alpha: both by the mean of the caller's weights."""
        if sample_weight is None:
            return None if self._row_scale == 1 else np.full(rows, self._row_scale), float(self.alpha)
        mean = sample_weight.mean()
        return sample_weight / mean * self._row_scale, self.alpha / mean

    def _is_stochastic(self) -> bool:
        if self.solver not in _STOCHASTIC:
            raise AttributeError(
                f"partial_fit is only available for stochastic optimizers. {self.solver} is not stochastic."
            )
        return True

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def _dense(X: Any) -> np.ndarray:
    return X.toarray() if issparse(X) else X
