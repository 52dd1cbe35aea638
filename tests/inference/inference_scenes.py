"""Images and weights for inference."""

from pathlib import Path

import cv2
import numpy as np
import torch

from visionzoo.zoo import get_model

CLASSES = ("circle", "square", "star")


def save_weights(name: str, path: Path) -> Path:
    """Save weights of a tiny model with three classes, random enough that no two scores are equal."""
    torch.manual_seed(0)
    model = get_model(name, tiny=True, num_classes=len(CLASSES))
    generator = torch.Generator().manual_seed(1)
    for key, value in model.state_dict().items():
        if "cls.weight" in key or "fc_cls" in key:
            value += 0.3 * torch.randn(value.shape, generator=generator)
        elif "reg.weight" in key or "fc_reg" in key:
            value += 0.03 * torch.randn(value.shape, generator=generator)
    torch.save(
        {"state_dict": model.state_dict(), "meta": {"dataset_meta": {"classes": CLASSES, "category_ids": [1, 5, 9]}}},
        path,
    )
    return path


def scene(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Return an image with structure, (H, W, 3) uint8 RGB."""
    rng = np.random.default_rng(seed)
    image = np.full((height, width, 3), rng.integers(0, 255, 3), np.uint8)
    for _ in range(6):
        corners = rng.integers(0, max(height, width), (2, 2))
        cv2.rectangle(image, corners[0].tolist(), corners[1].tolist(), rng.integers(0, 255, 3).tolist(), -1)
    return image


def save_video(path: Path, frames: int = 12, size: tuple[int, int] = (48, 64), fps: float = 12.5) -> Path:
    """Save a video: frame n is grey, about 10 + 15 (n % 16), with a dark square in its lower left corner."""
    code = cv2.VideoWriter.fourcc(*("MJPG" if path.suffix in (".avi", ".mkv") else "mp4v"))
    writer = cv2.VideoWriter(str(path), code, fps, size[::-1])
    assert writer.isOpened()
    for number in range(frames):
        image = np.full((*size, 3), 10 + 15 * (number % 16), np.uint8)
        image[-16:, :16] = 0
        writer.write(image)
    writer.release()
    return path
