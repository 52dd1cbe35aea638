"""Classifiers of the zoo and of timm with one interface: images in, logits or features out.

The transform ``reference`` is that of the released evaluation for every model: shorter side to 256, centre crop of 224
pixels. Models of timm then receive ImageNet's mean and deviation. Models of the zoo keep their own normalisation, which
is a part of the model. The transform ``model`` is that of each model itself.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor, nn
from torchvision.transforms import functional as F

from visionzoo.converters import tensors_of
from visionzoo.errors import CheckpointError, ConfigError, DataError
from visionzoo.inference.inferencer import Inferencer
from visionzoo.inference.resuming import digest_of, fingerprint
from visionzoo.metrics.geo_shift import top_k
from visionzoo.suites._base import Record, SuiteData, SuiteModel, SuiteSettings
from visionzoo.suites._models import shown_name
from visionzoo.system.devices import choose_device
from visionzoo.weights.weight_file import read_weight_file

TRANSFORMS = ("reference", "model")
KEPT = 5  # best classes of a record
_TASK = "classification"
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_UNFIT = (RuntimeError, AssertionError, ValueError, IndexError, TypeError)


def read_image(path: str, border: int = 0) -> Image.Image:
    """Return an image in RGB, also of a grey file or one with transparency; EXIF orientation is not applied.

    Args:
        path: the file. Its content decides the format, not its ending.
        border: width in pixels of the border that is cropped.

    Raises:
        DataError: the file cannot be read as an image.
    """
    try:
        with Image.open(path) as file:
            image = file.convert("RGB")
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = getattr(error, "strerror", None) or f"{error}"
        but = f"it cannot be read ({reason})"
        raise DataError(path, expected="an image", but=but, advice="get it again") from error
    if border:
        image = image.crop((border, border, image.width - border, image.height - border))
    return image


def reference_crop(image: Image.Image, size: int) -> np.ndarray:
    """Resize the shorter side to ``size * 256 / 224`` and crop the centre, (size, size, 3) uint8 RGB.

    Example:
        >>> reference_crop(Image.new("RGB", (50, 40)), 28).shape
        (28, 28, 3)
    """
    return np.asarray(F.center_crop(F.resize(image, round(size * 256 / 224)), [size, size]))


class Classifier(SuiteModel):
    """A classifier under evaluation.

    Args:
        name: its name in tables.
        net: the module.
        facts: config and weights, for the digest.
        settings: settings of the suite.
        transform: one of ``TRANSFORMS``.
        size: side of the crop of the transform ``reference``, in pixels.
        workers: number of threads that read images.

    Attributes:
        classes: number of classes.
    """

    def __init__(
        self,
        name: str,
        net: nn.Module,
        facts: Mapping[str, Any],
        *,
        transform: str,
        size: int,
        workers: int,
    ):
        self.name, self.net, self.transform, self.size, self.workers = name, net, transform, size, workers
        parameter = next(net.parameters(), None)
        self.device = torch.device("cpu") if parameter is None else parameter.device
        self.digest = digest_of({"model": fingerprint(net), "transform": transform, "size": size, **facts})[:12]
        self.about = {"weights": str(facts.get("weights"))}
        self.classes = 0

    @abstractmethod
    def batch_of(self, images: Sequence[Image.Image]) -> Any:
        """Return the input of the network for images."""

    @abstractmethod
    def run(self, batch: Any) -> Tensor:
        """Return logits (B, K)."""

    @abstractmethod
    def last_layer(self) -> nn.Linear:
        """Return the linear layer that gives the logits.

        Raises:
            ConfigError: the model has none.
        """

    def predict(self, data: SuiteData, numbers: Sequence[int]) -> list[Record]:
        """Return the best classes of each sample, of those that compete, and their probabilities."""
        logits = self.logits(data, numbers)
        competing = data.about.get("competing")
        columns = np.arange(logits.shape[1]) if competing is None else np.asarray(competing)
        return records_of(logits[:, columns], columns)

    def logits(self, data: SuiteData, numbers: Sequence[int]) -> np.ndarray:
        """Return the logits of samples, (B, K) float32."""
        return self._run_on(data, numbers, lambda logits: logits)

    def features(self, data: SuiteData, numbers: Sequence[int]) -> np.ndarray:
        """Return what the last layer receives, (B, C) float32. Nothing in the network changes."""
        kept: list[Tensor] = []
        handle = self.last_layer().register_forward_pre_hook(lambda module, inputs: kept.append(inputs[0]))
        try:
            return self._run_on(data, numbers, lambda logits: kept.pop().flatten(1))
        finally:
            handle.remove()

    def _run_on(self, data: SuiteData, numbers: Sequence[int], taken: Callable[[Tensor], Tensor]) -> np.ndarray:
        paths = [data.samples[number]["img_path"] for number in numbers]
        border = data.about.get("border", 0)
        with ThreadPoolExecutor(max(1, self.workers)) as pool:
            images = list(pool.map(lambda path: read_image(path, border), paths))
        try:
            with torch.no_grad():
                return taken(self.run(self.batch_of(images))).float().cpu().numpy()
        except torch.OutOfMemoryError:
            raise
        except _UNFIT as error:
            raise ConfigError(
                self.name,
                expected=f"a model that accepts the transform {self.transform} ({self.size} pixels)",
                but=f"it does not run ({type(error).__name__}: {' '.join(str(error).split())[:120]})",
                advice="add --set transform=model",
            ) from error

    def crops(self, images: Sequence[Image.Image]) -> Tensor:
        """Return the crops of the transform ``reference``, (B, 3, size, size) uint8."""
        stacked = np.stack([reference_crop(image, self.size) for image in images])
        return torch.from_numpy(stacked).permute(0, 3, 1, 2).contiguous()


def records_of(logits: np.ndarray, columns: np.ndarray) -> list[Record]:
    """Return the best classes of each row and their softmax probabilities.

    Args:
        logits: (N, C).
        columns: (C,) class index of each column, ascending.

    Example:
        >>> records_of(np.array([[0.0, 0.0]]), np.array([3, 8]))
        [{'top': [3, 8], 'score': [0.5, 0.5]}]
    """
    best = top_k(logits, min(KEPT, logits.shape[1]))
    shifted = np.exp(np.asarray(logits, np.float64) - np.nanmax(logits, axis=1, keepdims=True))
    shares = np.take_along_axis(shifted / np.nansum(shifted, axis=1, keepdims=True), best, axis=1)
    return [
        {"top": columns[row].tolist(), "score": [round(float(share), 6) for share in each]}
        for row, each in zip(best, shares, strict=True)
    ]


class ZooClassifier(Classifier):
    """A classifier of the zoo."""

    def __init__(self, name: str, inferencer: Inferencer, **options: Any):
        facts = {"config": inferencer.config.model.to_dict(), "weights": inferencer.weights and inferencer.weights.name}
        super().__init__(name, inferencer.model, facts, **options)
        self.inferencer = inferencer
        self._skipped = int(getattr(self._head(), "background_class", False))
        self.classes = int(getattr(self._head(), "num_classes", 0)) - self._skipped

    def _head(self) -> Any:
        return _head_of(self.net)

    def batch_of(self, images: Sequence[Image.Image]) -> Any:
        """Return preprocessed inputs and samples."""
        preprocessor: Any = self.net.data_preprocessor
        if self.transform == "reference":
            return preprocessor({"inputs": list(self.crops(images))})
        inputs = self.inferencer.prepare.inputs.sources_of([np.asarray(image) for image in images], recursive=False)
        samples = [self.inferencer.prepare(source, keep_image=False).sample for source in inputs]
        return preprocessor({key: [each[key] for each in samples] for key in ("inputs", "data_samples")})

    def run(self, batch: Any) -> Tensor:
        """Return logits without the background class."""
        raw = self.net(batch["inputs"], batch.get("data_samples"), mode="tensor")
        logits = raw[_TASK] if isinstance(raw, Mapping) else raw
        return logits[:, self._skipped :]

    def last_layer(self) -> nn.Linear:
        """Return the linear layer of the head."""
        layer = getattr(self._head(), "fc", None)
        if not isinstance(layer, nn.Linear) or self._skipped:
            raise _no_linear(self.name)
        return layer


class TimmClassifier(Classifier):
    """A classifier of timm."""

    def __init__(self, name: str, net: nn.Module, weights: str, **options: Any):
        super().__init__(name, net, {"weights": weights, "name": name}, **options)
        self.classes = int(net.num_classes)  # type: ignore[arg-type]
        self._own = self._own_transform() if self.transform == "model" else None

    def _own_transform(self) -> Callable[[Image.Image], Tensor]:
        import timm

        return timm.data.create_transform(**timm.data.resolve_model_data_config(self.net))

    def batch_of(self, images: Sequence[Image.Image]) -> Tensor:
        """Return normalised images (B, 3, H, W)."""
        if self._own is not None:
            return torch.stack([self._own(image) for image in images]).to(self.device)
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in (_MEAN, _STD))
        return ((self.crops(images) / 255 - mean) / std).to(self.device)

    def run(self, batch: Tensor) -> Tensor:
        """Return logits."""
        return self.net(batch)

    def last_layer(self) -> nn.Linear:
        """Return timm's classifier."""
        layer = self.net.get_classifier() if hasattr(self.net, "get_classifier") else None  # type: ignore[operator]
        if not isinstance(layer, nn.Linear):
            raise _no_linear(self.name)
        return layer


def _no_linear(name: str) -> ConfigError:
    return ConfigError(
        name, expected="a linear last layer to retrain", found="none", advice="leave out --set retrain_shares=..."
    )


def open_classifier(
    name: str, weights: str | None, settings: SuiteSettings, *, transform: str, size: int, workers: int
) -> Classifier:
    """Return a classifier.

    Args:
        name: a model of the zoo, a config, the folder of a run, or ``timm.NAME``.
        weights: a file, the folder of a run, or ``none`` for an untrained model, which the seed determines. None: those
            of the run or of the card; of timm, its pretrained weights, and none with ``tiny``, which needs no download.
        settings: settings of the suite.
        transform, size, workers: see :class:`Classifier`.

    Raises:
        ConfigError: the config cannot be built, or is not a classifier.
        CheckpointError: the weights cannot be read, fetched or do not fit.
    """
    options = dict(transform=transform, size=size, workers=workers)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        if name.startswith("timm."):
            return _open_timm(name, weights, settings, options)
        inferencer = Inferencer(
            name, weights, tiny=settings.tiny, device=settings.device, options=list(settings.options)
        )
    if _TASK not in inferencer.tasks or _head_of(inferencer.model) is None:
        found = f"a model of {', '.join(inferencer.tasks)}"
        raise ConfigError(name, expected="a classifier", found=found, advice="`visionzoo list` shows tasks")
    return ZooClassifier(shown_name(inferencer.name, inferencer.run), inferencer.of_task(_TASK), **options)


def _head_of(net: Any) -> Any:
    """Return the head of a classifier; of a model with several heads, that of its classes. None without one."""
    heads = dict(getattr(net, "heads", None) or {})
    return heads.get(_TASK, getattr(net, "head", None))


def _open_timm(name: str, weights: str | None, settings: SuiteSettings, options: Mapping[str, Any]) -> Classifier:
    import timm

    short = name.removeprefix("timm.")
    weights = weights or ("none" if settings.tiny else "pretrained")
    try:
        net = timm.create_model(short, pretrained=weights == "pretrained")
    except (OSError, RuntimeError) as error:
        raise CheckpointError(
            name,
            expected="its pretrained weights",
            but=f"they could not be read or downloaded ({type(error).__name__})",
            advice="give a file in the list of models, or --weights none for an untrained model",
        ) from error
    if weights not in ("none", "pretrained"):
        _load_file(net, weights)
    net = net.to(choose_device(settings.device)).eval()
    return TimmClassifier(name, net, weights, **options)


def _load_file(net: nn.Module, weights: str) -> None:
    """Load a file with ``state_dict``, whose names may begin with ``model.``."""
    file = read_weight_file(weights)
    tensors = {name.removeprefix("model."): value for name, value in tensors_of(file.contents).items()}
    try:
        net.load_state_dict(tensors)
    except RuntimeError as error:
        raise CheckpointError(
            weights, expected="the tensors of the model", but=f"{' '.join(str(error).split())[:160]}", advice="check it"
        ) from error
