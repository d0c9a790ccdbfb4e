"""Validation and callbacks of a training."""

import numpy as np
import pytest
from compare import assert_same_bits
from networks import BINARY_MLP, EVERY_KIND, ROWS, SOFTMAX_MLP, THE_THREE, prepared, thetas

import fastnn as fn

pytestmark = pytest.mark.usefixtures("backend")


def test_validation_fraction_takes_the_last_rows(rng):
    network, x, y = prepared(SOFTMAX_MLP, rng)
    history = network.fit(x, y, epochs=2, batch_size=16, validation_fraction=0.3)
    other = SOFTMAX_MLP.network("float32")
    expected = other.fit(x[:49], y[:49], epochs=2, batch_size=16, validation_data=(x[49:], y[49:]))
    assert history.validation_loss == expected.validation_loss
    assert_same_bits(network.theta, other.theta)


class Recorder(fn.Callback):
    """Keeps what it is called with; ends the training at `last`."""

    def __init__(self, last=None):
        self.calls = []
        self.last = last

    def on_train_begin(self, network, epochs, metrics):
        self.calls.append(("begin", epochs, metrics))

    def on_epoch_end(self, network, epoch, logs):
        self.calls.append(("epoch", epoch, dict(logs)))
        return epoch == self.last

    def on_train_end(self, network):
        self.calls.append(("end",))


def test_callbacks_of_epochs(rng):
    network, x, y = prepared(BINARY_MLP, rng)
    recorder, second = Recorder(), Recorder()
    history = network.fit(x, y, epochs=3, callbacks=[recorder, second], validation_data=(x, y))
    assert [call[0] for call in recorder.calls] == ["begin", "epoch", "epoch", "epoch", "end"]
    assert recorder.calls == second.calls
    names = {"loss", "learning_rate", "seconds", "validation_loss", "validation_accuracy"}
    assert recorder.calls[0][1] == 3
    assert set(recorder.calls[0][2]) == names
    for number, call in enumerate(recorder.calls[1:-1]):
        assert call[1] == number + 1
        assert call[2] == {name: getattr(history, name)[number] for name in names}


def test_a_callback_ends_the_training(rng):
    network, x, y = prepared(BINARY_MLP, rng)
    recorder = Recorder(last=2)
    after = Recorder()
    assert len(network.fit(x, y, epochs=9, callbacks=[recorder, after]).loss) == 2
    assert [call[0] for call in after.calls] == ["begin", "epoch", "epoch", "end"]
    assert network.epoch == 2


def test_an_error_in_a_callback_ends_the_training_in_order(rng):
    class Failing(fn.Callback):
        def on_epoch_end(self, network, epoch, logs):
            raise RuntimeError("enough")

    network, x, y = prepared(BINARY_MLP, rng)
    recorder = Recorder()
    with pytest.raises(RuntimeError, match="enough"):
        network.fit(x, y, epochs=3, callbacks=[recorder, Failing()])
    assert recorder.calls[-1] == ("end",)
    network.fit(x, y)


@pytest.mark.parametrize("case", THE_THREE.values(), ids=THE_THREE)
def test_callbacks_of_batches_change_nothing(rng, case):
    class Batches(fn.Callback):
        def __init__(self):
            self.steps, self.losses = [], []

        def on_batch_end(self, network, step, logs):
            self.steps.append(step)
            self.losses.append(logs["loss"])

    _, x, y = prepared(case, rng)
    batches = Batches()
    network = case.network("float32")
    history = network.fit(x, y, epochs=2, batch_size=16, callbacks=[batches])
    assert batches.steps == list(range(1, 11))
    assert_same_bits(network.theta, thetas(case, x, y))
    rows = np.array([16, 16, 16, 16, 6])
    assert history.loss == pytest.approx(np.reshape(batches.losses, (2, 5)) @ rows / ROWS)


def test_early_stopping_restores_the_best_weights(rng):
    """Labels at random: what is learned of some is nothing for the others."""
    case = EVERY_KIND["batch norm"]
    network = case.network("float64")
    x, y = case.data(rng, 60, network.output_shape)
    stopping = fn.EarlyStopping(patience=4)
    fitted, held_out = (x[:30], y[:30]), (x[30:], y[30:])
    history = network.fit(
        *fitted,
        epochs=500,
        batch_size=10,
        optimizer=fn.Adam(0.05),
        validation_data=held_out,
        callbacks=[stopping],
    )
    best = min(history.validation_loss)
    assert len(history.loss) < 500
    assert len(history.loss) == stopping.best_epoch + 4
    assert history.validation_loss[stopping.best_epoch - 1] == best == stopping.best
    assert network.evaluate(*held_out)["loss"] == best


def test_early_stopping_on_accuracy_goes_upwards(rng):
    network, x, y = prepared(SOFTMAX_MLP, rng)
    stopping = fn.EarlyStopping(patience=3, monitor="validation_accuracy")
    history = network.fit(
        x, y, epochs=60, validation_data=(x, y), optimizer=fn.Adam(0.01), callbacks=[stopping]
    )
    assert stopping.best == max(history.validation_accuracy) > 0.9


def test_progress_shows_the_epochs(rng, capsys):
    network, x, y = prepared(BINARY_MLP, rng)
    network.fit(x, y, epochs=3, progress=True)
    shown = capsys.readouterr().err
    assert "3/3" in shown
    assert "loss" in shown
    network.fit(x, y, epochs=3)
    assert capsys.readouterr() == ("", "")
