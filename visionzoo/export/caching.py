"""Export of a model as an ONNX file that replaces PyTorch for every image of its pipeline."""

from __future__ import annotations

from pathlib import Path

from visionzoo.config import LoadedConfig
from visionzoo.errors import ConfigError
from visionzoo.export.exporting import require_packages
from visionzoo.export.writing import TOLERANCE, ready, write
from visionzoo.inference.torch_backend import torch_backend


def write_for_all_images(loaded: LoadedConfig, weights: str, path: Path, *, trust_pickle: bool) -> None:
    """Write the ONNX file of a model, and compare its outputs with PyTorch's.

    Args:
        loaded: the config.
        weights: a path, an address or ``none``.
        path: the file.
        trust_pickle: True to let the weights run code while they load.

    Raises:
        NotExportable: the model has no exported form; the message states why.
        ConfigError: the file takes one size, to which the model does not bring all images.
        RunFailed: PyTorch cannot record the model, or the outputs differ by more than ``TOLERANCE``.
        MissingExtra: onnx, onnxscript or onnxruntime is not installed.
    """
    require_packages("onnx")
    backend = torch_backend(loaded, weights, device="cpu", trust_pickle=trust_pickle)
    made = ready(backend)
    if made.shape.is_fixed and made.form.divisor > 1:
        size = "x".join(map(str, made.shape.size[::-1]))
        raise ConfigError(
            f"{loaded.name} with onnxruntime",
            expected="a model that exports for any size of images",
            found=f"one size, {size}: {made.shape.reason}",
            advice="use the backend torch, or `visionzoo export --size H W` for images of one size",
        )
    write(made, "onnx", path).require_parity(TOLERANCE)
