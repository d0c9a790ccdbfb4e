"""The datasets: shapes, splits, scaling, and what is said where files are missing or damaged."""

import gzip

import numpy as np
import pytest

from fastnn import datasets

needs_sklearn = pytest.mark.usefixtures("_sklearn")


@pytest.fixture
def _sklearn():
    pytest.importorskip("sklearn", reason="scikit-learn isn't installed")


def idx(array, *, kind=0x08):
    """`array` as a gzipped IDX file."""
    header = bytes((0, 0, kind, array.ndim)) + np.array(array.shape, ">i4").tobytes()
    return gzip.compress(header + array.astype(np.uint8).tobytes())


@pytest.fixture
def folder(tmp_path):
    """A small Fashion-MNIST: 5 training images, 3 test images."""
    for prefix, count in (("train", 5), ("t10k", 3)):
        images = np.arange(count * 28 * 28).reshape(count, 28, 28) % 256
        (tmp_path / f"{prefix}-images-idx3-ubyte.gz").write_bytes(idx(images))
        (tmp_path / f"{prefix}-labels-idx1-ubyte.gz").write_bytes(idx(np.arange(count)))
    return tmp_path


@needs_sklearn
def test_breast_cancer_is_standardised_by_its_training_rows():
    data = datasets.breast_cancer()
    assert data.x_train.shape == (455, 30)
    assert data.x_test.shape == (114, 30)
    assert data.x_train.dtype == np.float32
    assert set(data.y_train) == set(data.y_test) == {0, 1}
    np.testing.assert_allclose(data.x_train.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(data.x_train.std(axis=0), 1, atol=1e-5)
    assert np.abs(data.x_test.mean(axis=0)).max() > 0.01, "the test rows were scaled by themselves"


@needs_sklearn
def test_digits_are_images_from_0_to_1():
    data = datasets.digits()
    assert data.x_train.shape == (1437, 1, 8, 8)
    assert data.input_shape == (1, 8, 8)
    assert (data.x_train.min(), data.x_train.max()) == (0, 1)
    assert len(data.x_train) + len(data.x_test) == 1797
    assert set(data.y_test) == set(range(10))


@needs_sklearn
def test_a_split_is_the_same_every_time():
    first, second = datasets.digits(), datasets.digits()
    assert (first.x_test == second.x_test).all()
    assert (first.y_train == second.y_train).all()


@pytest.mark.parametrize("named_by", ["argument", "environment"])
def test_fashion_mnist_from_a_folder(folder, monkeypatch, named_by):
    monkeypatch.setenv("FASTNN_DATA", str(folder) if named_by == "environment" else "/nowhere")
    data = datasets.fashion_mnist(folder if named_by == "argument" else None)
    assert data.x_train.shape == (5, 1, 28, 28)
    assert data.x_test.shape == (3, 1, 28, 28)
    assert data.x_train.dtype == np.float32
    assert data.x_train[0, 0, 9, 3] == np.float32(255 / 255)
    assert data.x_train[0, 0, 0, 1] == pytest.approx(1 / 255)
    assert list(data.y_train) == [0, 1, 2, 3, 4]


def test_missing_files_name_what_installs_them(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"train-images-idx3-ubyte\.gz.*dataset-fashion-mnist.*FASTNN_DATA"
    ):
        datasets.fashion_mnist(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        b"no gzip",
        gzip.compress(b""),
        gzip.compress(b"PK\x03\x04 no IDX file"),
        idx(np.zeros(5), kind=0x0D),
        idx(np.zeros((5, 1))),
        gzip.compress(gzip.decompress(idx(np.zeros(5)))[:-1]),
        idx(np.zeros(5))[:-4],
        idx(np.zeros(5))[:12] + b"\xff\xff\xff" + idx(np.zeros(5))[15:],
    ],
    ids=["no gzip", "empty", "no IDX", "floats", "two dimensions", "too short", "cut off", "garbled"],
)
def test_a_damaged_file_is_named(folder, content):
    (folder / "train-labels-idx1-ubyte.gz").write_bytes(content)
    with pytest.raises(ValueError, match=r"train-labels-idx1-ubyte\.gz"):
        datasets.fashion_mnist(folder)


def test_images_and_labels_of_different_lengths(folder):
    (folder / "t10k-labels-idx1-ubyte.gz").write_bytes(idx(np.arange(4)))
    with pytest.raises(ValueError, match="3 t10k images but 4 t10k labels"):
        datasets.fashion_mnist(folder)
