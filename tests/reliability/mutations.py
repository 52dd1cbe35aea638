"""Random damage to files, repeatable from the seed of the generator."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

# Values that files of other tools contain, or that break a reader that trusts a field.
ODD: tuple[Any, ...] = (
    None, True, "", " ", "7", "x", "NaN", "é", 0, -1, 7, 0.5, -0.0, 1e-9, 1e300, 2**63, 2**70,
    float("inf"), float("-inf"), float("nan"), [], [[]], [None], {}, {"a": 1}, [1, 2, 3], "x" * 200_000,
)  # fmt: skip
ODD_WORDS = ("", "NaN", "inf", "-1", "1e300", "9" * 40, "0x10", "1,5", '"', "'", "é", "\ufeff", "\x00", "x" * 200_000)

Mutation = Callable[[Path, Random], str]


def some_json_value(path: Path, random: Random) -> str:
    """Replace, remove or repeat one value of a JSON file, or of one line of a file of JSON lines."""
    lines = path.read_text(encoding="utf-8").split("\n")
    filled = [number for number, line in enumerate(lines) if line.strip()]
    try:
        whole: Any = json.loads("\n".join(lines))
        number = None
    except ValueError:
        number = random.choice(filled)
        whole = json.loads(lines[number])
    place, done = _change(whole, random)
    text = json.dumps(whole if place else done)
    if number is not None:
        lines[number] = text
        text = "\n".join(lines)
    path.write_text(text, encoding="utf-8")
    return f"{path.name}: {'.'.join(map(str, place)) or 'all'}: {done!r:.60}"


def _change(whole: Any, random: Random) -> tuple[tuple, Any]:
    """Change one value in place; return its place and what it became. An empty place stands for the whole value."""
    places = list(_places(whole))
    if not places or random.random() < 0.01:
        return (), random.choice(ODD)
    place = random.choice(places)
    parent = whole
    for key in place[:-1]:
        parent = parent[key]
    key, kind = place[-1], random.random()
    if kind < 0.15:
        del parent[key]
        return place, "removed"
    if kind < 0.25 and isinstance(parent, list):
        parent.append(parent[key])
        return place, "repeated"
    if kind < 0.35 and isinstance(parent[key], int | float):
        parent[key] = str(parent[key])
    elif kind < 0.45:
        parent[key] = [parent[key]]
    else:
        parent[key] = random.choice(ODD)
    return place, parent[key]


def _places(value: Any, above: tuple = ()) -> Iterator[tuple]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in items:
        yield (*above, key)
        yield from _places(each, (*above, key))


def some_line(path: Path, random: Random) -> str:
    """Change one line or word of a text file, or how the file is encoded."""
    text = path.read_text(encoding="utf-8")
    lines = text.split("\n")
    number = random.randrange(len(lines))
    words = lines[number].split(" ")
    actions: dict[str, Callable[[], Any]] = {
        "line removed": lambda: lines.pop(number),
        "line repeated": lambda: lines.insert(number, lines[number]),
        "line of other text": lambda: lines.insert(number, random.choice(ODD_WORDS)),
        "word changed": lambda: lines.__setitem__(number, _with_odd_word(words, " ", random)),
        "cell changed": lambda: lines.__setitem__(number, _with_odd_word(lines[number].split(","), ",", random)),
        "part of a word": lambda: lines.__setitem__(number, _with_odd_part(lines[number], random)),
        "lines shuffled": lambda: random.shuffle(lines),
    }
    name = random.choice([*actions, "utf-16", "latin-1", "byte order mark", "windows line ends", "empty"])
    if name in actions:
        actions[name]()
        path.write_bytes("\n".join(lines).encode("utf-8"))
    else:
        path.write_bytes(_encoded(text, name))
    return f"{path.name}: {name} (line {number + 1})"


def _with_odd_word(words: list[str], between: str, random: Random) -> str:
    at = random.randrange(len(words))
    return between.join([*words[:at], random.choice(ODD_WORDS), *words[at + (random.random() < 0.7) :]])


def _with_odd_part(line: str, random: Random) -> str:
    at = random.randrange(len(line) + 1)
    return line[:at] + random.choice(ODD_WORDS) + line[at + random.randrange(3) :]


def _encoded(text: str, name: str) -> bytes:
    if name == "windows line ends":
        return text.replace("\n", "\r\n").encode()
    if name == "byte order mark":
        return text.encode("utf-8-sig")
    return b"" if name == "empty" else (text + ("é" if name == "latin-1" else "")).encode(name)


def some_bytes(path: Path, random: Random) -> str:
    """Cut, change, remove or insert bytes of a file."""
    data = bytearray(path.read_bytes())
    kind = random.choice(("cut", "changed", "zeros", "removed", "inserted", "empty"))
    at = random.randrange(len(data) or 1)
    if kind == "cut":
        data = data[:at]
    elif kind == "empty" or not data:
        data = bytearray()
    elif kind == "changed":
        for _ in range(random.choice((1, 1, 4, 32))):
            data[random.randrange(len(data))] = random.randrange(256)
    elif kind == "zeros":
        data[at : at + 64] = bytes(len(data[at : at + 64]))
    elif kind == "removed":
        del data[at : at + random.randrange(1, 64)]
    else:
        data[at:at] = random.randbytes(random.randrange(1, 64))
    path.write_bytes(bytes(data))
    return f"{path.name}: bytes {kind} at {at}"


def some_file(path: Path, random: Random) -> str:
    """Remove or rename a file, put another object where it was, or add what systems leave beside files."""
    kind = random.choice(("removed", "upper case", "folder", "link to itself", "text", "._ copy", "notebook copy"))
    if kind == "._ copy":
        path.with_name(f"._{path.name}").write_bytes(b"\x00\x05\x16\x07" + bytes(60))
    elif kind == "notebook copy":
        folder = path.parent / ".ipynb_checkpoints"
        folder.mkdir(exist_ok=True)
        shutil.copy(path, folder / f"{path.stem}-checkpoint{path.suffix}")
    elif kind == "upper case":
        path.rename(path.with_suffix(path.suffix.upper()))
    elif kind == "text":
        path.write_text("<!DOCTYPE html><html>404: Not Found</html>")
    else:
        path.unlink()
        if kind == "folder":
            path.mkdir()
        elif kind == "link to itself":
            path.symlink_to(path.name)
    return f"{path.name}: {kind}"
