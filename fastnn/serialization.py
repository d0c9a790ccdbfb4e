"""Saving and loading of networks, as safetensors files.

The tensors are theta, the batch norm's statistics, and the optimizer's vectors and step under the names of
`Network.copy_weights`; the file's metadata holds the rest as JSON under the key "fastnn".
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np

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
        "optimizer": network.optimizer and _described(network.optimizer),
        "epoch": network.epoch,
    }
    unfinished = f"{os.fspath(path)}.unfinished"
    tensors = network.copy_weights(optimizer=True)
    safetensors.numpy.save_file(tensors, unfinished, {_KEY: json.dumps(description)})
    os.replace(unfinished, path)


def load(path: str | os.PathLike[str]) -> Network:
    """The network that `Network.save` wrote to `path`, ready to predict, and to train as if it had never stopped.

    Raises:
        ValueError: the file is no fastnn network, or one of a newer version.
        ImportError: safetensors isn't installed.
    """
    safetensors = _import_safetensors()
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except safetensors.SafetensorError as error:
        raise ValueError(f"path must be a safetensors file, got {os.fspath(path)!r}: {error}") from None
    if _KEY not in metadata:
        raise ValueError(f"path must be a network that fastnn saved, got {os.fspath(path)!r} without that metadata")
    description = json.loads(metadata[_KEY])
    if description["format"] != _FORMAT:
        raise ValueError(f"path must have the format {_FORMAT}, got {os.fspath(path)!r} with {description['format']}")
    network = Network(
        [_build(LAYERS, layer) for layer in description["layers"]],
        description["input_shape"],
        loss=description["loss"],
        dtype=description["dtype"],
        seed=description["seed"],
        input_scale=description["input_scale"],
    )
    saved = description["optimizer"]
    optimizer: Optimizer | None = saved and _build(OPTIMIZERS, saved)
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


def _build(classes: Mapping[str, type], described: Mapping[str, Any]) -> Any:
    values = dict(described)
    name = values.pop("type")
    if name not in classes:
        raise ValueError(f"path must have layers, an optimizer and a schedule that this fastnn knows, got {name!r}")
    if isinstance(values.get("lr"), dict):
        values["lr"] = _build(SCHEDULES, values["lr"])
    return classes[name](**values)
