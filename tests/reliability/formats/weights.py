"""Files of weights, checkpoints to resume, and folders of a search."""

from __future__ import annotations

import json
import pickle
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
import yaml
from safetensors.torch import save_file
from torch import nn

from reliability.campaign import UNKNOWN, Format
from reliability.mutations import ODD, some_bytes, some_file, some_line
from visionzoo.algorithms.bossnas import read_best_paths, read_ranking, searched_encoding
from visionzoo.cli.search import _newest
from visionzoo.engine.checkpoints import load_optimizer, read_resumable
from visionzoo.weights.loading import load_weights

_ODD_TENSORS = (
    lambda value: value.to_sparse(),
    lambda value: value.to("meta"),
    lambda value: torch.quantize_per_tensor(value.float(), 0.1, 0, torch.qint8),
    lambda value: value.to(torch.complex64),
    lambda value: value.to(torch.float16),
    lambda value: value.to(torch.float64),
    lambda value: value > 0,
    lambda value: value.long(),
    lambda value: value * float("nan"),
    lambda value: value.flatten()[:1].expand(10**5, 10**5),
    lambda value: value[:1],
    lambda value: value[None],
    lambda value: value.numpy(),
    lambda value: value.tolist(),
)


def _model() -> nn.Module:
    return nn.Sequential(OrderedDict(conv=nn.Conv2d(3, 4, 3), norm=nn.BatchNorm2d(4)))


def _seeded_model(random: Random) -> nn.Module:
    torch.manual_seed(random.randrange(10**6))
    return _model()


def some_entry(path: Path, random: Random) -> str:
    """Replace, remove or add an entry of a saved dict, at any depth."""
    whole = torch.load(path, weights_only=True)
    place: Any = whole
    names = []
    while True:
        key = random.choice(list(place))
        names.append(str(key))
        if isinstance(place[key], dict) and place[key] and random.random() < 0.85:
            place = place[key]
        else:
            break
    value, kind = place[key], random.random()
    if kind < 0.15:
        del place[key]
    elif kind < 0.25:
        place[random.choice([7, None, ("a", 1), "module.conv.weight", "x" * 300, "state_dict"])] = value
    elif isinstance(value, torch.Tensor) and value.dtype == torch.float32 and kind < 0.8:
        place[key] = random.choice(_ODD_TENSORS)(value)
    else:
        place[key] = random.choice(ODD)
    torch.save(whole, path)
    return f"{path.name}: {'.'.join(names)}"


def _plain(tensors: dict[str, Any]) -> str:
    """Return arrays as text, in which NaN equals NaN."""
    return repr(sorted((name, np.asarray(value, np.float32).tolist()) for name, value in tensors.items()))


class Pth(Format):
    """A file of ``torch.save``."""

    name = "weights, .pth"
    damages = (("*.pth", some_entry), ("*.pth", some_entry), ("*.pth", some_bytes), ("*.pth", some_file))

    def write(self, folder: Path, random: Random) -> None:
        state = _seeded_model(random).state_dict()
        torch.save({"meta": {"epoch": 3}, "state_dict": state}, folder / "w.pth")

    def read(self, folder: Path, workers: int = 0) -> Any:
        model = _model()
        load_weights(model, folder / "w.pth")
        return _plain(_without_counter(model.state_dict()))

    def truth(self, folder: Path) -> Any:
        contents = _unpickled(folder / "w.pth")
        if not isinstance(contents, dict):
            return UNKNOWN
        state = contents.get("state_dict", contents)
        return _plain(_without_counter(state)) if all(isinstance(v, np.ndarray) for v in state.values()) else UNKNOWN


def _without_counter(state: dict[Any, Any]) -> dict[Any, Any]:
    return {name: value for name, value in state.items() if not str(name).endswith("num_batches_tracked")}


def _unpickled(path: Path) -> Any:
    """Read a zip archive of ``torch.save`` with pickle and NumPy; None if this reader does not support a part of it."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = {name.partition("/")[2]: name for name in archive.namelist()}
            records = {short: archive.read(name) for short, name in names.items()}

        class Reader(pickle.Unpickler):
            def persistent_load(self, saved: Any) -> Any:
                kinds = {"FloatStorage": "f4", "HalfStorage": "f2", "DoubleStorage": "f8", "LongStorage": "i8"}
                return np.frombuffer(records[f"data/{saved[2]}"], kinds[saved[1]])

            def find_class(self, module: str, name: str) -> Any:
                return {"OrderedDict": OrderedDict, "_rebuild_tensor_v2": _strided}.get(name, name)

        import io

        return Reader(io.BytesIO(records["data.pkl"])).load()
    except Exception:  # parts that this small reader does not support
        return None


def _strided(storage: np.ndarray, offset: int, shape: tuple, strides: tuple, *_: Any) -> np.ndarray:
    bytes_of = tuple(each * storage.itemsize for each in strides)
    return np.lib.stride_tricks.as_strided(storage[offset:], shape, bytes_of).copy()


class Safetensors(Format):
    """A safetensors file."""

    name = "weights, .safetensors"
    damages = (("*.safetensors", some_bytes), ("*.safetensors", some_bytes), ("*.safetensors", some_file))

    def write(self, folder: Path, random: Random) -> None:
        save_file(_seeded_model(random).state_dict(), folder / "w.safetensors", metadata={"meta": '{"epoch": 3}'})

    def read(self, folder: Path, workers: int = 0) -> Any:
        model = _model()
        load_weights(model, folder / "w.safetensors")
        return _plain(_without_counter(model.state_dict()))

    def truth(self, folder: Path) -> Any:
        data = (folder / "w.safetensors").read_bytes()
        try:
            (length,) = struct.unpack("<Q", data[:8])
            header = json.loads(data[8 : 8 + length])
            body, kinds = data[8 + length :], {"F32": "<f4", "F16": "<f2", "F64": "<f8", "I64": "<i8"}
            header.pop("__metadata__", None)
            found = {}
            for name, entry in header.items():
                start, end = entry["data_offsets"]
                found[name] = np.frombuffer(body[start:end], kinds[entry["dtype"]]).reshape(entry["shape"])
        except (ValueError, LookupError, TypeError):
            return UNKNOWN
        return _plain(_without_counter(found))


class Resume(Format):
    """A checkpoint from which a run resumes."""

    name = "checkpoint to resume"
    damages = (("*.pth", some_entry), ("*.pth", some_entry), ("*.pth", some_bytes), ("*.pth", some_file))

    def write(self, folder: Path, random: Random) -> None:
        model = _seeded_model(random)
        optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
        model(torch.rand(2, 3, 8, 8)).sum().backward()
        optimizer.step()
        contents = {
            "meta": {"epoch": 3, "iter": 12, "seed": 5},
            "state_dict": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "message_hub": {"log_scalars": {}, "runtime_info": {"best": 0.5}},
            "loop": {"data_pass": 1, "batch": 0, "validated": True, "stopped": False},
            "ranks": [{"random": {}, "gradients": {}}],
        }
        torch.save(contents, folder / "epoch_3.pth")

    def read(self, folder: Path, workers: int = 0) -> Any:
        saved = read_resumable(folder / "epoch_3.pth")
        model = _model()
        load_weights(model, saved["state_dict"], where="epoch_3.pth")
        load_optimizer(torch.optim.SGD(model.parameters(), 0.1, momentum=0.9), saved["optimizer"], "epoch_3.pth")
        return [saved["meta"]["epoch"], saved["meta"]["iter"], _plain(_without_counter(model.state_dict()))]

    def truth(self, folder: Path) -> Any:
        contents = _unpickled(folder / "epoch_3.pth")
        if not isinstance(contents, dict) or not isinstance(contents.get("meta"), dict):
            return UNKNOWN
        state, meta = contents["state_dict"], contents["meta"]
        if not all(isinstance(value, np.ndarray) for value in state.values()):
            return UNKNOWN
        return [meta["epoch"], meta["iter"], _plain(_without_counter(state))]


class SearchFolder(Format):
    """Files of best paths and rankings of a search."""

    name = "search"
    damages = (("path_rank/*.yml", some_line), ("path_rank/*.yml", some_bytes), ("path_rank/*.yml", some_file))

    def write(self, folder: Path, random: Random) -> None:
        paths = [[5, 4, 3, 3], [3, 2, 3, 0], [0, 1, 0, 0], [1, 0, 0, random.randrange(2)]]
        ranking = [["1000", random.random()], ["0001", 1 + random.random()]]
        (folder / "path_rank").mkdir()
        (folder / "path_rank" / "bestpath_3_5_11-28.yml").write_text(yaml.safe_dump(paths))
        (folder / "path_rank" / "path_rank_3_11-28.yml").write_text(yaml.safe_dump(ranking))

    def read(self, folder: Path, workers: int = 0) -> Any:
        ranking = read_ranking(folder / "path_rank" / "path_rank_3_11-28.yml")
        return [searched_encoding(read_best_paths(_newest(folder)), folder), ranking]

    def truth(self, folder: Path) -> Any:
        try:
            paths = yaml.safe_load((folder / "path_rank" / "bestpath_3_5_11-28.yml").read_text(encoding="utf-8-sig"))
            pairs = yaml.safe_load((folder / "path_rank" / "path_rank_3_11-28.yml").read_text(encoding="utf-8-sig"))
        except (OSError, ValueError, yaml.YAMLError):
            return UNKNOWN
        stages: dict[int, list[int]] = {3: [], 2: [], 1: [], 0: []}
        for op in [op for path in paths for op in path]:
            scale, kind = ((0, 0), (0, 1), (1, 0), (1, 1), (2, 1), (3, 1))[op]
            stages[scale].append(kind)
        return [tuple(map(tuple, stages.values())), dict(pairs)]
