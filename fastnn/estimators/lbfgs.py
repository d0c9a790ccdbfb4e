"""The solver lbfgs: SciPy's L-BFGS-B over theta, on the network's loss and gradient of all rows at once."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING

import numpy as np
import scipy.optimize
from sklearn.utils.optimize import _check_optimize_result

from fastnn.data import check_rows

if TYPE_CHECKING:
    from fastnn.estimators.base import MultilayerPerceptron


def fit_lbfgs(
    estimator: MultilayerPerceptron,
    X: np.ndarray,
    targets: np.ndarray,
    sample_weight: np.ndarray | None,
) -> None:
    """Minimise the loss plus ½ alpha Σ W² / n from where theta is.

    Source: Byrd, Lu, Nocedal and Zhu, "A limited memory algorithm for bound constrained optimization", 1995.
    """
    network = copy(estimator.network_)  # with it goes its program, whose buffers are for all rows
    row_weight, alpha = estimator._weighting(sample_weight, len(X))
    rows = check_rows(X, targets, row_weight, network.loss_function, network.input_shape)
    penalty = alpha / len(X)
    is_weight = np.concatenate(
        [np.full(each.size, name[0] == "W") for name, each in network.parameters.items()]
    )

    def loss_and_gradient(theta: np.ndarray) -> tuple[float, np.ndarray]:
        network.theta[...] = theta
        loss, gradient = network.loss_and_gradient(rows)
        weights = theta * is_weight
        return loss + penalty / 2 * (weights @ weights), gradient + penalty * weights

    result = scipy.optimize.minimize(
        loss_and_gradient,
        network.theta.copy(),
        method="L-BFGS-B",
        jac=True,
        options={"maxfun": estimator.max_fun, "maxiter": estimator.max_iter, "gtol": estimator.tol},
    )
    estimator.n_iter_ = _check_optimize_result("lbfgs", result, estimator.max_iter)
    estimator.loss_ = result.fun * estimator._loss_scale
    estimator.network_.theta[...] = result.x
