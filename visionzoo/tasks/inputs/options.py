"""Options of ``visionzoo infer`` for images. This module does not import torch, so that ``--help`` is quick."""

from __future__ import annotations

import argparse


def add_image_options(parser: argparse.ArgumentParser) -> None:
    """Add the positional inputs, ``-r`` and ``--max-pixels`` to a parser."""
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="file, video, folder, quoted glob, shards/{000..009}.tar, frames/%%06d.jpg, @list.txt, or - for stdin",
    )
    parser.add_argument(
        "-r",
        "--recursive",
        action="store_true",
        help="search subfolders too (default: off; always on for group models, which take a folder as one group)",
    )
    parser.add_argument(
        "--max-pixels",
        metavar="N",
        help="refuse images and videos of more pixels per image, such as 1e9; inf for no limit (default: 2e8)",
    )
