"""Options of command lines that name pairs of volumes. This module imports no torch, so that ``--help`` is fast."""

from __future__ import annotations

import argparse

from visionzoo.structures.volume_names import COLUMNS, FIELD_FORMATS, INTERPOLATIONS


def add_pair_options(parser: argparse.ArgumentParser) -> None:
    """Add the options to a parser.

    Example:
        >>> parser = argparse.ArgumentParser()
        >>> add_pair_options(parser)
        >>> parser.parse_args(["--fixed", "a.nii", "--moving", "b.nii"]).field_format
        'itk'
    """
    kinds = "NIfTI, .mgz, .npz, .npy, or a grey 2-D image"
    parser.add_argument("--fixed", metavar="FILE", help=f"the image that stays as it is: {kinds}")
    parser.add_argument("--moving", metavar="FILE", help="the image that is moved to the fixed one")
    parser.add_argument(
        "--labels", metavar="FILE", help="label map of the moving image, to be warped too (default: seg of a .npz)"
    )
    parser.add_argument(
        "--fixed-labels", metavar="FILE", help="label map of the fixed image; with --labels, Dice is measured"
    )
    parser.add_argument(
        "--also",
        metavar="FILE",
        nargs="+",
        action="extend",
        default=[],
        help="further images or label maps in the space of the moving image, to be warped with the same transform",
    )
    parser.add_argument(
        "--interp",
        choices=INTERPOLATIONS,
        default="auto",
        help="how --also files are sampled; auto: label maps by the nearest voxel, images linearly (default: auto)",
    )
    parser.add_argument(
        "--fixed-mask",
        metavar="FILE",
        help="only this part of the fixed image counts, for models that use a mask; include a margin around the object",
    )
    parser.add_argument("--points", metavar="FILE", help="landmarks of the moving image, lines of voxel indices")
    parser.add_argument("--fixed-points", metavar="FILE", help="the same landmarks in the fixed image")
    parser.add_argument(
        "--pairs",
        metavar="FILE",
        help=f"many pairs: CSV with the columns {', '.join(COLUMNS)} (all but two optional), or lines of two paths, "
        "in quotes if they contain spaces",
    )
    parser.add_argument(
        "--field-format",
        choices=FIELD_FORMATS,
        default="itk",
        help="format of the field: mm for ITK and ANTs, voxels as VoxelMorph or Learn2Reg (default: itk)",
    )
