"""``visionzoo transform``: apply written fields and affine maps to any number of files, sampled once."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visionzoo.cli.common import (
    Parser,
    add_output_flags,
    add_summary_flags,
    choose_output_dir,
    note,
    readers_on_stderr,
    run_command,
)
from visionzoo.errors import InputError, ZooError, as_utf8, on_one_line
from visionzoo.structures.volume_names import INTERPOLATIONS
from visionzoo.system.paths import other_folder_text, shown_path

if TYPE_CHECKING:
    from visionzoo.structures.point_maps import PointMap
    from visionzoo.structures.volumes import Volume

# What `visionzoo register` calls the folders of fields, of their inverses and of affine maps.
_FIELDS, _INVERSES, _AFFINES = "fields", "inverse_fields", "affines"


def parser() -> Parser:
    """Return the parser of the command."""
    parser = Parser(
        "transform",
        "Bring images and label maps to another grid by the fields and affine maps that `visionzoo register` or other\n"
        "tools wrote. Several maps are one chain in the order of the command line, as in antsApplyTransforms: a point\n"
        "of the fixed image goes through the first map first. The files are sampled once, after the last map. A field\n"
        "of `visionzoo register` includes its affine map.",
        "  visionzoo transform --field fields/a-b.nii.gz labels.nii.gz t2.nii.gz -o warped\n"
        "  visionzoo transform --field fields/a-b.nii.gz --inverse --reference moving.nii.gz atlas.nii.gz -o back\n"
        "  visionzoo transform --field second.nii.gz --affine first.tfm moving.nii.gz -o both",
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="images or label maps: NIfTI, .mgz, .npz, .npy, PNG")
    shared: dict[str, Any] = {"metavar": "FILE", "dest": "maps", "default": []}
    parser.add_argument(
        "--field", **shared, action=_Append, help="displacement field: .nii.gz of ITK, voxels or Learn2Reg, or .npz"
    )
    parser.add_argument(
        "--affine", **shared, action=_Append, help="affine map: .tfm of ITK, or .txt with a matrix in millimetres RAS"
    )
    parser.add_argument(
        "--inverse",
        action="store_true",
        help="apply the inverse of the whole chain; a field in fields/ uses the written inverse in inverse_fields/, "
        "others are inverted (default: off)",
    )
    parser.add_argument(
        "--reference",
        metavar="FILE",
        help="image with the grid of the results (default: the grid of the first field, else that of each file)",
    )
    parser.add_argument(
        "--interp",
        choices=INTERPOLATIONS,
        default="auto",
        help="linear; nearest; onehot: smooth borders of labels; auto: label maps nearest, images linear "
        "(default: auto)",
    )
    add_output_flags(parser, "transformed")
    add_summary_flags(parser)
    return parser


class _Append(argparse.Action):
    """Add a map to the chain, so that fields and affine maps keep the order of the command line."""

    def __call__(self, parser: Any, args: Any, value: Any, option: str | None = None) -> None:
        setattr(args, self.dest, [*getattr(args, self.dest), (option, value)])


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. Return 0 on success, 1 if a file is unusable, 2 for wrong use, 130 if interrupted."""
    given = list(sys.argv[1:] if argv is None else argv)
    return run_command(parser(), lambda args: _transform(args, shlex.join(["visionzoo", "transform", *given])), given)


def _transform(args: argparse.Namespace, command: str) -> int:
    if not args.maps:
        raise InputError(
            "transform", expected="--field or --affine", found="neither", advice="name the file of a transform"
        )
    for field, affine in _applied_twice(args.maps):
        note(f"warning: {field} includes {affine}, which is now applied twice; leave one out", quiet=args.quiet)
    with readers_on_stderr(quiet=args.quiet):
        from visionzoo.datasets.volume_files import read_volume

        maps = [_read_map(option, path) for option, path in args.maps]
        maps = _inverted(args, maps) if args.inverse else maps
        reference = read_volume(args.reference) if args.reference else _own_grid(maps)
        wanted = Path(args.work_dir or "transformed")
        out = choose_output_dir(wanted, overwrite=args.overwrite)
        if out != wanted:
            note(other_folder_text(wanted, out), quiet=args.quiet)
        records = _write_all(args, maps, reference, out)
    failed = sum("error" in record for record in records)
    done = len(records) - failed
    note(f"{done} of {len(records)} files done, results in {shown_path(out)}", quiet=args.quiet)
    summary = {"out": as_utf8(str(out)), "inputs": len(records), "failed": failed}
    about = {"command": as_utf8(command), **summary, "chain": [path for _, path in args.maps], "inverse": args.inverse}
    _write(out / "transform.json", (json.dumps({**about, "files": records}, indent=2) + "\n").encode())
    if args.json:
        print(json.dumps(summary))
    return 1 if failed else 0


def _applied_twice(maps: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the fields of a registration whose affine map is in the chain too."""
    from visionzoo.datasets.volume_files import stem_of

    paths = {name: [Path(path) for _, path in maps if Path(path).parent.name == name] for name in (_FIELDS, _AFFINES)}
    fields = {(each.parent.parent, stem_of(each)): each for each in paths[_FIELDS]}
    keys = {each: (each.parent.parent, stem_of(each)) for each in paths[_AFFINES]}
    return [(str(fields[key]), str(each)) for each, key in keys.items() if key in fields]


def _read_map(option: str, path: str) -> PointMap:
    from visionzoo.datasets.affine_files import read_affine
    from visionzoo.datasets.field_files import read_field
    from visionzoo.structures.point_maps import AffineMap, FieldMap

    return AffineMap(read_affine(path)) if option == "--affine" else FieldMap(*read_field(path))


def _inverted(args: argparse.Namespace, maps: Sequence[PointMap]) -> list[PointMap]:
    """Return the inverse of a chain: the inverse of each map, in the opposite order."""
    from visionzoo.structures.point_maps import AffineMap

    inverses: list[PointMap] = []
    for (option, path), each in zip(args.maps, maps):
        written = _written_inverse(path)
        if isinstance(each, AffineMap):
            inverses.append(each.inverse())
        elif written is not None:
            note(f"the inverse of {path} is {written}", quiet=args.quiet)
            inverses.append(_read_map(option, str(written)))
        else:
            inverses.append(_inverse_of(each))
    return inverses[::-1]


def _written_inverse(path: str) -> Path | None:
    """Return the inverse that ``visionzoo register`` wrote beside a field."""
    place = Path(path)
    inverse = place.parent.with_name(_INVERSES) / place.name
    return inverse if place.parent.name == _FIELDS and inverse.is_file() else None


def _inverse_of(each: Any) -> PointMap:
    import torch

    from visionzoo.ops.warp import invert

    return replace(each, field=invert(torch.from_numpy(each.field)[None])[0].numpy())


def _own_grid(maps: Sequence[PointMap]) -> Volume | None:
    from visionzoo.structures.point_maps import FieldMap

    return next((each.grid for each in maps if isinstance(each, FieldMap)), None)


def _write_all(
    args: argparse.Namespace, maps: Sequence[PointMap], reference: Volume | None, out: Path
) -> list[dict[str, Any]]:
    """Transform all files. Return one record for each."""
    records, names = [], {"transform.json"}
    for path in args.files:
        try:
            records.append(_write_one(args, path, maps, reference, out, names))
        except ZooError as error:
            text = str(error if path in str(error) else error.at(path))
            note(f"error: {text}")
            records.append({"input": as_utf8(path), "error": text})
    return records


def _write_one(
    args: argparse.Namespace, path: str, maps: Sequence[PointMap], reference: Volume | None, out: Path, names: set[str]
) -> dict[str, Any]:
    from visionzoo.datasets.findings import say_notes
    from visionzoo.datasets.volume_files import ending_of, volume_bytes
    from visionzoo.structures.point_maps import positions_in
    from visionzoo.structures.volume_warping import interpolation_for, require_inside, values_at
    from visionzoo.tasks.inputs.volumes import free_name, read_any

    notes: list[str] = []
    parts, written, used = read_any(path, args.interp, notes), [], []
    for wanted, volume, interp in parts:
        grid = volume if reference is None else reference
        positions = positions_in(volume, maps, grid, notes.append)
        require_inside(positions, volume.shape)
        kind = interpolation_for(volume.data, interp)
        values = values_at(volume.data, positions, kind)
        like = replace(volume, affine=grid.affine, header=grid.header, labels=None)
        name = free_name(wanted, names)
        _write(out / name, volume_bytes(values, like, ending_of(name)))
        written.append(name)
        used.append(kind)
    say_notes(path, dict.fromkeys(notes, 0))
    texts = ", ".join(f"{out / name} ({kind})" for name, kind in zip(written, used))
    note(f"{on_one_line(path)}: {texts}", quiet=args.quiet)
    return {"input": as_utf8(path), "written": written, "interpolation": used} | ({"notes": notes} if notes else {})


def _write(path: Path, content: bytes) -> None:
    from visionzoo.system.atomic import write_file

    write_file(path, lambda file: file.write(content))
