"""The demo and the command line, on the small datasets."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

import fastnn as fn
from fastnn import cli


@pytest.fixture
def demo():
    for module in ("matplotlib", "sklearn"):
        pytest.importorskip(module, reason=f"{module}, which the demo needs, isn't installed")
    import fastnn.demo

    return fastnn.demo


def test_every_network_reaches_its_accuracy_and_is_drawn(demo, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("FASTNN_DATA", str(tmp_path))  # where there is no Fashion-MNIST
    monkeypatch.setattr(demo, "find_spec", lambda name: None)  # nor PyTorch
    assert cli.main(["demo", "--output", str(tmp_path / "pictures")]) == 0
    printed = capsys.readouterr().out
    assert "breast cancer  MLP 30-16-8-1" in printed
    assert "MLP 784-128-64-10 left out" in printed
    assert "CNN 32-64-128-10 left out" in printed
    assert {path.name for path in (tmp_path / "pictures").iterdir()} == {
        "loss.png",
        "breast-cancer-mlp-weights.png",
        "digits-mlp-weights.png",
        "digits-mlp-first-layer.png",
        "digits-cnn-weights.png",
        "digits-cnn-first-layer.png",
        "digits-cnn-filters-W2.png",
        "digits-cnn-feature-maps.png",
    }


def test_an_accuracy_that_is_missed_fails(demo, tmp_path, capsys, monkeypatch):
    impossible = replace(demo.CASES[0], accuracy=1.1, epochs=1)
    monkeypatch.setattr(demo, "CASES", [impossible])
    monkeypatch.setattr(demo, "find_spec", lambda name: None)
    assert cli.main(["demo", "--output", str(tmp_path)]) == 1
    assert "MISSED" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["breast-cancer-mlp", "digits-mlp", "digits-cnn"])
def test_the_comparison_trains_the_same_network(demo, name):
    torch = pytest.importorskip("torch", reason="PyTorch isn't installed")
    from fastnn.demo.pytorch import _model

    (case,) = (case for case in demo.CASES if case.name == name)
    data = case.data()
    net = case.network(data, seed=3)
    with torch.inference_mode():
        logits = _model(net)(torch.from_numpy(data.x_test)).numpy()
    np.testing.assert_allclose(logits, net.trace(data.x_test)["Z3"], atol=1e-4)


def test_info(capsys):
    assert cli.main(["info"]) == 0
    assert f"version: {fn.__version__}" in capsys.readouterr().out


def test_the_module_is_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "fastnn", "info"], capture_output=True, text=True, check=True
    )
    assert "instruction_set: " in done.stdout
