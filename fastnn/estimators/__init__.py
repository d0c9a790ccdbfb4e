"""scikit-learn's MLPClassifier and MLPRegressor, parameter for parameter, trained by a fastnn Network.

Needs scikit-learn (the extra `sklearn`). `network_` is the trained network: to look at, to plot, to save.

What differs from scikit-learn's; in all else the tests hold the two to be equal:
- Adam's ε is added to √(v / (1 − β2^t)), as in the paper's algorithm 1. scikit-learn adds it to √v, as its
  section 2 does; that ε acts as ours of ε / √(1 − β2^t), in the first steps up to 30 times as large.
- The rows' order is drawn from `random_state`, but isn't scikit-learn's. The first weights are, and so are
  the rows that early stopping holds out.
- sample_weight is divided by its mean over all rows, not by its sum over each batch, so that a row counts as
  much in whichever batch it is. In a batch of all rows that is the same. It must not be negative.
- The reported loss of several outputs of a regression is the mean over them, as there, but of the penalty as
  well: apart from that factor the gradient is the loss's own, and so lbfgs minimises what it reports.
- Probabilities of 0 and 1 aren't clipped in the loss.
- `momentum` must be below 1; there is no `loss="poisson"`; lbfgs prints nothing.
- `coefs_` and `intercepts_` are tuples of views into theta: write `coefs_[0][...] = weights`.
- Sparse X is made dense as a whole, and so must fit into memory.
"""

from __future__ import annotations

try:
    import sklearn  # noqa: F401
except ImportError as error:
    raise ImportError(
        "fastnn.estimators needs scikit-learn, which fastnn's extra `sklearn` installs"
    ) from error

from fastnn.estimators.classifier import MLPClassifier
from fastnn.estimators.regressor import MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor"]
