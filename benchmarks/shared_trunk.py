"""Three heads on one trunk against three models: inference and a training step, time and memory.

    python benchmarks/shared_trunk.py                # 256x448, two images, two minutes
    python benchmarks/shared_trunk.py --size 64 96 --depth 18

Trunk: ResNet-50 with FPN. Heads: boxes (ATSS), a count (DensityHead), classes of pixels (mmseg's FCNHead). Both sides
have the same weights and receive the same batch, whose images have the truth of all three tasks. Images that have the
truth of one task each save no time in training, because the trunk sees each of them once in either case.

Predictions, losses and the sums of the gradients of the trunk are first checked to be equal. Then both sides run in
turns in one process on one thread. Times are CPU time, medians of the rounds. A second run of each side measures the
increase of memory to its peak; the weights are counted once for each model."""

from __future__ import annotations

import argparse
import copy
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.structures import InstanceData
from timing import Row, Run, mebibytes, peak_memory, record, time_in_turns
from torch import Tensor, nn

from visionzoo.models.wiring import build_model
from visionzoo.structures.task_sample import TaskSample

GOAL, TOLERANCE, CLASSES = 1 / 1.8, 1e-5, 8

HEADS: dict[str, dict[str, Any]] = {
    "detection": dict(
        type="mmdet.ATSSHead",
        num_classes=CLASSES,
        stacked_convs=2,
        feat_channels=64,
        norm_cfg=dict(type="GN", num_groups=16),
        anchor_generator=dict(type="mmdet.AnchorGenerator", ratios=[1.0], octave_base_scale=4, scales_per_octave=1),
        bbox_coder=dict(type="mmdet.DeltaXYWHBBoxCoder", target_stds=[0.1, 0.1, 0.2, 0.2]),
        loss_bbox=dict(type="mmdet.GIoULoss", loss_weight=2.0),
        train_cfg=dict(assigner=dict(type="mmdet.ATSSAssigner", topk=9), allowed_border=-1, pos_weight=-1),
        test_cfg=dict(nms_pre=1000, score_thr=0.05, nms=dict(type="nms", iou_threshold=0.6), max_per_img=100),
    ),
    "counting": dict(type="DensityHead", variant="lite"),
    "semantic": dict(
        type="mmseg.FCNHead", num_classes=CLASSES, channels=64, in_index=0, num_convs=1, dropout_ratio=0.0
    ),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Print times and memory. Return 1 if a goal is missed, 2 if results differ."""
    args = parser().parse_args(argv)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    warnings.filterwarnings("ignore", category=UserWarning)
    joint = model_of(args.depth, heads=HEADS)
    apart = {name: single(joint, name, args.depth) for name in HEADS}
    inputs, samples = batch_of(args.batch, args.size)
    if not equal_results(joint, apart, inputs, samples):
        print("results differ; nothing was timed")
        return 2
    size = f"{args.batch} images of {args.size[0]}x{args.size[1]}, ResNet-{args.depth}"
    codes = []
    for what, run in (("inference", predict), ("a training step", step)):
        sides: dict[str, Run] = {
            "ours": lambda run=run: run(joint, inputs, samples),
            "theirs": lambda run=run: [run(model, inputs, samples) for model in apart.values()],
        }
        seconds = time_in_turns(sides, args.rounds)
        report_memory(what, sides, {"ours": [joint], "theirs": list(apart.values())})
        codes.append(
            record(
                Row(
                    f"three heads, {what}, {size}",
                    "three models",
                    seconds["ours"],
                    seconds["theirs"],
                    f"{TOLERANCE:g} relative",
                    GOAL,
                )
            )
        )
    return max(codes)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--rounds", type=int, default=5, help="turns of each side, at least 5 (default: 5)")
    made.add_argument("--size", type=int, nargs=2, default=(256, 448), metavar=("H", "W"), help="default: 256 448")
    made.add_argument("--batch", type=int, default=2, help="images of a batch (default: 2)")
    made.add_argument("--depth", type=int, default=50, choices=(18, 50), help="layers of the ResNet (default: 50)")
    return made


def model_of(depth: int, **heads: Any) -> nn.Module:
    """Return a task model with new weights."""
    backbone = dict(type="mmdet.ResNet", depth=depth, norm_eval=True)
    neck = dict(type="mmdet.FPN", out_channels=64, num_outs=5, start_level=1, add_extra_convs="on_output")
    model = build_model(dict(type="TaskModel", backbone=backbone, neck=neck, **heads))
    model.init_weights()
    return model


def single(joint: nn.Module, name: str, depth: int) -> nn.Module:
    """Return the model of one task with the weights of the joint model."""
    model = model_of(depth, head=HEADS[name])
    own = {key.replace(f"heads.{name}.", "head."): value for key, value in joint.state_dict().items()}
    model.load_state_dict({key: value for key, value in own.items() if not key.startswith("heads.")})
    return model


def batch_of(count: int, size: Sequence[int]) -> tuple[Tensor, list[TaskSample]]:
    """Return images, and samples with the truth of all tasks."""
    height, width = size
    shape = (height, width)
    samples = []
    for _ in range(count):
        about = dict(img_shape=shape, ori_shape=shape, pad_shape=shape, batch_input_shape=shape)
        corners = torch.rand(6, 2) * torch.tensor([width * 0.6, height * 0.6])
        sample = TaskSample(metainfo=about)
        sample.gt_instances = InstanceData(
            bboxes=torch.cat([corners, corners + 24], 1), labels=torch.arange(6) % CLASSES
        )
        sample.gt_density = torch.rand(shape) / 100
        sample.gt_map = torch.randint(0, CLASSES, shape)
        samples.append(sample)
    return torch.randn(count, 3, *shape), samples


@torch.no_grad()
def predict(model: nn.Module, inputs: Tensor, samples: Sequence[TaskSample]) -> Any:
    """Return the predictions of a batch."""
    return model.eval()(inputs, [sample.new() for sample in samples], mode="predict")


def step(model: nn.Module, inputs: Tensor, samples: Sequence[TaskSample]) -> dict[str, Tensor]:
    """Compute losses and gradients of a batch, and return the losses."""
    model.train()
    model.zero_grad()
    losses = model(inputs, copy.copy(samples), mode="loss")
    model.parse_losses(losses)[0].backward()
    return losses


def equal_results(joint: nn.Module, apart: Mapping[str, nn.Module], inputs: Tensor, samples: list[TaskSample]) -> bool:
    """Return True if predictions, losses and summed gradients of the trunk are equal up to rounding."""
    found = predict(joint, inputs, samples)
    losses = step(joint, inputs, samples)
    pairs = []
    gradients: dict[str, Tensor] = {}
    for name, model in apart.items():
        for ours, theirs in zip(found, predict(model, inputs, samples), strict=True):
            pairs += zip(predicted(ours.get(name)), predicted(theirs), strict=True)
        pairs += [(losses[f"{name}.{key}"], value) for key, value in step(model, inputs, samples).items()]
        for key, value in trunk_gradients(model).items():
            gradients[key] = gradients[key] + value if key in gradients else value
    joined = trunk_gradients(joint)
    pairs += [(joined[key], value) for key, value in gradients.items()]
    return joined.keys() == gradients.keys() and all(close(*pair) for pair in pairs)


def predicted(sample: TaskSample) -> list[Tensor]:
    """Return the predictions of a sample as tensors."""
    if "pred_instances" in sample:
        return [sample.pred_instances.bboxes, sample.pred_instances.scores]
    return [sample.seg_logits.data] if "seg_logits" in sample else [sample.pred_density]


def trunk_gradients(model: nn.Module) -> dict[str, Tensor]:
    """Return the gradients of backbone and neck by name."""
    named = model.named_parameters()
    return {name: value.grad for name, value in named if "head" not in name and value.grad is not None}


def close(ours: Tensor, theirs: Tensor) -> bool:
    """Return True if two tensors are equal up to rounding."""
    if ours.shape != theirs.shape:
        return False
    largest = theirs.abs().max() if theirs.numel() else torch.tensor(0.0)
    return not ours.numel() or bool((ours - theirs).abs().max() <= TOLERANCE * largest)


def report_memory(what: str, sides: Mapping[str, Run], models: Mapping[str, Sequence[nn.Module]]) -> None:
    """Print the peak of each side with its weights, in MiB."""
    for name, run in sides.items():
        for model in models[name]:
            model.zero_grad(set_to_none=True)
        weights = sum(value.nbytes for model in models[name] for value in model.state_dict().values())
        peak = peak_memory(run)
        total = None if peak is None else peak + weights
        print(f"{what}, {name}: peak {mebibytes(total)} MiB, of which weights {mebibytes(weights)}", flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
