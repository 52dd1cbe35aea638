"""Convert released files to tensors of the zoo, and write these as safetensors.

``visionzoo convert checkpoint`` and the released weights of cards share it. The header of a written file stores the
normalisation and size of the images that the weights expect, and the variant of a part if the tensors do not determine
it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visionzoo.errors import CheckpointError
from visionzoo.system.atomic import write_file
from visionzoo.weights.array_files import read_array_file
from visionzoo.weights.safe_load import holds_arrays, read_checkpoint
from visionzoo.weights.states import weights_of
from visionzoo.weights.tensors import warn_of_nonfinite
from visionzoo.weights.tf_bundle import is_tf_bundle, read_tf_bundle

if TYPE_CHECKING:
    from torch import Tensor

    from visionzoo.converters import Converter


@dataclass(frozen=True)
class Converted:
    """The tensors of a released file under the names of the zoo.

    Attributes:
        tensors: by name.
        stated: facts for the header: ``input``, the images that the weights expect, and ``variants`` of parts.

    Example:
        >>> Converted({}, {"input": {"size": (224, 224)}}).stated["input"]
        {'size': (224, 224)}
    """

    tensors: Mapping[str, Tensor]
    stated: Mapping[str, Any]


def read_released(path: Path, converter: Converter | None, *, trust_pickle: bool = False) -> Mapping[str, Any]:
    """Return the tensors or arrays of a released file by its own names.

    Args:
        path: a checkpoint, a file of arrays by name, or the common beginning of a checkpoint of TensorFlow.
        converter: finds the states in a file that has several; None if the names are those of the zoo.
        trust_pickle: let the file run code while it loads.

    Raises:
        CheckpointError: the file cannot be read, or requires running code.
    """
    if is_tf_bundle(path):
        return read_tf_bundle(path)
    if holds_arrays(path):
        return read_array_file(path)
    checkpoint = read_checkpoint(path, trust_pickle=trust_pickle)
    return weights_of(checkpoint if converter is None else converter.states_of(checkpoint), str(path))


def convert_file(
    path: Path,
    converter: Converter | None,
    use: str | None,
    options: Mapping[str, Any],
    *,
    name: str,
    trust_pickle: bool = False,
) -> Converted:
    """Read a released file and convert its tensors.

    Args:
        path: the file.
        converter: converts the names; None keeps them.
        use: the result, ``backbone``, ``classifier``, ``detector`` or ``model``.
        options: options of the converter by name.
        name: name of the released file, which may state a variant; also its name in messages.
        trust_pickle: let the file run code while it loads.

    Raises:
        CheckpointError: the file cannot be read, or its tensors are not those of the system.
    """
    read = read_released(path, converter, trust_pickle=trust_pickle)
    if converter is None:
        return Converted(read, {})
    try:
        given = {"file_name": name, **options}
        tensors = converter.convert(use or converter.uses[0], read, given)
        stated = {"input": converter.made_for(read), "variants": converter.variants_of(read, given)}
        _require_storable(tensors, name)
    except CheckpointError as error:
        raise error.at(name) from error
    warn_of_nonfinite(tensors, name)
    return Converted(tensors, {fact: value for fact, value in stated.items() if value})


def write_safetensors(path: Path, tensors: Mapping[str, Tensor], stated: Mapping[str, Any]) -> int:
    """Write tensors and the facts about them, complete or not at all.

    Args:
        path: the file; its folder is made if it does not exist.
        tensors: by name; tensors that share memory are written separately.
        stated: JSON values for the header, under ``meta``.

    Returns:
        The number of bytes.

    Raises:
        OutputError: the file cannot be written.
    """
    from safetensors.torch import save

    header = {"format": "pt"} | ({"meta": json.dumps(stated)} if stated else {})
    data = save(_without_shared(tensors), metadata=header)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, lambda file: file.write(data))
    return len(data)


def _require_storable(tensors: Mapping[str, Tensor], source: str) -> None:
    """Raise an error if safetensors cannot store a tensor."""
    from safetensors.torch import _TYPES

    for name, tensor in tensors.items():
        if tensor.dtype not in _TYPES.values():
            raise CheckpointError(
                f"{source}: {name}",
                expected="a tensor that safetensors can store",
                found=f"{tensor.dtype}",
                advice="save the weights as float32",
            )


def _without_shared(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors with own memory for each, because safetensors refuses tensors that share it."""
    seen: set[int] = set()
    separate = {}
    for name, tensor in tensors.items():
        tensor = tensor.contiguous()
        storage = tensor.untyped_storage().data_ptr()
        separate[name] = tensor.clone() if storage in seen else tensor
        seen.add(storage)
    return separate
