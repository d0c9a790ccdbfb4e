"""Bad input of networks: an error that names the argument, what it got and what it needs."""

import numpy as np
import pytest

import fastnn as fn

NAN, INF = np.nan, np.inf


def ones(*shape):
    return np.ones(shape)


MLP = (fn.Dense(4), fn.ReLU(), fn.Dense(1), fn.Sigmoid())
CLASSIFIER = (fn.Dense(4), fn.ReLU(), fn.Dense(3), fn.Softmax())
IMAGES = (fn.Conv2D(2, 3), fn.Flatten(), fn.Dense(3), fn.Softmax())

CONSTRUCTION = {
    "no layers": (lambda: fn.Network([], (5,)), ValueError, "layers"),
    "a single layer": (lambda: fn.Network(fn.Dense(1), (5,)), TypeError, r"layers.*Dense\(1\)"),
    "no layer": (lambda: fn.Network([fn.Dense(1), "relu"], (5,)), TypeError, "layers.*'relu'"),
    "a layer's class": (lambda: fn.Network([fn.Dense(1), fn.Sigmoid], (5,)), TypeError, r"Sigmoid\(\)"),
    "an unknown loss": (
        lambda: fn.Network(MLP, (5,), loss="hinge"),
        ValueError,
        "loss must be one of.*'log_loss'.*got 'hinge'",
    ),
    "log loss of numbers": (
        lambda: fn.Network([fn.Dense(1)], (5,)),
        ValueError,
        r"log_loss.*Sigmoid.*Softmax.*got Dense\(1\)",
    ),
    "an unknown dtype": (
        lambda: fn.Network(MLP, (5,), dtype="float16"),
        ValueError,
        "dtype must be.*got 'float16'",
    ),
    "no dtype": (lambda: fn.Network(MLP, (5,), dtype="real"), ValueError, "dtype must be.*got 'real'"),
    "no input shape": (lambda: fn.Network(MLP, ()), ValueError, "input_shape"),
    "an empty input": (lambda: fn.Network(MLP, (0,)), ValueError, "input_shape must be at least 1, got 0"),
    "half an input": (lambda: fn.Network(MLP, (2.5,)), TypeError, "input_shape.*2.5"),
    "a negative seed": (
        lambda: fn.Network(MLP, (5,), seed=-1),
        ValueError,
        "seed must be at least 0, got -1",
    ),
    "an infinite scale": (lambda: fn.Network(MLP, (5,), input_scale=INF), ValueError, "input_scale"),
    "dense on images": (
        lambda: fn.Network(MLP, (1, 4, 4)),
        ValueError,
        r"Dense\(4\) needs an input of shape \(features,\).*Flatten.*got \(1, 4, 4\)",
    ),
    "convolution of rows": (lambda: fn.Network(IMAGES, (16,)), ValueError, r"Conv2D\(2, 3\).*\(16,\)"),
    "convolution of small images": (
        lambda: fn.Network(IMAGES, (1, 2, 4)),
        ValueError,
        r"Conv2D\(2, 3\).*height.*2",
    ),
    "pooling to nothing": (
        lambda: fn.Network([fn.MaxPool2D(3), *IMAGES], (1, 2, 2)),
        ValueError,
        r"MaxPool2D\(3\)",
    ),
    "no units": (lambda: fn.Dense(0), ValueError, "units must be at least 1, got 0"),
    "half a unit": (lambda: fn.Dense(1.5), TypeError, "units.*1.5"),
    "no filters": (lambda: fn.Conv2D(0, 3), ValueError, "filters must be at least 1, got 0"),
    "a kernel of 0": (lambda: fn.Conv2D(2, 0), ValueError, "kernel_size must be at least 1.*got 0"),
    "a padding that is no word": (
        lambda: fn.Conv2D(2, 3, padding="valid"),
        ValueError,
        "padding must be an int, a pair of ints or \"same\", got 'valid'",
    ),
    "the same size with a stride": (
        lambda: fn.Conv2D(2, 3, stride=2, padding="same"),
        ValueError,
        'padding "same" needs stride 1',
    ),
    "a global pool of rows": (
        lambda: fn.Network([fn.GlobalAvgPool2D(), fn.Dense(1), fn.Sigmoid()], (4,)),
        ValueError,
        r"GlobalAvgPool2D\(\) needs an input of shape \(channels, height, width\), got \(4,\)",
    ),
    "a stride of 0": (lambda: fn.Conv2D(2, 3, stride=0), ValueError, "stride must be at least 1.*got 0"),
    "a negative padding": (
        lambda: fn.Conv2D(2, 3, padding=-1),
        ValueError,
        "padding must be at least 0.*got -1",
    ),
    "a pool of 0": (lambda: fn.MaxPool2D(0), ValueError, "size must be at least 1.*got 0"),
    "a padding beyond the pool": (
        lambda: fn.MaxPool2D(2, padding=2),
        ValueError,
        "padding must be at most half of size",
    ),
    "dropping everything": (
        lambda: fn.Dropout(1.0),
        ValueError,
        "rate must be.*below 1, got 1.0",
    ),
    "dropping NaN": (lambda: fn.Dropout(NAN), ValueError, "rate.*got nan"),
    "a momentum above 1": (lambda: fn.BatchNorm(momentum=2), ValueError, "momentum must be.*got 2"),
    "a negative rate": (lambda: fn.SGD(-0.1), ValueError, "lr must be.*got -0.1"),
    "a rate of NaN": (lambda: fn.Adam(NAN), ValueError, "lr must be.*got nan"),
    "no rate": (lambda: fn.SGD("fast"), TypeError, "lr must be.*'fast'"),
    "a momentum of 1": (lambda: fn.SGD(0.1, momentum=1.0), ValueError, "momentum must be.*got 1.0"),
    "Nesterov without momentum": (lambda: fn.SGD(0.1, nesterov=True), ValueError, "nesterov needs.*momentum"),
    "a beta of 1": (lambda: fn.Adam(beta1=1.0), ValueError, "beta1 must be.*got 1.0"),
    "a negative penalty": (lambda: fn.SGD(0.1, l2=-1), ValueError, "l2 must be.*got -1"),
    "a penalty beside a decoupled decay": (lambda: fn.AdamW(l2=0.1), ValueError, "l2 must be 0.*got 0.1"),
    "a negative decay": (lambda: fn.AdamW(weight_decay=-1), ValueError, "weight_decay must be.*got -1"),
    "no patience": (lambda: fn.EarlyStopping(patience=0), ValueError, "patience must be at least 1, got 0"),
}


@pytest.mark.parametrize(("call", "error", "message"), CONSTRUCTION.values(), ids=CONSTRUCTION)
def test_construction(call, error, message):
    with pytest.raises(error, match=message):
        call()


X, Y = np.linspace(-1, 1, 50).reshape(10, 5), np.arange(10) % 2
CLASSES = np.arange(10) % 3

# Arguments of fit beside the network; the first two are X and y.
FIT = {
    "a vector": (MLP, (X[0], Y), {}, ValueError, r"X must have shape \(n, 5\), got \(5,\)"),
    "too many features": (
        MLP,
        (ones(10, 6), Y),
        {},
        ValueError,
        r"X must have shape \(n, 5\), got \(10, 6\)",
    ),
    "no rows": (MLP, (ones(0, 5), ones(0)), {}, ValueError, r"X must have at least one row, got.*\(0, 5\)"),
    "complex inputs": (MLP, (X + 1j, Y), {}, TypeError, "X must be an array of real numbers"),
    "strings": (MLP, (X.astype(str), Y), {}, TypeError, "X must be an array of real numbers"),
    "ragged inputs": (MLP, ([[1.0], [1.0, 2.0]], Y), {}, TypeError, "X must be an array of numbers"),
    "no inputs": (MLP, (None, Y), {}, TypeError, "X must be an array of real numbers"),
    "no targets": (MLP, (X, None), {}, ValueError, "y must be given"),
    "string labels": (MLP, (X, Y.astype(str)), {}, TypeError, "y must be an array of real numbers"),
    "too few labels": (
        MLP,
        (X, Y[:9]),
        {},
        ValueError,
        r"y must have one target for each of X's 10 rows, got.*\(9,\)",
    ),
    "labels of two columns": (
        MLP,
        (X, ones(10, 2)),
        {},
        ValueError,
        r"y must have shape \(10,\) or \(10, 1\), got \(10, 2\)",
    ),
    "a label of 2": (MLP, (X, 2 * Y), {}, ValueError, "y must hold labels from 0 to 1, got 2"),
    "a label of -1": (MLP, (X, 2 * Y - 1), {}, ValueError, "y must hold labels from 0 to 1, got -1"),
    "a NaN label": (MLP, (X, np.where(Y, NAN, 0)), {}, ValueError, "y must hold labels from 0 to 1, got nan"),
    "a class of 3": (CLASSIFIER, (X, CLASSES + 1), {}, ValueError, "y must hold classes.*from 0 to 2, got 3"),
    "a class of -1": (CLASSIFIER, (X, CLASSES - 1), {}, ValueError, "y must hold classes.*got -1"),
    "half a class": (CLASSIFIER, (X, CLASSES / 2), {}, ValueError, "y must hold classes.*got 0.5"),
    "one-hot classes": (
        CLASSIFIER,
        (X, np.eye(3)[CLASSES]),
        {},
        ValueError,
        r"y must hold a class a row.*got \(10, 3\)",
    ),
    "a NaN target": (
        MLP[:3],
        (X, np.where(Y, NAN, 0)),
        {"loss": "mse"},
        ValueError,
        "y must be finite, got nan",
    ),
    "an infinite target": (
        MLP[:3],
        (X, np.where(Y, INF, 0)),
        {"loss": "mse"},
        ValueError,
        "y must be finite, got inf",
    ),
    "a batch larger than the data": (
        MLP,
        (X, Y),
        {"batch_size": 11},
        ValueError,
        r"batch_size must be at most.*10.*got 11",
    ),
    "a batch of nothing": (
        MLP,
        (X, Y),
        {"batch_size": 0},
        ValueError,
        "batch_size must be at least 1, got 0",
    ),
    "half a row": (MLP, (X, Y), {"batch_size": 2.5}, TypeError, "batch_size.*2.5"),
    "no epochs": (MLP, (X, Y), {"epochs": 0}, ValueError, "epochs must be at least 1, got 0"),
    "an optimizer's name": (MLP, (X, Y), {"optimizer": "adam"}, TypeError, "optimizer must be.*got 'adam'"),
    "an optimizer's class": (MLP, (X, Y), {"optimizer": fn.Adam}, TypeError, "optimizer must be"),
    "a schedule that is no rate": (
        MLP,
        (X, Y),
        {"optimizer": fn.SGD(lambda step: NAN)},
        ValueError,
        "lr.*got nan",
    ),
    "no callback": (MLP, (X, Y), {"callbacks": [print]}, TypeError, "callbacks must hold"),
    "too few weights": (
        MLP,
        (X, Y),
        {"sample_weight": ones(9)},
        ValueError,
        r"sample_weight must have shape \(10,\), got \(9,\)",
    ),
    "a negative weight": (
        MLP,
        (X, Y),
        {"sample_weight": -ones(10)},
        ValueError,
        "sample_weight must be.*got -1",
    ),
    "a NaN weight": (
        MLP,
        (X, Y),
        {"sample_weight": NAN * ones(10)},
        ValueError,
        "sample_weight must be.*got nan",
    ),
    "a weight for no class": (
        MLP,
        (X, Y),
        {"class_weight": {2: 1.0}},
        ValueError,
        "class_weight must have classes.*got 2",
    ),
    "a negative class weight": (
        MLP,
        (X, Y),
        {"class_weight": {1: -1.0}},
        ValueError,
        r"class_weight\[1\] must be.*got -1.0",
    ),
    "an unknown class weight": (
        MLP,
        (X, Y),
        {"class_weight": "even"},
        ValueError,
        "class_weight must be.*'balanced', got 'even'",
    ),
    "class weights of numbers": (
        MLP[:3],
        (X, X[:, :1]),
        {"loss": "mse", "class_weight": "balanced"},
        ValueError,
        "class_weight needs",
    ),
    "half a validation": (MLP, (X, Y), {"validation_data": (X,)}, (TypeError, ValueError), "validation_data"),
    "a wrong validation": (
        MLP,
        (X, Y),
        {"validation_data": (X, Y[:9])},
        ValueError,
        r"validation_data\[1\] must have.*\(9,\)",
    ),
    "all for validation": (
        MLP,
        (X, Y),
        {"validation_fraction": 1.0},
        ValueError,
        "validation_fraction must be.*got 1.0",
    ),
    "validation twice": (
        MLP,
        (X, Y),
        {"validation_fraction": 0.5, "validation_data": (X, Y)},
        ValueError,
        "validation_fraction must be 0",
    ),
    "monitoring what isn't there": (
        MLP,
        (X, Y),
        {"callbacks": [fn.EarlyStopping()]},
        ValueError,
        "monitor must be.*'validation_loss'",
    ),
}


@pytest.mark.parametrize(("layers", "data", "options", "error", "message"), FIT.values(), ids=FIT)
def test_fit_computes_nothing(layers, data, options, error, message):
    options = dict(options)
    network = fn.Network(layers, (5,), loss=options.pop("loss", "log_loss"))
    before = network.theta.copy()
    with pytest.raises(error, match=message):
        network.fit(*data, **({"batch_size": 5} | options))
    assert (network.theta == before).all()
    assert network.epoch == network.step_number == 0


@pytest.mark.parametrize("method", ["evaluate", "loss", "gradients", "trace"])
def test_other_methods_check_alike(method):
    names = (
        "a vector",
        "too many features",
        "no rows",
        "strings",
        "too few labels",
        "a label of 2",
        "a NaN label",
    )
    for layers, data, _, error, message in (FIT[name] for name in names):
        with pytest.raises(error, match=message):
            getattr(fn.Network(layers, (5,)), method)(*data)


PREDICT = {
    "a vector": ((X[0],), {}, ValueError, r"X must have shape \(n, 5\), got \(5,\)"),
    "a number": ((1.0,), {}, ValueError, r"X must have shape \(n, 5\), got \(\)"),
    "too many features": ((ones(10, 6),), {}, ValueError, r"X must have shape \(n, 5\), got \(10, 6\)"),
    "no rows": ((ones(0, 5),), {}, ValueError, "X must have at least one row"),
    "no numbers": (([["a"] * 5],), {}, TypeError, "X must be an array of real numbers"),
    "nothing": ((None,), {}, TypeError, "X must be an array of real numbers"),
    "out of another shape": (
        (X,),
        {"out": np.zeros(10, np.float32)},
        ValueError,
        r"out must have shape \(10, 1\), got \(10,\)",
    ),
    "out of another dtype": (
        (X,),
        {"out": np.zeros((10, 1))},
        ValueError,
        "out must have dtype float32, got float64",
    ),
    "out as a list": ((X,), {"out": [0.0] * 10}, TypeError, "out must be a NumPy array, got list"),
}


@pytest.mark.parametrize("rows", [1, 10])
@pytest.mark.parametrize(("data", "options", "error", "message"), PREDICT.values(), ids=PREDICT)
def test_predict(rows, data, options, error, message):
    """Also when a prediction of as many rows went well before."""
    network = fn.Network(MLP, (5,))
    for _ in range(2):
        network.predict(X[:rows].astype(np.float32))
    with pytest.raises(error, match=message):
        network.predict(*data, **options)


def test_read_only_out():
    network = fn.Network(MLP, (5,))
    out = np.zeros((10, 1), np.float32)
    out.flags.writeable = False
    for _ in range(2):
        network.predict(X.astype(np.float32))
        with pytest.raises(ValueError, match="out must be writable"):
            network.predict(X.astype(np.float32), out=out)
    assert (out == 0).all()


def test_batches_of_an_iterable_are_checked():
    network = fn.Network(MLP, (5,))
    for batches, error, message in (
        ([X], ValueError, r"X must yield \(X, y\).*got ndarray"),
        ([(X, Y[:9])], ValueError, "y must have one target for each"),
        ([(X, Y, ones(9))], ValueError, "sample_weight must have shape"),
        ([], ValueError, "X must yield batches"),
        (X, ValueError, "y must be given"),
        (7, ValueError, "y must be given"),
    ):
        with pytest.raises(error, match=message):
            network.fit(batches)


SETTINGS = {
    "an unknown backend": (lambda: fn.set_backend("cuda"), ValueError, "'cython'.*'numba'.*got 'cuda'"),
    "no threads": (lambda: fn.set_num_threads(0), ValueError, "n must be.*got 0"),
    "half a thread": (lambda: fn.set_num_threads(1.5), TypeError, "n must be.*got 1.5"),
}


@pytest.mark.parametrize(("call", "error", "message"), SETTINGS.values(), ids=SETTINGS)
def test_settings(call, error, message):
    before = fn.info()
    with pytest.raises(error, match=message):
        call()
    assert fn.info() == before


def test_use_backend_restores_the_one_before():
    before = fn.get_backend()
    with pytest.raises(RuntimeError, match="enough"), fn.use_backend("cython"):
        raise RuntimeError("enough")
    assert fn.get_backend() == before
