"""MLPClassifier: labels on one side, the network's probabilities on the other."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import ClassifierMixin, _fit_context
from sklearn.metrics import accuracy_score
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import _check_partial_fit_first_call, type_of_target, unique_labels

from fastnn.estimators.base import MultilayerPerceptron


class MLPClassifier(ClassifierMixin, MultilayerPerceptron):  # type: ignore[misc] # it has no types
    __doc__ = f"""scikit-learn's MLPClassifier on a fastnn Network; `fastnn.estimators` says what differs.

    Two classes and multilabel rows go through a sigmoid and log loss, summed over the labels; more classes
    through a softmax and log loss. classes_ are the labels in the order of predict_proba's columns.

    {MultilayerPerceptron.__doc__}"""

    _network_loss = "log_loss"

    @property
    def _row_scale(self) -> float:
        """The network's loss is the mean over its sigmoids."""
        return 1.0 if self.out_activation_ == "softmax" else self.n_outputs_

    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    def fit(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> MLPClassifier:
        """Train on rows X (n, features), dense or sparse, with labels y (n,), or (n, labels) of 0 and 1.

        Raises:
            ValueError: an argument doesn't fit, or the weights came out infinite or NaN.

        Warns:
            ConvergenceWarning: max_iter came first.
        """
        self._fit(X, y, sample_weight)
        return self

    @available_if(MultilayerPerceptron._is_stochastic)  # type: ignore[untyped-decorator]
    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    def partial_fit(
        self, X: Any, y: Any, sample_weight: ArrayLike | None = None, classes: ArrayLike | None = None
    ) -> MLPClassifier:
        """One epoch over the rows. The first call needs all `classes` that will ever come."""
        if _check_partial_fit_first_call(self, classes):
            labels = y if type_of_target(y).startswith("multilabel") else classes
            self._label_binarizer = LabelBinarizer().fit(labels)
        self._fit(X, y, sample_weight, incremental=True)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """The most probable class of every row (n,), or the labels of probability above ½ (n, labels)."""
        return self._answers(self._checked_inputs(X))

    def predict_proba(self, X: Any) -> np.ndarray:
        """The probability of every class, or label, (n, classes)."""
        inputs = self._checked_inputs(X)
        output = self.network_.predict(inputs)
        return np.hstack([1 - output, output]) if self.n_outputs_ == 1 else output

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """log predict_proba."""
        probabilities = self.predict_proba(X)
        return np.log(probabilities, out=probabilities)

    def _targets(self, y: Any, first: bool, incremental: bool) -> np.ndarray:
        if not hasattr(self, "classes_") or not (self.warm_start or incremental):
            self._label_binarizer = LabelBinarizer().fit(y)
            self.classes_ = self._label_binarizer.classes_
        else:
            self._check_classes(unique_labels(y))
        columns = self._label_binarizer.transform(y)
        is_multiclass = self._label_binarizer.y_type_ == "multiclass"
        if first:
            self.n_outputs_ = columns.shape[1]
            self.out_activation_ = "softmax" if is_multiclass else "logistic"
        return columns.argmax(axis=1) if is_multiclass else columns

    def _check_classes(self, classes: np.ndarray) -> None:
        if self.warm_start and set(classes) != set(self.classes_):
            raise ValueError(
                "warm_start can only be used where `y` has the same classes as in the previous call to fit. "
                f"Previously got {self.classes_}, `y` has {classes}"
            )
        if not set(classes) <= set(self.classes_):
            raise ValueError(
                "`y` has classes not in `self.classes_`. "
                f"`self.classes_` has {self.classes_}. 'y' has {classes}."
            )

    def _answers(self, X: np.ndarray) -> np.ndarray:
        output = self.network_.predict(X)
        return self._label_binarizer.inverse_transform(output.ravel() if self.n_outputs_ == 1 else output)

    def _validation_score(self, X: np.ndarray, y: np.ndarray, sample_weight: np.ndarray | None) -> float:
        return accuracy_score(y, self._answers(X), sample_weight=sample_weight)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
