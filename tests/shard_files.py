"""Shards for tests."""

import io
import tarfile
from pathlib import Path


def save_shard(path: Path, files: dict[str, bytes]) -> Path:
    """Save a tar file with these files, in this order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path
