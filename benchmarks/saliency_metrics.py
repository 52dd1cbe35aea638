"""Saliency measures: ours against one pass per threshold, and against py_sod_metrics; the numbers are equal.

    python benchmarks/saliency_metrics.py                       # drawn pairs of 480x640, about a minute
    python benchmarks/saliency_metrics.py --size 256 256 --pairs 4
    python benchmarks/saliency_metrics.py --sod DIR --rows 300  # published maps and their MATLAB results, not timed

The numbers are first checked to be equal. With py_sod_metrics, E, F, precision and recall are equal bit for bit, S and
MAE to 1e-12. With the passes, which compute whole maps, they are equal to 1e-9. Then all run in turns in one process on
one thread. Times are CPU time per pair, medians of the rounds. Memory is the increase to its peak (Linux only). The
floor is one histogram of the pair's joint levels. Accept, at 480x640: E 300 times, and precision, recall and F 80 times
as fast as the passes; S, E, F and MAE together 4 times as fast as py_sod_metrics. On smaller images the overhead of
calls outweighs the pixels. Weighted F is listed separately, because its distance transform takes longer than all other
measures.

Measured on 2026-11-25 (two x86-64 cores shared with other work, numpy 2.2), reference / ours, ms per pair:

    480x640    E 2275 / 1.2 (1900)    P, R, F 116 / 1.1 (107)    S, E, F, MAE 25 / 1.7 (15)      weighted F 32 / 23
    256x256    E   75 / 0.43 (170)    P, R, F  24 / 0.32 (75)    S, E, F, MAE 3.6 / 0.6 (6.0)    weighted F 7.7 / 5.9

Most of the remaining time is the histogram. OpenCV's histogram takes the same time. torch's bincount takes half, but
its threads wait milliseconds for each other if other work shares the cores.

``--sod`` reads DIR/gt/*.png, DIR/maps/DSS/*.png and DIR/DSS_official.mat, as published in ArcherFMY/sal_eval_toolbox
for SOD's 300 images, and prints our results and MATLAB's for each image. Protocol ``pysod`` equals MATLAB up to
rounding. These are the differences and their reasons:

- S under ``gconet``: MATLAB's ``1:X`` puts the centroid's row and column into the upper left blocks, torch's ``:X``
  does not.
- Maximum F: the toolbox uses the F of the mean precision and recall (``PR_Fmeasure_max``), py_sod_metrics and GCoNet
  use the maximum of the mean F curve.
- The toolbox divides a map by its maximum without subtracting the minimum (except for MAE). All DSS maps span 0 to
  255, so this has no effect here.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage
from timing import Row, Run, mebibytes, peak_memory, record, time_in_turns

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "metrics"))

import saliency_formulas as formulas

from visionzoo.metrics.saliency import FolderScores, score_folders, score_pair

Pair = tuple[np.ndarray, np.ndarray]

SIZE = (480, 640)  # size for which ratios are checked
ACCEPT = {"E": 300.0, "P, R, F": 80.0, "S, E, F, MAE": 4.0}
GOALS = {"S, E, F, MAE": 0.25, "weighted F": 0.8}  # shares of the time of py_sod_metrics
TOGETHER = ("Smeasure", "Emeasure", "Fmeasure", "MAE")


def main(argv: Sequence[str] | None = None) -> int:
    """Print one table. Return 1 if a ratio is not accepted, 2 if numbers differ."""
    args = parser().parse_args(argv)
    torch.set_num_threads(1)
    if args.sod is not None:
        return against_matlab(args.sod, args.rows)
    warnings.filterwarnings("ignore", module="py_sod_metrics")
    pairs = drawn(args.pairs, *args.size)
    print(f"{len(pairs)} pairs of {args.size[0]}x{args.size[1]}, one thread, per pair")
    if wrong := differences(pairs):
        print(f"numbers differ: {', '.join(wrong)}; nothing was timed", file=sys.stderr)
        return 2
    print(f"{'measures':<16}{'candidate':<16}{'median ms':>10}{'ratio':>9}{'peak MiB':>10}")
    accepted = True
    for measures, runs in candidates(pairs).items():
        seconds, memory = time_in_turns(runs, args.rounds), {name: peak_memory(run) for name, run in runs.items()}
        reference = next(iter(seconds.values()))
        for name, value in seconds.items():
            cells = f"{1e3 * value / len(pairs):>10.3f}{reference / value:>9.1f}{mebibytes(memory[name]):>10}"
            print(f"{measures:<16}{name:<16}{cells}")
        if tuple(args.size) == SIZE and reference / seconds["ours"] < ACCEPT.get(measures, 0):
            print(f"NOT accepted: at least {ACCEPT[measures]:.0f}")
            accepted = False
        if "py_sod_metrics" in seconds:
            what = f"{measures} of saliency, {args.size[0]}x{args.size[1]}"
            goal = GOALS[measures] if tuple(args.size) == SIZE else None
            ours, theirs = (seconds[name] / len(pairs) for name in ("ours", "py_sod_metrics"))
            accepted &= not record(Row(what, "py_sod_metrics", ours, theirs, "1e-12", goal))
    return 0 if accepted else 1


def parser() -> argparse.ArgumentParser:
    """Return the parser of sizes and options."""
    described = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    described.add_argument(
        "--size", type=int, nargs=2, default=SIZE, metavar=("H", "W"), help="pixels (default 480 640)"
    )
    described.add_argument("--pairs", type=int, default=2, help="pairs per run (default 2)")
    described.add_argument("--rounds", type=int, default=5, help="turns of each candidate, at least 5 (default 5)")
    described.add_argument("--sod", type=Path, metavar="DIR", help="compare with MATLAB's results instead")
    described.add_argument("--rows", type=int, default=10, help="images to print under --sod (default 10)")
    return described


def drawn(count: int, height: int, width: int) -> list[Pair]:
    """Create masks of blobs, and predictions that are saturated inside and outside, and grey and noisy between."""
    rng = np.random.default_rng(0)
    pairs = []
    for _ in range(count):
        smooth = ndimage.gaussian_filter(rng.normal(size=(height, width)), height / 12)
        mask = smooth > np.quantile(smooth, 0.8)
        blurred = ndimage.gaussian_filter(mask + rng.normal(scale=0.5, size=mask.shape), 6)
        grey = ((blurred - 0.2) * 1.4).clip(0, 1)
        pairs.append(((grey * 255).astype(np.uint8), mask * np.uint8(255)))
    return pairs


# --- candidates ---


def candidates(pairs: list[Pair]) -> dict[str, dict[str, Run]]:
    """Return the runs by measures and name. The first one of each is the reference."""
    keys = [((mask < 129) * np.uint16(256) + prediction).ravel() for prediction, mask in pairs]

    def ours(protocol: str, *measures: str) -> Run:
        return _over(pairs, lambda prediction, mask: score_pair(prediction, mask, protocol, measures))

    return {
        "E": {
            "passes": _over(pairs, lambda prediction, mask: formulas.e_curve(prediction, mask, "gconet")),
            "ours": ours("gconet", "Emeasure"),
        },
        "P, R, F": {
            "passes": _over(pairs, lambda prediction, mask: formulas.f_curves(prediction, mask, "gconet")),
            "ours": ours("gconet", "Fmeasure"),
        },
        "S, E, F, MAE": {
            "py_sod_metrics": _over(pairs, by_py_sod_metrics),
            "ours": ours("pysod", *TOGETHER),
            "floor": lambda: [np.bincount(key, minlength=512) for key in keys],
        },
        "weighted F": {
            "py_sod_metrics": _over(pairs, weighted_by_py_sod_metrics),
            "ours": ours("pysod", "Fmeasure_weighted"),
        },
    }


def _over(pairs: list[Pair], score: Callable[[np.ndarray, np.ndarray], object]) -> Run:
    return lambda: [score(prediction, mask) for prediction, mask in pairs]


def by_py_sod_metrics(prediction: np.ndarray, mask: np.ndarray) -> dict[str, dict]:
    """Return the results of py_sod_metrics by class."""
    import py_sod_metrics

    tools = {name: getattr(py_sod_metrics, name)() for name in (*TOGETHER[:3], "MAE")}
    for tool in tools.values():
        tool.step(prediction, mask)
    return {name: tool.get_results() for name, tool in tools.items()}


def weighted_by_py_sod_metrics(prediction: np.ndarray, mask: np.ndarray) -> float:
    import py_sod_metrics

    tool = py_sod_metrics.WeightedFmeasure()
    tool.step(prediction, mask)
    return tool.get_results()["wfm"]


def differences(pairs: list[Pair]) -> list[str]:
    """Return the names of unequal numbers and curves."""
    wrong = []
    for prediction, mask in pairs:
        ours, want = score_pair(prediction, mask, "pysod", [*TOGETHER, "PR"]), by_py_sod_metrics(prediction, mask)
        curves = {
            "Emeasure": want["Emeasure"]["em"]["curve"],
            "Fmeasure": want["Fmeasure"]["fm"]["curve"],
            "precision": want["Fmeasure"]["pr"]["p"],
            "recall": want["Fmeasure"]["pr"]["r"],
        }
        numbers = {
            "Smeasure": want["Smeasure"]["sm"],
            "MAE": want["MAE"]["mae"],
            "Emeasure_adaptive": want["Emeasure"]["em"]["adp"],
            "Fmeasure_adaptive": want["Fmeasure"]["fm"]["adp"],
        }
        wrong += [name for name, curve in curves.items() if not np.array_equal(ours.curves[name], curve)]
        wrong += [name for name, value in numbers.items() if abs(ours.numbers[name] - value) > 1e-12]
    prediction, mask = pairs[0]
    ours, curve = score_pair(prediction, mask, "gconet"), formulas.e_curve(prediction, mask, "gconet")
    if np.abs(ours.curves["Emeasure"] - curve).max() > 1e-9:
        wrong.append("Emeasure of gconet")
    if np.abs(ours.curves["Fmeasure"] - formulas.f_curves(prediction, mask, "gconet")[2]).max() > 1e-9:
        wrong.append("Fmeasure of gconet")
    return wrong


# --- MATLAB's results ---


def against_matlab(root: Path, rows: int) -> int:
    """Print the differences by image and for the whole set. Return 2 if ``pysod`` differs by more than rounding."""
    from scipy.io import loadmat

    official = loadmat(root / "DSS_official.mat")
    scores = {
        protocol: score_folders(
            root / "maps" / "DSS", root / "gt", protocol, (*TOGETHER, "PR"), strict=True, per_image=True
        )
        for protocol in ("pysod", "gconet")
    }
    same = print_images(scores, official, rows)
    print_set(scores, official)
    print("pysod equals MATLAB up to rounding for every image" if same else "pysod DIFFERS from MATLAB")
    return 0 if same else 2


def print_images(scores: dict[str, FolderScores], official: dict, rows: int) -> bool:
    """Print the images whose S differs most between the protocols, then the largest difference of each measure."""
    names = sorted(scores["pysod"].per_image)

    def ours(protocol: str, kind: str, name: str) -> np.ndarray:
        return np.array([getattr(scores[protocol].per_image[image], kind)[name] for image in names])

    structure = official["S_measure_image"][:, 0]
    pysod, gconet = (ours(protocol, "numbers", "Smeasure") for protocol in ("pysod", "gconet"))
    print(f"{'image':<14}{'S MATLAB':>10}{'pysod':>10}{'differs':>10}{'gconet':>10}{'differs':>10}")
    for at in np.argsort(-np.abs(gconet - structure))[:rows]:
        left, right = pysod[at] - structure[at], gconet[at] - structure[at]
        print(f"{names[at]:<14}{structure[at]:>10.6f}{pysod[at]:>10.6f}{left:>10.1e}{gconet[at]:>10.6f}{right:>10.1e}")
    gaps = {
        "S": pysod - structure,
        "MAE": ours("pysod", "numbers", "MAE") - official["MAE_image"][:, 0],
        "adaptive F": ours("pysod", "numbers", "Fmeasure_adaptive") - official["mean_Fmeasure_image"][:, 2],
        "precision": ours("pysod", "curves", "precision") - official["Pre_image"],
        "recall": ours("pysod", "curves", "recall") - official["Recall_image"],
        "ROC": ours("pysod", "curves", "false_positive_rate") - official["FPR_image"],
        "S of gconet": gconet - structure,
    }
    print(f"\nover {len(names)} images{'largest':>14}{'mean':>10}")
    for name, gap in gaps.items():
        print(f"{name:<18}{np.abs(gap).max():>14.1e}{np.abs(gap).mean():>10.1e}")
    return all(np.abs(gap).max() < 1e-9 for name, gap in gaps.items() if name != "S of gconet")


def print_set(scores: dict[str, FolderScores], official: dict) -> None:
    """Print the numbers of the whole set, with a dash for numbers that MATLAB's toolbox lacks."""
    matlab = {
        "Smeasure": official["S_measure"],
        "MAE": official["MAE"],
        "Fmeasure_adaptive": official["mean_Fmeasure"][2],
        "PR_Fmeasure_max": official["MaxFmeasure"],
        "AUC": official["AUC"],
    }
    names = [name for name in scores["pysod"].numbers if name not in ("images", "Smeasure_undefined")]
    print(f"\n{'whole set':<20}{'MATLAB':>10}{'pysod':>10}{'gconet':>10}")
    for name in sorted(names):
        cells = [matlab.get(name), *(folder.numbers.get(name) for folder in scores.values())]
        shown = ("-" if cell is None else f"{float(np.ravel(cell)[0]):.6f}" for cell in cells)
        print(f"{name:<20}" + "".join(f"{cell:>10}" for cell in shown))
    print()


if __name__ == "__main__":
    sys.exit(main())
