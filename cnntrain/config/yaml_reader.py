"""Strict YAML: text to plain Python values, with the line of every key and list item."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from cnntrain.config.problems import Key, Problem, shown
from cnntrain.config.scalars import Scalar, read_plain

MAX_BYTES = 1 << 20
MAX_DEPTH = 32
MAX_ALIASES = 100
MAX_NODES = 20_000

Fault = tuple[int, Problem]

_UNCLOSED = (
    ("expected ',' or ']'", "the list in [ ] that starts here is not closed, or a comma is missing in it"),
    ("expected ',' or '}'", "the mapping in { } that starts here is not closed, or a comma is missing in it"),
    ("unexpected end of stream", "the quotation mark that stands here is not closed"),
    ("unexpected document separator", "the quotation mark that stands here is not closed"),
)
_MISPLACED = (
    (
        "mapping values are not allowed",
        "no colon is expected here; put text with a colon in quotes, check the indentation",
    ),
    ("cannot start any token", "this character cannot start a value; put text in quotes, indent with spaces only"),
    ("could not find expected ':'", "a key lacks its colon, or the indentation is wrong"),
    ("expected <block end>", "the indentation does not fit the lines above"),
    ("sequence entries are not allowed", "no list item is expected here; check the indentation"),
    ("mapping keys are not allowed", "no key is expected here; check the indentation"),
    ("unknown escape character", 'in "double quotes" a backslash is written twice; or use single quotes'),
    ("expected the node content", "a value is missing"),
    ("expected '<document start>'", "something stands after the end of the value"),
    ("while scanning an alias", "after * comes a name of letters and digits; put text that starts with * in quotes"),
    ("while scanning an anchor", "after & comes a name of letters and digits; put text that starts with & in quotes"),
)


class YamlTextError(Exception):
    """Text that is not the YAML we read; `faults` holds a pair of line and problem for each place."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("; ".join(problem.line(f"line {line}") for line, problem in faults))
        self.faults = tuple(faults)


@dataclass(frozen=True)
class Document:
    """A YAML document.

    Args:
        value: Dictionaries with text keys, lists, text, numbers, booleans and None; nothing in it is shared.
        lines: The line, from 1, of each key and list item; the empty key is the document's first.
    """

    value: Any
    lines: Mapping[Key, int]


def read_yaml(content: str | bytes) -> Document:
    """Reads a document whose top level is a mapping.

    Scalars are read by `read_plain`, quoted ones are text. Limits: 1 MiB, nesting 32, 100 aliases, 20,000 keys and
    values after aliases are expanded.

    Args:
        content: The text, or its bytes in UTF-8 with or without a byte-order mark.

    Raises:
        YamlTextError: The content is not YAML, repeats a key, breaks a limit, or uses tags, merge keys or keys that
            are not text.
    """
    document = read_value(_decode(content) if isinstance(content, bytes) else content)
    if not isinstance(document.value, dict):
        problem = Problem((), "the top level must be a mapping (KEY: VALUE)", got=shown(document.value))
        raise YamlTextError([(document.lines[()], problem)])
    return document


def read_value(text: str) -> Document:
    """Reads a document of any kind by the rules of `read_yaml`; an empty one is None. Raises YamlTextError."""
    if len(text) > MAX_BYTES:
        raise _too_large()
    record = _Record()
    for event in _events(text):
        record.add(event)
    if not record.events:
        return Document(None, {(): 1})
    builder = _Builder(record)
    value, _ = builder.build(0, ())
    if builder.faults:
        raise YamlTextError(builder.faults)
    return Document(value, builder.lines)


def _decode(content: bytes) -> str:
    if len(content) > MAX_BYTES:
        raise _too_large()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise _fault(line, f"byte 0x{error.object[error.start]:02x} is not UTF-8; save the file as UTF-8") from error


def _fault(line: int, what: str) -> YamlTextError:
    return YamlTextError([(line, Problem((), what))])


def _too_large() -> YamlTextError:
    return _fault(1, f"a configuration has at most {MAX_BYTES:,} bytes")


def _line(event: yaml.Event) -> int:
    return _marked(event.start_mark)


def _events(text: str) -> Iterator[yaml.Event]:
    """PyYAML's events one by one, its errors in plain words."""
    loader = None
    try:
        loader = yaml.SafeLoader(text)
        while loader.check_event():
            yield loader.get_event()  # type: ignore[no-untyped-call]
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise _fault(line, f"the character U+{ord(text[error.position]):04X} cannot stand in YAML") from error
    except yaml.MarkedYAMLError as error:
        raise _in_plain_words(error) from error
    except (ValueError, OverflowError) as error:  # an escape beyond Unicode, a version number of thousands of digits
        raise _fault(loader.line + 1 if loader else 1, "this is not valid YAML") from error


def _in_plain_words(error: yaml.MarkedYAMLError) -> YamlTextError:
    """PyYAML's complaint without its jargon; of what is not closed, the line where it starts."""
    jargon = f"{error.context or ''} {error.problem or ''}"
    for fragment, words in _UNCLOSED:
        if fragment in jargon:
            return _fault(_marked(error.context_mark or error.problem_mark), words)
    matching = (words for fragment, words in _MISPLACED if fragment in jargon)
    words = next(matching, f"this is not valid YAML ({error.problem})")
    return _fault(_marked(error.problem_mark or error.context_mark), words)


def _marked(mark: Any) -> int:
    return 1 if mark is None else int(mark.line) + 1


@dataclass
class _Record:
    """The events of one document within the limits, and what its aliases stand for.

    Args:
        events: Of nodes only.
        targets: For the position of each alias, the position of the node that it repeats.
        anchors: The position of each anchored node, None while it is not complete.
        unclosed: Anchor and position of each collection that is not complete.
        nodes: How many keys and values there are.
    """

    events: list[yaml.Event] = field(default_factory=list)
    targets: dict[int, int] = field(default_factory=dict)
    anchors: dict[str, int | None] = field(default_factory=dict)
    unclosed: list[tuple[str | None, int]] = field(default_factory=list)
    nodes: int = 0

    def add(self, event: yaml.Event) -> None:
        """Takes in the next event."""
        if isinstance(event, yaml.DocumentStartEvent) and self.events:
            raise _fault(_line(event), "a configuration is a single document; remove what follows the line ---")
        if isinstance(event, yaml.AliasEvent):
            self._add_alias(event)
        elif isinstance(event, yaml.CollectionStartEvent):
            self._open(event)
        elif isinstance(event, yaml.CollectionEndEvent):
            self._close()
        elif isinstance(event, yaml.ScalarEvent):
            self._name(event.anchor, len(self.events), _line(event))
        if isinstance(event, yaml.NodeEvent | yaml.CollectionEndEvent):
            self.events.append(event)
            self.nodes += isinstance(event, yaml.NodeEvent)
        if self.nodes > MAX_NODES:  # counted again, with those that aliases repeat, when values are built
            raise _too_many(_line(event))

    def _add_alias(self, event: yaml.AliasEvent) -> None:
        target = self.anchors.get(str(event.anchor), -1)
        if target is None:
            raise _fault(_line(event), f"*{event.anchor} would contain itself")
        if target < 0:
            raise _fault(_line(event), f"*{event.anchor} is not defined above; put text that starts with * in quotes")
        if len(self.targets) == MAX_ALIASES:
            raise _fault(_line(event), f"a configuration has at most {MAX_ALIASES} aliases")
        self.targets[len(self.events)] = target

    def _open(self, event: yaml.CollectionStartEvent) -> None:
        if len(self.unclosed) == MAX_DEPTH:
            raise _too_deep(_line(event))
        self._name(event.anchor, None, _line(event))
        self.unclosed.append((event.anchor, len(self.events)))

    def _close(self) -> None:
        anchor, position = self.unclosed.pop()
        if anchor is not None:
            self.anchors[anchor] = position

    def _name(self, anchor: str | None, position: int | None, line: int) -> None:
        if anchor in self.anchors:
            raise _fault(line, f"the anchor &{anchor} is defined twice")
        if anchor is not None:
            self.anchors[anchor] = position


def _too_deep(line: int) -> YamlTextError:
    return _fault(line, f"values are nested at most {MAX_DEPTH} deep")


def _too_many(line: int) -> YamlTextError:
    return _fault(line, f"a configuration has at most {MAX_NODES:,} keys and values, repeated ones counted")


class _Builder:
    """Turns events into values; an alias builds the events of its anchor again, so that nothing is shared."""

    def __init__(self, record: _Record) -> None:
        self.events, self.targets = record.events, record.targets
        self.lines: dict[Key, int] = {}
        self.faults: list[Fault] = []
        self.nodes = 0

    def build(self, at: int, key: Key) -> tuple[Any, int]:
        """The value that starts at event `at`, and the position after it."""
        event = self.events[at]
        self.lines.setdefault(key, _line(event))
        self._count(key)
        if isinstance(event, yaml.AliasEvent):
            return self.build(self.targets[at], key)[0], at + 1
        self._refuse_tag(event, key)
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, key), at + 1
        if len(key) >= MAX_DEPTH:
            raise _too_deep(self.lines[key[:1]])
        return self._mapping(at + 1, key) if isinstance(event, yaml.MappingStartEvent) else self._list(at + 1, key)

    def _count(self, key: Key) -> None:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise _too_many(self.lines[key[:1]])

    def _list(self, at: int, key: Key) -> tuple[list[Any], int]:
        values: list[Any] = []
        while not isinstance(self.events[at], yaml.SequenceEndEvent):
            value, at = self.build(at, (*key, len(values)))
            values.append(value)
        return values, at + 1

    def _mapping(self, at: int, key: Key) -> tuple[dict[str, Any], int]:
        values: dict[str, Any] = {}
        while not isinstance(self.events[at], yaml.MappingEndEvent):
            line = _line(self.events[at])
            name, at = self._name(at, key)
            child = (*key, name)
            if name in values:
                what = f"this key is given twice, first in line {self.lines[child]}; keep one of them"
                self.faults.append((line, Problem(child, what)))
            self.lines.setdefault(child, line)
            values[name], at = self.build(at, child)
        return values, at + 1

    def _name(self, at: int, key: Key) -> tuple[str, int]:
        """The key that starts at event `at`; one that is none is reported, and stands for itself as text."""
        event = self.events[at]
        self._count(key)
        if not isinstance(event, yaml.ScalarEvent):
            self.faults.append((_line(event), Problem(key, "a key must be text, not an alias, a list or a mapping")))
            return "?", self.build(at, (*key, "?"))[1]
        self._refuse_tag(event, key)
        if not event.style and event.value == "<<":
            self.faults.append((_line(event), Problem(key, "merge keys (<<) are not known; write the keys out")))
        elif not isinstance(self._scalar(event, key), str):
            problem = Problem(key, "a key must be text; put it in quotes", got=event.value)
            self.faults.append((_line(event), problem))
        return event.value, at + 1

    def _scalar(self, event: yaml.ScalarEvent, key: Key) -> Scalar:
        if event.style:
            return str(event.value)
        try:
            return read_plain(event.value)
        except ValueError as error:
            self.faults.append((_line(event), Problem(key, str(error), got=event.value)))
            return None

    def _refuse_tag(self, event: yaml.Event, key: Key) -> None:
        tag = getattr(event, "tag", None)
        if tag is not None:
            short = tag.replace("tag:yaml.org,2002:", "!!")
            self.faults.append((_line(event), Problem(key, "tags are not allowed; remove it", got=short)))
