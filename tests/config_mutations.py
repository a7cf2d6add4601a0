"""What can happen to a YAML file, for the test of the reader and for `benchmarks/mutated_configs.py`."""

import random
import re
import time
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from cnntrain.config import load_config
from cnntrain.config.yaml_reader import YamlTextError, read_yaml
from cnntrain.errors import ConfigError

Edit = Callable[[bytes, random.Random], bytes]
_LINE = re.compile(r":(\d+): (?:((?:[\w…-]+\.)*[\w…-]+): )?")  # what follows the file's name: line and key
_PIECES = (
    *(b"\0", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xc0\x80", b"\xef\xbb\xbf", b"\r", b"\t", b"\n", b"\x1b", b"\x7f"),
    *(b"\xc2\x85", b"\xe2\x80\xa8", b"\xf0\x9f\x98\x80", b"\xe2\x80\xae", b"\\U00110000", b'"\\', b"@", b"`", b"%"),
    *(b": ", b"- ", b"? ", b"[", b"]", b"{", b"}", b"'", b'"', b"|", b">", b"#", b"---\n", b"...\n", b"%YAML 9.9\n"),
    *(b"!!python/object/apply:os.system [x]", b"!", b"!!binary ", b"&a ", b"*a", b"<<: ", b"~", b"null", b"true"),
    *(b".inf", b"-.nan", b"1e999", b"9" * 40, b"9" * 5000, b"-1", b"0", b"0x10", b"1_000", b"2024-01-31", b"[" * 40),
)
_VALUES: tuple[Any, ...] = (
    *(None, True, False, "", "text", "10", "ä\n", "\u2028", "x" * 10_000, "../..", "a: b", "*x", "&x", "!x", "~"),
    *(0, 1, -1, 2**31, 2**63, 10**29, 10**31, 10**400, 0.0, -0.5, 1e-320, 1e308, float("inf"), float("nan")),
    *([], {}, [[]], [None], {"": None}, {"a": {"b": [1, {"c": 2}]}}, ["a"] * 1000, list(range(3)), [1.5, "x"]),
)
_NAMES = ("", "x", "data", "name", "kind", "stages", "Learning_Rate", "learning-rate", "0", "true", "a.b", "ä", "\x07")
_ENCODINGS = ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig", "cp500", "latin-1", "utf-7")


class Verdict(NamedTuple):
    """What became of one file.

    Args:
        lines: Of the rejection; none where the file loads.
        seconds: That loading took.
        broken: Which promise the lines break; empty where none.
    """

    lines: tuple[str, ...]
    seconds: float
    broken: str


def _flipped(content: bytes, draw: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(draw.randint(1, 8)):
        changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def _cut(content: bytes, draw: random.Random) -> tuple[bytes, bytes, bytes]:
    start = draw.randrange(len(content))
    end = start + draw.choice([0, 1, 1, 2, 8, 40, 400])
    return content[:start], content[start:end], content[end:]


def _spliced(content: bytes, draw: random.Random) -> bytes:
    """A piece deleted, doubled, turned round, replaced by noise or by something that means something in YAML."""
    before, piece, after = _cut(content, draw)
    noise = bytes(draw.randrange(256) for _ in piece)
    nasty = draw.choice(_PIECES)
    return before + draw.choice([b"", piece * 2, piece[::-1], noise, nasty, nasty + piece]) + after


def _truncated(content: bytes, draw: random.Random) -> bytes:
    return content[: draw.randrange(len(content))]


def _in_lines(content: bytes, draw: random.Random) -> bytes:
    """A line doubled, deleted, moved, indented otherwise or by a tab, or very long."""
    lines = content.split(b"\n")
    at = draw.randrange(len(lines))
    line = lines[at]
    long = draw.choice([b"#", b"x", b"\xc3\xa4", b"[", b"- ", b"a: ", b"  "]) * draw.choice([1000, 100_000, 600_000])
    edits = ([line, line], [], [b" " + line], [line[1:]], [b"\t" + line], [line.replace(b"  ", b"\t")], [line + long])
    changed = [*lines[:at], *draw.choice([*edits, [long], [long, line], [line + b" #" + long]]), *lines[at + 1 :]]
    if draw.random() < 0.2:
        draw.shuffle(changed)
    return draw.choice([b"\n", b"\n", b"\n", b"\r\n", b"\r"]).join(changed)


def _encoded(content: bytes, draw: random.Random) -> bytes:
    """Another encoding, marks of byte order, NULs, or text before and after the document."""
    text = content.decode("utf-8", "replace")
    way = draw.randrange(4)
    if way == 0:
        return text.encode(draw.choice(_ENCODINGS), "replace")
    if way == 1:
        mark = draw.choice([b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\0", b"\xef\xbb\xbf\xef\xbb\xbf"])
        return draw.choice([mark + content, content + mark])
    if way == 2:
        return b"\0".join(content[at : at + 1] for at in range(len(content)))
    ends = [b"---\n", b"...\n", b"%YAML 1.1\n---\n", b"%TAG ! x\n---\n", b"# only this\n", b"- 1\n", b"\xc3\xa9\n"]
    return draw.choice([draw.choice(ends) + content, content + draw.choice(ends), draw.choice(ends), b""])


def _tree(content: bytes) -> Any:
    """The values of a file, or those of a small one where it is no longer YAML, nested too deeply or has aliases."""
    try:
        tree = None if b"&" in content else yaml.safe_load(content)
        yaml.safe_dump(tree)
    except (yaml.YAMLError, ValueError, RecursionError):
        tree = None
    return tree if isinstance(tree, dict) and tree else {"data": {"source": "x"}, "model": {"kind": "convnet"}}


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key or index) in a tree."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in items:
        yield tree, key
        yield from _places(value)


def _renamed(content: bytes, draw: random.Random) -> bytes:
    """Keys renamed: misspelled, in other letters, of other places, very long, not text."""
    tree = _tree(content)
    for _ in range(draw.randint(1, 3)):
        holder, key = draw.choice([(one, name) for one, name in _places(tree) if isinstance(one, dict)])
        word = str(key)
        at = draw.randrange(len(word) + 1)
        typos = [word[:at] + word[at + 1 :], word[:at] + draw.choice("aeiou_") + word[at:], word.upper(), word * 3000]
        name = draw.choice([*typos, *_NAMES, 3, None, True, 1.5])
        changed = {name if one == key else one: value for one, value in holder.items()}
        holder.clear()
        holder.update(changed)
    return _dumped(tree, draw)


def _replaced(content: bytes, draw: random.Random) -> bytes:
    """Values of other kinds and sizes, keys removed and added, lists emptied and made long."""
    tree = _tree(content)
    for _ in range(draw.randint(1, 4)):
        places = list(_places(tree))
        if not places:
            break
        holder, key = draw.choice(places)
        way = draw.randrange(6)
        if way == 0:
            del holder[key]
        elif way == 1 and isinstance(holder[key], list):
            holder[key] = holder[key] * draw.choice([0, 2, 50, 2000])
        elif way == 2 and isinstance(holder[key], dict):
            holder[key] = {**holder[key], **{f"key_{number}": number for number in range(draw.choice([1, 30, 5000]))}}
        else:
            holder[key] = deepcopy(draw.choice(_VALUES))
    return _dumped(tree, draw)


def _nested(content: bytes, draw: random.Random) -> bytes:
    """Deep nesting, in the brackets of flow style or by indentation, where a value stood or at the end."""
    depth = draw.choice([10, 30, 31, 32, 33, 100, 1000, 100_000])
    flow = draw.choice([b"[" * depth + b"]" * depth, b"{a: " * depth + b"}" * depth, b"[" * depth, b"- " * depth])
    block = b"".join(b" " * level + b"a:\n" for level in range(min(depth, 1000)))
    before, _, after = content.partition(draw.choice([b": ", b"\n", b"["]))
    return draw.choice([content + b"x: " + flow + b"\n", before + b": " + flow + b"\n" + after, content + block])


def _aliased(content: bytes, draw: random.Random) -> bytes:
    """Anchors and aliases: whole sections, bombs, of themselves, unknown ones, merge keys, tags."""
    text = content.decode("utf-8", "replace")
    names = "abcdefghij"[: draw.randint(2, 10)]
    bomb = "a: &a [x, x, x]\n" + "".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in pairwise(names))
    anchored = re.sub(r"(?m)^(\w+):", r"\1: &\1", text, count=draw.randint(1, 5))
    known = draw.choice(re.findall(r"&(\w+)", anchored) or ["x"])
    sequel = draw.choice(
        [f"augment: *{known}", f"<<: *{known}", "model: &m [*m]", "x: *unknown", "? *a\n: 1", "x: &a &b 1"]
    )
    tag = draw.choice(["!!map", "!!python/name:os.system", "!!str", "!<tag:x>", "!!binary", "!!float", "!!set", "!"])
    tagged = re.sub(r": ", f": {tag} ", text, count=1)
    many = "x: &x 1\ny: [" + "*x, " * draw.choice([99, 101, 5000]) + "]\n"
    return draw.choice([bomb + text, text + bomb, f"{anchored}{sequel}\n", anchored, tagged, text + many]).encode()


def _dumped(tree: Any, draw: random.Random) -> bytes:
    """A tree as YAML in one of its styles; what is no valid Unicode is written as it can be."""
    style = draw.choice([None, None, True, False])
    text = yaml.safe_dump(tree, default_flow_style=style, allow_unicode=draw.random() < 0.7, sort_keys=False)
    return text.encode("utf-8", "surrogatepass")


EDITS: Mapping[str, Edit] = {
    "bits flipped": _flipped,
    "pieces spliced": _spliced,
    "truncated": _truncated,
    "lines changed": _in_lines,
    "encoded otherwise": _encoded,
    "keys renamed": _renamed,
    "values replaced": _replaced,
    "nested deeply": _nested,
    "anchors and aliases": _aliased,
    "several of these": lambda content, draw: _several(content, draw),
}


def _several(content: bytes, draw: random.Random) -> bytes:
    edits = [edit for name, edit in EDITS.items() if edit is not EDITS["several of these"]]
    for edit in draw.choices(edits, k=draw.randint(2, 3)):
        content = edit(content or b"\n", draw)
    return content


def mutated(contents: list[bytes], seed: int, number: int) -> tuple[str, bytes]:
    """Kind of edit, and the bytes; files and edits take turns."""
    draw = random.Random(f"{seed} {number}")
    name = list(EDITS)[number % len(EDITS)]
    return name, EDITS[name](contents[number // len(EDITS) % len(contents)], draw)


def judge(path: Path) -> Verdict:
    """Loads a file, and compares what is said about it with what was promised.

    Any exception but ConfigError is let through.
    """
    lines: tuple[str, ...] | None = None
    start = time.perf_counter()
    try:
        load_config(path)
    except ConfigError as error:
        lines = error.problems
    seconds = time.perf_counter() - start
    return Verdict((), seconds, "") if lines is None else Verdict(lines, seconds, broken(path, lines))


def broken(path: Path, lines: tuple[str, ...]) -> str:
    """Which promise lines break, with the line; each must be printable and begin with file, line and key.

    The key may be absent where the file is no YAML of ours.
    """
    content = path.read_bytes()
    nodes = _nodes(content)
    last = len(re.split(rb"\r\n|[\r\n]|\xc2\x85|\xe2\x80[\xa8\xa9]", content))
    for line in lines:
        found = _LINE.match(line, len(str(path))) if line.startswith(str(path)) else None
        if found is None or not line.isprintable():
            return f"not one line that begins with file and line: {line!r}"
        if not 1 <= int(found[1]) <= last:
            return f"no such line: {line!r}"
        if nodes is not None and found[2] is None and '"' not in line[found.end() :]:
            return f"no key: {line!r}"
        is_followed = nodes is not None and found[2] and "…" not in found[2] and b"*" not in content
        if is_followed and int(found[1]) != _line_of(nodes, found[2]):
            return f"another line than {_line_of(nodes, found[2])}: {line!r}"
    return "" if lines else "a rejection without a line"


def _nodes(content: bytes) -> Any:
    """The nodes as PyYAML sees them, nothing where the file is no YAML of ours."""
    try:
        read_yaml(content)
        return yaml.compose(content.decode("utf-8-sig"), yaml.SafeLoader)
    except YamlTextError:
        return None


def _line_of(node: Any, key: str) -> int:
    """The line of a dotted key, or of its nearest ancestor that is there."""
    line = int(node.start_mark.line)
    for part in key.split("."):
        if isinstance(node, yaml.MappingNode):
            found = [(name, value) for name, value in node.value if name.value == part]
            if not found:
                break
            line, node = found[0][0].start_mark.line, found[0][1]
        elif isinstance(node, yaml.SequenceNode) and part.isdecimal() and int(part) < len(node.value):
            node = node.value[int(part)]
            line = node.start_mark.line
        else:
            break
    return line + 1
