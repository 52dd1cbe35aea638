"""Comments, docstrings, messages and pages use plain words: a table of idioms, and the words to use instead.

Strings of one word and code in backquotes are names, not prose.
"""

import io
import re
import tokenize
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ["visionzoo", "tools", "configs", "benchmarks", "tests", "datasets", "model_cards", "README.md", "CHANGELOG.md"]

# Pattern (a space is any white space, upper and lower case are equal): the words to use instead.
IDIOMS = {
    r"\bpictures?\b": "image",
    r"\bmend(s|ed|ing)?\b": "fix",
    r"\bfrom which on\b": "above which, after which",
    r"\bshall\b": "must, should",
    r"\bso many\b": "that number of, evenly spaced",
    r"\bwho asks?\b": "the caller",
    r"\bthe other way round\b": "in reverse, the opposite",
    r"\bsay the number\b": "give the number",
    r"\bspeak(s|ing)?\b": "exchange messages, describe, refer to",
    r"\blet go\b": "released",
    r"\bhand(s|ed|ing)? on\b": "pass on, return",
    r"\bonce more\b": "again",
    r"\bfor ever\b": "forever",
    r"\bhangs? on\b": "depends on",
    r"\btravels?\b": "pass, is sent",
    r"\bhears?\b": "receive, is informed of",
    r"\b(has|have|had|is|are) but (one|a|the)\b": "has only",
    r"\ball but no\b": "almost no",
    r"\bof old\b": "of earlier",
    r"\bno word of\b": "no output of",
    r"\bgives? back\b": "return",
    r"\bwithout end\b": "infinite, without bound",
    r"\bis none of\b": "is not one of",
    r"\bto be (seen|done)\b": "visible, next",
    r"\bdo(es)? without\b": "does not need",
    r"\bmakes? do with\b": "uses",
    r"\bof its kind\b": "of this type",
    r"\bin (its|their) stead\b": "instead",
    r"\b(there|here)(of|in|by|upon|from)\b": "of it, in it, by it",
    r"\balone\b": "only",
    r"\btold\b": "named, receives, distinguished",
    r"\btells?\b": "state, report",
    r"\bsays?\b": "state, contain",
    r"\bwants?\b": "require",
    r"\bknows?\b": "support, have",
    r"\banew\b": "again",
    r"\bin (its|their|the) place( of)?\b": "instead",
    r"\b(no|some)body\b": "no part, no person",
    r"\bwhoever\b": "any caller",
    r"\bperhaps\b": "may, optionally",
    r"\bin vain\b": "without effect",
    r"\bfor want of\b": "without",
    r"\bas far as\b": "up to, if",
    r"\b(goes|go|went|going) on\b": "continue",
    r"\bof (its|their|our|one's) own\b": "separate",
    r"\bby itself\b": "automatically, separately",
    r"\bbut for\b": "except for",
    r"\blets? itself\b": "can be",
    r"\bbehind\b": "after",
    r"\blies?\b": "is",
    r"\bfrom (\d+|N|one|zero) on\b": ">= 1",
    r"\bto each its own\b": "for each",
    r"\bno UTF-8\b": "not valid UTF-8",
    r"\bthere (is|are) none\b": "is missing, without",
    r"(?<!there)(?<!where) (is|are) no (?!longer|more|larger|smaller|less|fewer)": "is not a",
}
PATTERNS = {re.compile(idiom.replace(" ", r"\s+"), re.IGNORECASE): plain for idiom, plain in IDIOMS.items()}

# Lines of text that belong together, each with its number in the file.
Block = list[tuple[int, str]]


def blocks_of(path: Path) -> Iterator[Block]:
    """Yield the prose of a file: a page as a whole, adjacent comments, strings that Python joins."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        yield list(enumerate(text.splitlines(), start=1))
        return
    yield from _joined(_words(text))


def _words(text: str) -> Iterator[tokenize.TokenInfo]:
    skipped = (tokenize.NL, tokenize.INDENT, tokenize.DEDENT)
    return (token for token in tokenize.generate_tokens(io.StringIO(text).readline) if token.type not in skipped)


def _joined(tokens: Iterator[tokenize.TokenInfo]) -> Iterator[Block]:
    block: Block = []
    start = tokenize.TokenInfo(tokenize.NEWLINE, "", (0, 0), (0, 0), "")
    for before, token in pairwise([start, *tokens]):
        if token.type != before.type:
            if block:
                yield block
            block = []
        if token.type in (tokenize.STRING, tokenize.COMMENT):
            block += [(token.start[0] + number, line) for number, line in enumerate(_prose(token).splitlines())]
    if block:
        yield block


def _prose(token: tokenize.TokenInfo) -> str:
    if token.type == tokenize.COMMENT:
        return token.string.lstrip("#: ")
    prefix, _, body = re.fullmatch(r"(\w*)(\"{3}|'{3}|\"|')(.*)\2", token.string, re.DOTALL).groups()
    if "f" in prefix.lower():
        body = re.sub(r"\{[^{}]*\}", "X", body)
    return body


def idioms_of(path: Path) -> Iterator[tuple[int, str, str]]:
    """Yield line, idiom as written in the file, and the words to use instead."""
    for block in blocks_of(path):
        lines = [re.sub(r"`[^`]*`", lambda code: "X" * len(code[0]), line) for _, line in block]
        text = "\n".join(lines)
        if not re.search(r"\s", text.strip()):  # a name, not prose
            continue
        for pattern, plain in PATTERNS.items():
            for match in pattern.finditer(text):
                number = block[text.count("\n", 0, match.start())][0]
                yield number, " ".join(match[0].split()), plain


def files_of(room: str) -> list[Path]:
    """Return Python files and pages of a room."""
    place = ROOT / room
    files = [place] if place.is_file() else [*place.rglob("*.py"), *place.rglob("*.md")]
    return sorted(file for file in files if file != Path(__file__))


@pytest.mark.parametrize("room", ROOMS)
def test_no_idiom_has_to_be_read_twice(room):
    problems = [
        f"{file.relative_to(ROOT)}:{line}: {idiom!r}; write {plain!r}"
        for file in files_of(room)
        for line, idiom, plain in sorted(idioms_of(file))
    ]
    assert not problems, f"{len(problems)} idioms:\n" + "\n".join(problems)


@pytest.mark.parametrize(
    ("name", "text", "lines"),
    [
        ("a.py", "x = 1\n# Draw a picture.\n", [2]),
        ("a.py", '"""Summary.\n\nAll values from\nwhich on they are taken.\n"""\n', [3]),
        ("a.py", 'raise ValueError(\n    "expected a number from which "\n    "on"\n)\n', [2]),
        ("a.py", "# once\n# more\n# a mask shall see\n", [1, 3]),
        ("a.py", 'f = f"{picture} and {shall}"\n', []),
        ("a.py", 'key = dict(shall="picture")\n', []),
        ("a.py", '"""``picture`` is a key. There is no image."""\n', []),
        ("a.md", "One line.\n\nIt `shall`; this is of\nold.\n", [3]),
        ("a.md", "The list is no longer than that.\n", []),
        ("a.md", "There is no image.\nThis is no\nimage.\n", [2]),
        ("a.md", "Counts from 1 to 2, and from 3\non.\n", [1]),
    ],
)
def test_idioms_are_found_where_people_read(tmp_path, name, text, lines):
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert [line for line, _, _ in sorted(idioms_of(tmp_path / name))] == lines
