"""Real data to train on, split into training and test rows, ready for a `Network`.

Breast cancer and digits come with scikit-learn; Fashion-MNIST (Xiao, Rasul, Vollgraf 2017,
arXiv:1708.07747) is read from its four IDX files.
"""

from __future__ import annotations

import gzip
import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

FASHION_MNIST_FOLDER = Path("/usr/share/datasets/fashion-mnist")  # where Debian's package puts it
FASHION_MNIST_CLASSES = (
    "T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip

_TEST_SHARE = 0.2
_SPLIT_SEED = 2  # a usual split of breast cancer: logistic regression gets its mean over splits, 0.98
_IDX_UINT8 = 0x08


@dataclass(frozen=True)
class Dataset:
    """Training and test rows of one classification task.

    `x_*` is float32, (n, features) or (n, channels, height, width); `y_*` is int64 (n,), an index into
    `classes`.
    """

    name: str
    x_train: NDArray[np.float32]
    y_train: NDArray[np.int64]
    x_test: NDArray[np.float32]
    y_test: NDArray[np.int64]
    classes: tuple[str, ...]

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one row, as `Network(input_shape=...)` takes it."""
        return self.x_train.shape[1:]


def breast_cancer() -> Dataset:
    """Breast cancer Wisconsin: 569 tumours, 30 features each, malignant (0) or benign (1).

    Every feature has mean 0 and standard deviation 1 over the training rows; the test rows are shifted
    and scaled by the training rows' figures, as nothing of them may be known beforehand.
    """
    data = _scikit_learn_datasets().load_breast_cancer()
    x_train, x_test, y_train, y_test = _split(data.data, data.target)
    mean, deviation = x_train.mean(axis=0), x_train.std(axis=0)
    return Dataset(
        "breast cancer",
        ((x_train - mean) / deviation).astype(np.float32),
        y_train,
        ((x_test - mean) / deviation).astype(np.float32),
        y_test,
        tuple(map(str, data.target_names)),
    )


def digits() -> Dataset:
    """Handwritten digits: 1797 images of shape (1, 8, 8), grey from 0 to 1, classes 0 to 9."""
    data = _scikit_learn_datasets().load_digits()
    images = (data.images[:, np.newaxis] / 16).astype(np.float32)
    x_train, x_test, y_train, y_test = _split(images, data.target)
    return Dataset("digits", x_train, y_train, x_test, y_test, tuple(map(str, data.target_names)))


def fashion_mnist(folder: str | os.PathLike[str] | None = None) -> Dataset:
    """Fashion-MNIST: 60000 training and 10000 test images of shape (1, 28, 28), grey from 0 to 1.

    The four IDX files (`train-images-idx3-ubyte.gz`, ...) are looked for in `folder`, else in the folder
    that the environment variable FASTNN_DATA names, else where Debian's package `dataset-fashion-mnist`
    puts them. Raises FileNotFoundError where one is missing and ValueError where one is damaged.
    """
    place = Path(folder or os.environ.get("FASTNN_DATA") or FASHION_MNIST_FOLDER)
    return Dataset(
        "Fashion-MNIST",
        *_fashion_mnist_part(place, "train"),
        *_fashion_mnist_part(place, "t10k"),
        FASHION_MNIST_CLASSES,
    )


def _fashion_mnist_part(folder: Path, prefix: str) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    images = _read_idx(folder / f"{prefix}-images-idx3-ubyte.gz", dimensions=3)
    labels = _read_idx(folder / f"{prefix}-labels-idx1-ubyte.gz", dimensions=1)
    if len(images) != len(labels):
        raise ValueError(f"{folder} has {len(images)} {prefix} images but {len(labels)} {prefix} labels")
    return np.multiply(images[:, np.newaxis], 1 / 255, dtype=np.float32), labels.astype(np.int64)


def _scikit_learn_datasets() -> ModuleType:
    try:
        import sklearn.datasets
    except ImportError as error:
        raise ImportError(
            "this dataset comes with scikit-learn, which fastnn's extra `sklearn` installs"
        ) from error
    return sklearn.datasets


def _split(x: NDArray, y: NDArray) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """x_train, x_test, y_train, y_test, with the classes in equal shares in both."""
    from sklearn.model_selection import train_test_split

    return train_test_split(
        x, y.astype(np.int64), test_size=_TEST_SHARE, stratify=y, random_state=_SPLIT_SEED
    )


def _read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """The array of one gzipped IDX file: 0, 0, type, dimensions, the sizes (big-endian int32), the bytes."""
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is not there: Debian's package dataset-fashion-mnist installs Fashion-MNIST into "
            f"{FASHION_MNIST_FOLDER}; FASTNN_DATA or the argument `folder` names another place"
        )
    try:
        content = gzip.decompress(path.read_bytes())
    except (EOFError, OSError, zlib.error) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    header = 4 + 4 * dimensions
    if len(content) < header or content[:4] != bytes((0, 0, _IDX_UINT8, dimensions)):
        raise ValueError(
            f"{path} is no IDX file of {dimensions}-dimensional bytes: it begins with {content[:4]!r}"
        )
    shape = tuple(np.frombuffer(content, ">i4", dimensions, offset=4).tolist())
    if len(content) != header + np.prod(shape, dtype=np.int64):
        raise ValueError(
            f"{path} is damaged: {len(content) - header} bytes do not fill an array of shape {shape}"
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)
