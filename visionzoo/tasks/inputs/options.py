"""Options of ``visionzoo infer`` for images; free of torch, so that ``--help`` is quick."""

from __future__ import annotations

import argparse


def add_image_options(parser: argparse.ArgumentParser) -> None:
    """Add the inputs themselves, and ``-r``."""
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="file, video, folder, quoted glob, frames/%%06d.jpg, @list.txt, or - for stdin",
    )
    parser.add_argument(
        "-r",
        "--recursive",
        action="store_true",
        help="look into subfolders (default: off; on for models of groups, to which every folder is one)",
    )
