"""MLPRegressor: numbers, with the squared error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import RegressorMixin, _fit_context
from sklearn.metrics import r2_score
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.metaestimators import available_if

from fastnn.estimators.base import MultilayerPerceptron


class MLPRegressor(RegressorMixin, MultilayerPerceptron):  # type: ignore[misc] # it has no types
    __doc__ = f"""scikit-learn's MLPRegressor on a fastnn Network; `fastnn.estimators` says what differs.

    A row's loss is "squared_error", ½ Σ (A − Y)² over the outputs. scikit-learn's other one, "poisson", is a
    ValueError: it needs an exponential as the last activation, which a Network hasn't.

    {MultilayerPerceptron.__doc__}"""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **MultilayerPerceptron._parameter_constraints,
        "loss": [StrOptions({"squared_error"})],
    }
    _network_loss = "mse"

    def __init__(
        self,
        loss: str = "squared_error",
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
        super().__init__(
            hidden_layer_sizes,
            activation,
            solver=solver,
            alpha=alpha,
            batch_size=batch_size,
            learning_rate=learning_rate,
            learning_rate_init=learning_rate_init,
            power_t=power_t,
            max_iter=max_iter,
            shuffle=shuffle,
            random_state=random_state,
            tol=tol,
            verbose=verbose,
            warm_start=warm_start,
            momentum=momentum,
            nesterovs_momentum=nesterovs_momentum,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            beta_1=beta_1,
            beta_2=beta_2,
            epsilon=epsilon,
            n_iter_no_change=n_iter_no_change,
            max_fun=max_fun,
        )
        self.loss = loss

    @property
    def _row_scale(self) -> float:
        """The network's loss is the mean of (A − Y)² over its outputs."""
        return self.n_outputs_ / 2

    @property
    def _loss_scale(self) -> float:
        return 1 / self.n_outputs_

    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    def fit(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> MLPRegressor:
        """Train on rows X (n, features), dense or sparse, with targets y, (n,) or (n, outputs).

        Raises:
            ValueError: an argument doesn't fit, or the weights came out infinite or NaN.

        Warns:
            ConvergenceWarning: max_iter came first.
        """
        self._fit(X, y, sample_weight)
        return self

    @available_if(MultilayerPerceptron._is_stochastic)  # type: ignore[untyped-decorator]
    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    def partial_fit(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> MLPRegressor:
        """One epoch over the rows."""
        self._fit(X, y, sample_weight, incremental=True)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """The network's output, (n,) or (n, outputs)."""
        return self._answers(self._checked_inputs(X))

    def _targets(self, y: np.ndarray, first: bool, incremental: bool) -> np.ndarray:
        if first:
            self.n_outputs_ = 1 if y.ndim == 1 else y.shape[1]
            self.out_activation_ = "identity"
        return y

    def _answers(self, X: np.ndarray) -> np.ndarray:
        output = self.network_.predict(X)
        return output.ravel() if self.n_outputs_ == 1 else output

    def _validation_score(self, X: np.ndarray, y: np.ndarray, sample_weight: np.ndarray | None) -> float:
        """Not a number where the output isn't."""
        answers = self._answers(X)
        return r2_score(y, answers, sample_weight=sample_weight) if np.isfinite(answers).all() else np.nan
