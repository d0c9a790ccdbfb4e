"""The pictures: they show the network's own numbers, on a scale that is symmetric about zero."""

import numpy as np
import pytest

import fastnn as fn
from fastnn.network import History

matplotlib = pytest.importorskip("matplotlib", reason="matplotlib isn't installed")


@pytest.fixture(autouse=True)
def _no_windows():
    from matplotlib import pyplot

    pyplot.switch_backend("Agg")
    yield
    pyplot.close("all")


def mlp(input_shape=(1, 4, 5)):
    return fn.Network(
        [fn.Flatten(), fn.Dense(6), fn.ReLU(), fn.Dense(3), fn.Softmax()], input_shape, loss="log_loss"
    )


def cnn():
    convolutions = (fn.Conv2D(4, 3), fn.ReLU(), fn.MaxPool2D(2), fn.Conv2D(6, 2), fn.Tanh())
    return fn.Network([*convolutions, fn.Flatten(), fn.Dense(3), fn.Softmax()], (2, 8, 8), loss="log_loss")


def images(figure):
    return [image for axis in figure.axes for image in axis.images]


def values(image):
    """A picture's values without the gaps between its parts."""
    array = np.ma.filled(image.get_array().astype(float), np.nan)
    return array[~np.isnan(array)]


def assert_symmetric(figure):
    for image in images(figure):
        low, high = image.get_clim()
        assert low == -high < 0


def test_weights_show_every_layer():
    net = cnn()
    figure = fn.plot.weights(net)
    assert_symmetric(figure)
    shown = images(figure)
    assert len(shown) == 3
    assert (shown[0].get_array() == net.parameters["W1"].reshape(4, -1)).all()
    assert (shown[2].get_array() == net.parameters["W3"].T).all()


@pytest.mark.parametrize("input_shape", [(1, 4, 5), (3, 4, 5), (16,)])
def test_dense_units_as_images(input_shape):
    layers = [fn.Dense(6), fn.ReLU(), fn.Dense(3), fn.Softmax()]
    net = fn.Network(
        layers if len(input_shape) == 1 else [fn.Flatten(), *layers], input_shape, loss="log_loss"
    )
    figure = fn.plot.filters(net)
    assert_symmetric(figure)
    assert set(values(images(figure)[0])) == set(net.parameters["W1"].ravel())


@pytest.mark.parametrize("layer", [1, 2])
def test_convolution_filters(layer):
    net = cnn()
    figure = fn.plot.filters(net, layer=layer)
    assert_symmetric(figure)
    assert set(values(images(figure)[0])) == set(net.parameters[f"W{layer}"].ravel())


def test_an_image_keeps_its_orientation():
    net = mlp()
    net.parameters["W1"][...] = 0
    net.parameters["W1"].reshape(4, 5, 6)[0, 4, 0] = (
        1  # top right in the first unit, which stands at the top left
    )
    mosaic = images(fn.plot.filters(net))[0].get_array()
    row, column = np.argwhere(mosaic == 1)[0]
    zoom = int(np.sqrt((mosaic == 1).sum()))
    assert (row, column) == (0, 4 * zoom)


def test_feature_maps_are_those_of_the_prediction(rng):
    net = cnn()
    x = rng.normal(size=(2, 8, 8)).astype(np.float32)
    figure = fn.plot.feature_maps(net, x)
    assert_symmetric(figure)
    tensors = net.trace(x[np.newaxis])
    names = ["X", "A1", "P1", "A2"]
    assert [axis.get_title().split()[0] for axis in figure.axes if axis.images] == names
    for name, image in zip(names, images(figure), strict=True):
        assert set(values(image)) == set(tensors[name].ravel())
    fn.plot.feature_maps(net, x[np.newaxis])


def test_history_shows_training_and_validation():
    (axis,) = fn.plot.history(History(loss=[2.0, 1.0], validation_loss=[3.0, 2.5])).axes
    assert [list(line.get_ydata()) for line in axis.lines] == [[2.0, 1.0], [3.0, 2.5]]
    assert axis.get_yscale() == "log"


def test_drawing_into_a_given_figure():
    from matplotlib.figure import Figure

    left, right = Figure().subfigures(1, 2)
    assert fn.plot.filters(mlp(), figure=left) is left
    assert fn.plot.weights(mlp(), figure=right) is right


@pytest.mark.parametrize("values", [0.0, np.nan, np.inf])
def test_weights_that_have_no_scale(values):
    net = mlp()
    net.theta[...] = values
    fn.plot.weights(net).canvas.draw()
    fn.plot.filters(net).canvas.draw()


@pytest.mark.parametrize(
    ("net", "layer", "message"),
    [
        (mlp(), 2, "layer must be a convolution, or a first dense layer over an image"),
        (mlp((15,)), 1, "layer must be a convolution, or a first dense layer over an image"),
        (cnn(), 3, "layer must be a convolution, or a first dense layer over an image"),
        (cnn(), 4, r"layer must be the number of a layer with weights, one of \[1, 2, 3\], got 4"),
    ],
)
def test_layers_that_are_no_images(net, layer, message):
    with pytest.raises(ValueError, match=message):
        fn.plot.filters(net, layer=layer)


def test_feature_maps_of_what_is_no_image(rng):
    with pytest.raises(
        ValueError, match=r"x must be one image of shape \(2, 8, 8\), got shape \(3, 2, 8, 8\)"
    ):
        fn.plot.feature_maps(cnn(), rng.normal(size=(3, 2, 8, 8)))
    with pytest.raises(ValueError, match="net must take images"):
        fn.plot.feature_maps(mlp((15,)), rng.normal(size=15))
