"""SCNN's head: reduction, messages, one class per lane for every pixel, and whether each lane is there.

Pan et al., "Spatial As Deep: Spatial CNN for Traffic Scene Understanding", AAAI 2018, arXiv 1712.06080; released code
XingangPan/SCNN (Torch7) and its port harryhan618/SCNN_Pytorch, whose numbers this gives. Levels of other trunks than
the authors' VGG, and images of other sizes than the built one, are ours.

Tensors: B batch, C channels, K lanes, H and W in pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn import functional as F

from visionzoo.errors import ConfigError, DataError, require_known
from visionzoo.heads.scnn.parts import ExistenceBranch, Reducer
from visionzoo.heads.scnn.rows import rows_of
from visionzoo.layers.message_passing import DIRECTIONS, MessagePassing
from visionzoo.layers.sample_sizes import image_size, input_size, original_size, require_single_images
from visionzoo.registry import MODELS
from visionzoo.structures.batch import NO_BATCH, Batch
from visionzoo.structures.task_sample import TaskSample

# Label of padding, which belongs to no class.
_IGNORED = 255


@MODELS.register_module()
class SCNNHead(BaseModule):
    """Lanes from left to right as classes 1 to K of every pixel, with the probability that each exists.

    Reads ``gt_map``, (H, W) uint8 in the pixels of the network's input, 0 for background and k for lane k from the
    left, and ``gt_exist``, (K,) of 0 and 1; without it lanes exist that the map shows. Padding is left out of the loss.
    Writes, lane by lane: ``pred_lanes``, a list of (n, 2) float64 arrays, points (x, y) in the original image's
    pixels from the bottom up, of at least two points; ``pred_lane_slots``, which of the K lanes each is, from 0;
    ``pred_lane_scores``, the probability in [0, 1] that it exists; and ``pred_exist``, (K,) of all these probabilities.

    Args:
        in_channels, in_strides: of every level, shallow first; filled in from the part before.
        variant: ``default`` (128 channels), or ``tiny`` (16).
        lanes: K, the same as in the data set.
        input_size: (H, W) of the images in pixels, which decides how many weights the existence branch has. Other
            sizes work too: see :class:`ExistenceBranch`.
        reducer: ``large_field`` or ``1x1``; see :class:`Reducer`.
        kernel, directions, message_bias, update_first: of the messages; see :class:`MessagePassing`.
        dropout: share of channels that training leaves out before the classifier.
        background_weight: of the background among classes of weight 1.
        exist_weight: of the loss of existence.
        exist_threshold: lanes that exist with a probability above are written.
        rows: where lanes are sampled: ``kind``, ``culane`` or ``tusimple``, and what differs from that benchmark's
            ``size``, ``gap``, ``points``, ``smooth`` and ``threshold``; see :class:`Rows`.
        init_cfg: mmengine's.

    Raises:
        ConfigError, UnknownName: settings that do not exist or contradict one another.
    """

    VARIANTS: dict[str, dict[str, int]] = {
        "default": {"width": 128, "hidden": 1024, "exist_hidden": 128},
        "tiny": {"width": 16, "hidden": 32, "exist_hidden": 32},
    }

    def __init__(
        self,
        in_channels: Sequence[int] | int,
        in_strides: Sequence[int],
        variant: str = "default",
        *,
        lanes: int = 4,
        input_size: Sequence[int] = (288, 800),
        reducer: str = "large_field",
        kernel: int = 9,
        directions: Sequence[str] = tuple(DIRECTIONS),
        message_bias: bool = False,
        update_first: bool = True,
        dropout: float = 0.1,
        background_weight: float = 0.4,
        exist_weight: float = 0.1,
        exist_threshold: float = 0.5,
        rows: Mapping | None = None,
        init_cfg: Any = None,
    ):
        super().__init__(init_cfg)
        require_known(variant, self.VARIANTS, "SCNNHead variant")
        if lanes < 1:
            raise ConfigError("SCNNHead", expected="lanes from 1 on", found=f"{lanes}", advice="4 is usual")
        channels = [in_channels] if isinstance(in_channels, int) else list(in_channels)
        widths = self.VARIANTS[variant]
        self.reducer = Reducer(channels, list(in_strides), reducer, widths["width"], widths["hidden"])
        self.messages = MessagePassing(
            widths["width"], kernel, directions, bias=message_bias, update_first=update_first
        )
        self.classifier = nn.Sequential(nn.Dropout2d(dropout), nn.Conv2d(widths["width"], lanes + 1, 1))
        self.existence = ExistenceBranch(lanes, _grid_of(input_size, self.reducer.stride), widths["exist_hidden"])
        self.lanes, self.rows = lanes, rows_of(rows)
        self.exist_weight, self.exist_threshold = exist_weight, exist_threshold
        self.register_buffer("class_weights", torch.tensor([background_weight] + [1.0] * lanes), persistent=False)

    def forward(self, feats: Sequence[Tensor], batch: Batch = NO_BATCH) -> tuple[Tensor, Tensor]:
        """Logits of every pixel's class, (B, K + 1, H, W) at the size of the padded images, and of existence, (B, K).

        Without samples that size is the reduced map's times its stride.
        """
        logits = self.classifier(self.messages(self.reducer(feats)))
        size = input_size(batch.samples, logits.shape[2:], self.reducer.stride)
        return F.interpolate(logits, size=size, mode="bilinear", align_corners=True), self.existence(logits)

    def loss(self, feats: Sequence[Tensor], batch: Batch) -> dict[str, Tensor]:
        """``loss_map``, the weighted mean over all pixels, and ``loss_exist``, which are summed.

        Raises:
            DataError: a sample without ``gt_map``, or with one of another size than its image or of other classes,
                or with ``gt_exist`` of another length.
        """
        (logits, exist), samples = self(feats, batch), batch.samples
        require_single_images(len(logits), samples)
        truths = [_map_of(sample, self.lanes) for sample in samples]
        labels = torch.stack([_padded(truth, logits.shape[2:]) for truth in truths]).to(logits.device)
        exists = torch.stack([_exist_of(*both, self.lanes) for both in zip(samples, truths)]).to(exist)
        with torch.autocast(logits.device.type, enabled=False):
            weights = self.class_weights.float()
            found = F.cross_entropy(logits.float(), labels.long(), weights, ignore_index=_IGNORED)
            existence = F.binary_cross_entropy_with_logits(exist.float(), exists.float())
        return {"loss_map": found, "loss_exist": self.exist_weight * existence}

    @torch.no_grad()
    def predict(self, feats: Sequence[Tensor], batch: Batch) -> Sequence[TaskSample]:
        """The samples with ``pred_lanes``, ``pred_lane_slots``, ``pred_lane_scores`` and ``pred_exist``."""
        (logits, exist), samples = self(feats, batch), batch.samples
        require_single_images(len(logits), samples)
        for image, score, sample in zip(logits.float(), exist.float().sigmoid(), samples, strict=True):
            height, width = image_size(sample, image.shape[1:])
            self._write(image[:, :height, :width].softmax(0), score, sample)
        return samples

    def _write(self, prob: Tensor, exist: Tensor, sample: TaskSample) -> None:
        scores = exist.tolist()
        size = original_size(sample, prob.shape[1:])
        found = self.rows.lanes(prob.cpu().numpy(), [score > self.exist_threshold for score in scores], size)
        slots = [slot for slot, lane in enumerate(found) if lane is not None]
        sample.pred_lanes = [found[slot] for slot in slots]
        sample.pred_lane_slots = slots
        sample.pred_lane_scores = [scores[slot] for slot in slots]
        sample.pred_exist = exist


# --------------------------------------------------------------------------- samples


def _grid_of(input_size: Sequence[int], stride: int) -> tuple[int, int]:
    """Cells of two by two places of the reduced map."""
    sizes = tuple(input_size)
    if len(sizes) != 2 or min(sizes) < 1:
        raise ConfigError(
            "SCNNHead.input_size", expected="(height, width) in pixels", found=f"{input_size}", advice="use (288, 800)"
        )
    height, width = (max(1, side // (2 * stride)) for side in sizes)
    return height, width


def _map_of(sample: TaskSample, lanes: int) -> Tensor:
    """(H, W) of 0 to K."""
    where = sample.metainfo.get("img_path")
    if "gt_map" not in sample:
        raise DataError(where, expected="gt_map to learn from", found="none", advice="use a list of images with masks")
    truth = sample.gt_map
    expected = tuple(sample.metainfo.get("img_shape", truth.shape)[:2])
    if truth.is_floating_point() or tuple(truth.shape) != expected:
        raise DataError(
            where,
            expected=f"gt_map of integers and of {expected} (height, width)",
            found=f"{truth.dtype} of {tuple(truth.shape)}",
            advice="change the mask together with its image",
        )
    if truth.numel() and not 0 <= int(truth.amin()) <= int(truth.amax()) <= lanes:
        raise DataError(
            where,
            expected=f"lanes 0 to {lanes} in gt_map",
            found=f"{int(truth.amin())} to {int(truth.amax())}",
            advice="check the mask, or set model.head.lanes",
        )
    return truth


def _padded(truth: Tensor, size: Sequence[int]) -> Tensor:
    height, width = truth.shape
    return F.pad(truth.int(), (0, size[1] - width, 0, size[0] - height), value=_IGNORED)


def _exist_of(sample: TaskSample, truth: Tensor, lanes: int) -> Tensor:
    """(K,) of 0 and 1, from the map where the list says nothing."""
    if "gt_exist" not in sample:
        return torch.stack([(truth == lane).any() for lane in range(1, lanes + 1)])
    exist = torch.as_tensor(sample.gt_exist)
    if tuple(exist.shape) != (lanes,):
        raise DataError(
            sample.metainfo.get("img_path"),
            expected=f"gt_exist of {lanes} numbers",
            found=f"{tuple(exist.shape)}",
            advice="check the list, or set model.head.lanes",
        )
    return exist
