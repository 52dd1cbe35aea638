"""SCNN's head: reduction, message passing, classes of pixels (background or a lane), and existence of lanes.

Pan et al., "Spatial As Deep: Spatial CNN for Traffic Scene Understanding", AAAI 2018, arXiv 1712.06080. The
released code is XingangPan/SCNN (Torch7). Outputs equal those of its port harryhan618/SCNN_Pytorch. Support for trunks
other than the authors' VGG, and for images of another size than ``input_size``, is our addition.

Tensors: B batch, C channels, K lanes, H and W in pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn import functional as F

from visionzoo.allowed import Count, Few, Part, Share, Sides, Weight
from visionzoo.errors import DataError, require_known
from visionzoo.heads.scnn.parts import ExistenceBranch, Reducer
from visionzoo.heads.scnn.rows import rows_of
from visionzoo.layers.message_passing import DIRECTIONS, MessagePassing
from visionzoo.layers.sample_sizes import image_size, input_size, original_size, require_single_images
from visionzoo.registry import MODELS
from visionzoo.structures.batch import NO_BATCH, Batch
from visionzoo.structures.task_sample import TaskSample

# Label of padding, which the loss ignores.
_IGNORED = 255


@MODELS.register_module()
class SCNNHead(BaseModule):
    """Classify every pixel as background or one of K lanes, and predict the probability that each lane exists.

    Lanes are classes 1 to K from left to right.

    Reads:
        ``gt_map``: (H, W) of integers, of the size of the resized image without padding: 0 for background, k for lane k
            from the left. The loss ignores the padding of the batch.
        ``gt_exist``: (K,) of 0 and 1. If it is missing, a lane exists if ``gt_map`` has a pixel of it.

    Writes (the first three have one entry for each predicted lane):
        ``pred_lanes``: list of (n, 2) float64 arrays, n >= 2: points (x, y) from bottom to top in pixels of the
            original image.
        ``pred_lane_slots``: slot of the lane, 0 to K - 1; its class is the slot plus 1.
        ``pred_lane_scores``: probability in [0, 1] that the lane exists.
        ``pred_exist``: (K,) probabilities of all K lanes.

    Args:
        in_channels, in_strides: channels and strides of every level, shallow first; filled in from the preceding part.
        variant: ``default`` (128 channels), or ``tiny`` (16).
        lanes: K, the same as in the data set, >= 1.
        input_size: usual (H, W) of the images in pixels. It determines the number of weights of the existence branch.
            Images of other sizes are pooled to the same grid; see :class:`ExistenceBranch`.
        reducer: ``large_field`` or ``1x1``; see :class:`Reducer`.
        kernel, directions, message_bias, update_first: settings of the message passing; see :class:`MessagePassing`.
        dropout: probability of dropping a channel before the classifier in training.
        background_weight: weight of the background in the loss; all lanes have weight 1.
        exist_weight: weight of the existence loss.
        exist_threshold: a lane is predicted if its existence probability exceeds this value.
        rows: sampling of the lanes: ``kind`` (``culane`` or ``tusimple``), and optional values that replace that
            benchmark's ``size``, ``gap``, ``points``, ``smooth`` and ``threshold``; see :class:`Rows`.
        init_cfg: initialisation config of mmengine.

    Raises:
        UnknownName: an unknown variant, reducer or setting of ``rows``.
        ConfigError: a value out of its range, an unknown direction, or unequal numbers of channels and strides.

    Example:
        >>> import torch
        >>> head = SCNNHead([8], [8], "tiny", lanes=4, input_size=(32, 64))
        >>> logits, exist = head([torch.zeros(1, 8, 4, 8)])
        >>> logits.shape, exist.shape
        (torch.Size([1, 5, 32, 64]), torch.Size([1, 4]))
    """

    VARIANTS: dict[str, dict[str, int]] = {
        "default": {"width": 128, "hidden": 1024, "exist_hidden": 128},
        "tiny": {"width": 16, "hidden": 32, "exist_hidden": 32},
    }

    def __init__(
        self,
        in_channels: Sequence[Count] | Count,
        in_strides: Sequence[Count],
        variant: str = "default",
        *,
        lanes: Few = 4,
        input_size: Sides = (288, 800),
        reducer: str = "large_field",
        kernel: Few = 9,
        directions: Sequence[str] = tuple(DIRECTIONS),
        message_bias: bool = False,
        update_first: bool = True,
        dropout: Part = 0.1,
        background_weight: Weight = 0.4,
        exist_weight: Weight = 0.1,
        exist_threshold: Share = 0.5,
        rows: Mapping | None = None,
        init_cfg: Any = None,
    ):
        super().__init__(init_cfg)
        require_known(variant, self.VARIANTS, "SCNNHead variant")
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
        """Return logits of the pixel classes, (B, K + 1, H, W), and of existence, (B, K).

        H and W are the size of the padded images. Without samples, they are the size of the reduced map times its
        stride.
        """
        logits = self.classifier(self.messages(self.reducer(feats)))
        size = input_size(batch.samples, logits.shape[2:], self.reducer.stride)
        return F.interpolate(logits, size=size, mode="bilinear", align_corners=True), self.existence(logits)

    def loss(self, feats: Sequence[Tensor], batch: Batch) -> dict[str, Tensor]:
        """Return ``loss_map`` and ``loss_exist``; the total loss is their sum.

        ``loss_map`` is the class-weighted mean over all pixels except padding. ``loss_exist`` is already multiplied by
        ``exist_weight``.

        Raises:
            DataError: a sample has no ``gt_map``, the size of ``gt_map`` differs from the image, ``gt_map`` has a value
                outside 0 to K, or ``gt_exist`` does not have K entries.
        """
        (logits, exist), samples = self(feats, batch), batch.samples
        require_single_images(len(logits), samples)
        truths = [_map_of(sample, self.lanes) for sample in samples]
        labels = torch.stack([_padded(truth, logits.shape[2:]) for truth in truths]).to(logits.device)
        exists = torch.stack([_exist_of(*both, self.lanes) for both in zip(samples, truths)]).to(exist)
        with torch.autocast(logits.device.type, enabled=False):
            weights = self.class_weights.float()
            pixels = F.cross_entropy(logits.float(), labels.long(), weights, ignore_index=_IGNORED)
            existence = F.binary_cross_entropy_with_logits(exist.float(), exists.float())
        return {"loss_map": pixels, "loss_exist": self.exist_weight * existence}

    GRAPH_OUTPUTS = ("maps", "existence")
    LOGIT_LAYERS = ("classifier.1",)
    FIXED_GRAPH_SIZE = "the layer that decides which lanes exist is linear in all cells of the map"

    def graph_outputs(self, feats: Sequence[Tensor], batch: Batch, sizes: Tensor) -> dict[str, Tensor]:
        """Return ``maps`` (B, K + 1, H, W) and ``existence`` (B, K), probabilities, for an exported graph."""
        logits = self.classifier(self.messages(self.reducer(feats)))
        size = (batch.inputs.shape[2], batch.inputs.shape[3])
        maps = F.interpolate(logits, size=size, mode="bilinear", align_corners=True)
        return {"maps": maps.float().softmax(1), "existence": self.existence(logits).float().sigmoid()}

    def graph_settings(self) -> dict[str, Any]:
        """Return how maps become points, for the metadata of an exported graph."""
        return {"rows": asdict(self.rows), "exist_threshold": self.exist_threshold}

    @torch.no_grad()
    def predict(self, feats: Sequence[Tensor], batch: Batch) -> Sequence[TaskSample]:
        """Return the samples with ``pred_lanes``, ``pred_lane_slots``, ``pred_lane_scores`` and ``pred_exist``."""
        (logits, exist), samples = self(feats, batch), batch.samples
        require_single_images(len(logits), samples)
        for image, score, sample in zip(logits.float(), exist.float().sigmoid(), samples, strict=True):
            height, width = image_size(sample, image.shape[1:])
            self._write(image[:, :height, :width].softmax(0), score, sample)
        return samples

    def _write(self, prob: Tensor, exist: Tensor, sample: TaskSample) -> None:
        scores = exist.tolist()
        size = original_size(sample, prob.shape[1:])
        lanes = self.rows.lanes(prob.cpu().numpy(), [score > self.exist_threshold for score in scores], size)
        slots = [slot for slot, lane in enumerate(lanes) if lane is not None]
        sample.pred_lanes = [lanes[slot] for slot in slots]
        sample.pred_lane_slots = slots
        sample.pred_lane_scores = [scores[slot] for slot in slots]
        sample.pred_exist = exist


# --------------------------------------------------------------------------- samples


def _grid_of(input_size: Sequence[int], stride: int) -> tuple[int, int]:
    """Return (rows, columns) of the reduced map after 2x2 pooling."""
    height, width = (max(1, side // (2 * stride)) for side in input_size)
    return height, width


def _map_of(sample: TaskSample, lanes: int) -> Tensor:
    """Return the checked ``gt_map``, (H, W) with values 0 to K."""
    where = sample.metainfo.get("img_path")
    if "gt_map" not in sample:
        raise DataError(where, expected="gt_map to learn from", found="none", advice="use a training list with masks")
    truth = sample.gt_map
    expected = tuple(sample.metainfo.get("img_shape", truth.shape)[:2])
    if truth.is_floating_point() or tuple(truth.shape) != expected:
        raise DataError(
            where,
            expected=f"gt_map of integers and of {expected} (height, width)",
            found=f"{truth.dtype} of {tuple(truth.shape)}",
            advice="apply the same geometric transforms to the mask and its image",
        )
    if truth.numel() and not 0 <= int(truth.amin()) <= int(truth.amax()) <= lanes:
        raise DataError(
            where,
            expected=f"values from 0 (background) to {lanes} in gt_map",
            found=f"{int(truth.amin())} to {int(truth.amax())}",
            advice="check the mask, or set model.head.lanes",
        )
    return truth


def _padded(truth: Tensor, size: Sequence[int]) -> Tensor:
    height, width = truth.shape
    return F.pad(truth.int(), (0, size[1] - width, 0, size[0] - height), value=_IGNORED)


def _exist_of(sample: TaskSample, truth: Tensor, lanes: int) -> Tensor:
    """Return (K,) of 0 and 1: ``gt_exist``, or computed from the map if the sample has no ``gt_exist``."""
    if "gt_exist" not in sample:
        return torch.stack([(truth == lane).any() for lane in range(1, lanes + 1)])
    exist = torch.as_tensor(sample.gt_exist)
    if tuple(exist.shape) != (lanes,):
        raise DataError(
            sample.metainfo.get("img_path"),
            expected=f"gt_exist of {lanes} numbers",
            found=f"{tuple(exist.shape)}",
            advice="check gt_exist in the list of images, or set model.head.lanes",
        )
    return exist
