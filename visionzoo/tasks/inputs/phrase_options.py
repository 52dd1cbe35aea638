"""Options of command lines that name phrases. This module imports no torch, so that ``--help`` is fast."""

from __future__ import annotations

import argparse

from visionzoo.tasks.inputs.options import add_image_options


def add_phrase_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for images, phrases and the threshold of masks to a parser.

    Example:
        >>> parser = argparse.ArgumentParser()
        >>> add_phrase_options(parser)
        >>> parser.parse_args(["a.jpg", "--text", "left box", "--text", "the red one"]).text
        ['left box', 'the red one']
    """
    add_image_options(parser)
    parser.add_argument(
        "--text",
        action="append",
        default=[],
        metavar="PHRASE",
        help='what to find, such as "left red box"; several: repeat it. INPUT may also be a CSV file with the columns '
        "image and text, or .jsonl with these keys",
    )
    parser.add_argument(
        "--mask-threshold",
        metavar="P",
        help="pixels of at least this probability are in the mask (default: the decision of the model, usually 0.5)",
    )
    parser.add_argument(
        "--per-object",
        action="store_true",
        help="also write all objects among which the model chooses, with their scores for the phrase (default: off)",
    )
    parser.add_argument(
        "--proposals",
        metavar="FILE",
        help="for models that choose among objects: take those of a results file in COCO's format, such as the "
        "predictions.coco.json of an instance segmenter; image_id is the name of the image, or the number at its end",
    )
