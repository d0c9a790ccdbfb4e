"""Saving and loading of networks, as safetensors files.

The tensors are theta, the batch norm's statistics, and the optimizer's vectors and step under the names of
`State.copy`; the file's metadata holds the rest as JSON under the key "fastnn".
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from fastnn.layers import LAYERS
from fastnn.network import Network
from fastnn.optimizers import OPTIMIZERS, Optimizer
from fastnn.schedules import SCHEDULES, UnsavedSchedule

_FORMAT = 1
_KEY = "fastnn"


def save(network: Network, path: str | os.PathLike[str]) -> None:
    """`Network.save`. The file is replaced as a whole, or not at all."""
    safetensors = _import_safetensors()
    description = {
        "format": _FORMAT,
        "layers": [_described(layer) for layer in network.layers],
        "input_shape": network.input_shape,
        "loss": network.loss_name,
        "dtype": network.dtype.name,
        "seed": network.seed,
        "input_scale": network.input_scale,
        "optimizer": network.state.optimizer and _described(network.state.optimizer),
        "epoch": network.epoch,
    }
    unfinished = f"{os.fspath(path)}.unfinished"
    tensors = network.state.copy(optimizer=True)
    safetensors.numpy.save_file(tensors, unfinished, {_KEY: json.dumps(description)})
    os.replace(unfinished, path)


def load(path: str | os.PathLike[str]) -> Network:
    """The network that `Network.save` wrote to `path`; it predicts and trains on to the bit as the saved one.

    Raises:
        ValueError: the file is no fastnn network, or one of a newer version.
        ImportError: safetensors isn't installed.
    """
    safetensors = _import_safetensors()
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            description = json.loads((file.metadata() or {}).get(_KEY, "null"))
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
        return _restored(description, arrays)
    except (safetensors.SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"path must be a network that fastnn saved, got {os.fspath(path)!r}: {error}"
        ) from error


def _restored(description: Any, arrays: dict[str, Any]) -> Network:
    if not isinstance(description, dict):
        raise ValueError(f"its metadata has no {_KEY!r}")
    if description["format"] != _FORMAT:
        raise ValueError(f"its format is {description['format']}, this version reads {_FORMAT}")
    optimizer: Optimizer | None = description["optimizer"] and _built(OPTIMIZERS, description["optimizer"])
    network = Network(
        [_built(LAYERS, layer) for layer in description["layers"]],
        description["input_shape"],
        loss=description["loss"],
        dtype=description["dtype"],
        seed=description["seed"],
        input_scale=description["input_scale"],
    )
    network.resume(optimizer, description["epoch"], arrays)
    return network


def _import_safetensors() -> Any:
    try:
        import safetensors.numpy
    except ImportError as error:
        raise ImportError(
            "saving and loading need safetensors: install it, or fastnn with its extra [save]"
        ) from error
    return safetensors


def _described(thing: Any) -> dict[str, Any]:
    """A layer, optimizer or schedule as its class's name and its fields."""
    values = {field.name: getattr(thing, field.name) for field in fields(thing)}
    if callable(values.get("lr")):
        values["lr"] = _described_schedule(values["lr"])
    return {"type": type(thing).__name__, **values}


def _described_schedule(schedule: Any) -> dict[str, Any]:
    if type(schedule) in SCHEDULES.values():
        return _described(schedule)
    return _described(UnsavedSchedule(getattr(schedule, "__qualname__", repr(schedule))))


def _built(classes: Mapping[str, type], described: Mapping[str, Any]) -> Any:
    values = dict(described)
    name = values.pop("type")
    if name not in classes:
        raise ValueError(f"it has a {name!r}, which this version doesn't know")
    if isinstance(values.get("lr"), dict):
        values["lr"] = _built(SCHEDULES, values["lr"])
    return classes[name](**values)
