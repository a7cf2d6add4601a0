from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from config_mutations import EDITS, broken, judge, mutated

from cnntrain.config import load_config
from cnntrain.config.yaml_reader import YamlTextError, read_value, read_yaml
from cnntrain.errors import ConfigError

COUNT = 300


def faults(content: str | bytes) -> list[str]:
    """The lines that reading `content` as `c.yaml` would give."""
    with pytest.raises(YamlTextError) as caught:
        read_yaml(content)
    return [problem.line(f"c.yaml:{line}") for line, problem in caught.value.faults]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1E5", 100000.0),
        (".5", 0.5),
        ("1.", 1.0),
        ("-2.5e+1", -25.0),
        ("010", 10),
        ("+7", 7),
        ("-0", 0),
        ("9" * 30, int("9" * 30)),
        ("true", True),
        ("FALSE", False),
        ("True", True),
        ("null", None),
        ("~", None),
        ("", None),
        ("NO", "NO"),
        ("yes", "yes"),
        ("on", "on"),
        ("Null", "Null"),
        ("0x10", "0x10"),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("2024-01-31", "2024-01-31"),
        ("inf", "inf"),
        (".", "."),
        ("e5", "e5"),
        ("=", "="),
        ("'1'", "1"),
        ('"true"', "true"),
        ("''", ""),
        ("|\n  12\n", "12\n"),
        ("[1, a, 'b', [2.0]]", [1, "a", "b", [2.0]]),
        ("{a: 1, b: null}", {"a": 1, "b": None}),
    ],
)
def test_values_are_read_by_few_rules(text: str, value: Any) -> None:
    read = read_value(text).value
    assert read == value
    assert type(read) is type(value)


def test_lines_of_keys_and_items() -> None:
    text = "# head\na: 1\nb:\n  - x\n  - y: 2\n    z: [3,\n      4]\nc: {d: 5}\n"
    assert dict(read_yaml(text).lines) == {
        (): 2,
        ("a",): 2,
        ("b",): 3,
        ("b", 0): 4,
        ("b", 1): 5,
        ("b", 1, "y"): 5,
        ("b", 1, "z"): 6,
        ("b", 1, "z", 0): 6,
        ("b", 1, "z", 1): 7,
        ("c",): 8,
        ("c", "d"): 8,
    }


def test_an_alias_is_a_copy_whose_items_keep_the_lines_of_the_original() -> None:
    document = read_yaml("a: &x\n  - k: 1\nb: *x\n")
    assert document.value == {"a": [{"k": 1}], "b": [{"k": 1}]}
    assert document.value["a"] is not document.value["b"]
    assert document.value["a"][0] is not document.value["b"][0]
    assert document.lines[("b",)] == 3
    assert document.lines[("b", 0, "k")] == 2


def test_a_byte_order_mark_is_accepted() -> None:
    assert read_yaml(b"\xef\xbb\xbfa: 1\n").value == {"a": 1}
    assert read_yaml("\ufeffa: 1\n").value == {"a": 1}


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("", "c.yaml:1: the top level must be a mapping (KEY: VALUE); got: null"),
        ("# nothing\n", "c.yaml:1: the top level must be a mapping (KEY: VALUE); got: null"),
        ("\n- 1\n- a\n", "c.yaml:2: the top level must be a mapping (KEY: VALUE); got: [1, a]"),
        ("a: 1\nb: 2\na: 3\n", "c.yaml:3: a: this key is given twice, first in line 1; keep one of them"),
        ("t:\n  a: 1\n  'a': 3\n", "c.yaml:3: t.a: this key is given twice, first in line 2; keep one of them"),
        ("a: .inf", "c.yaml:1: a: a number must be finite; got: .inf"),
        ("a: [1, -.INF]", "c.yaml:1: a.1: a number must be finite; got: -.INF"),
        ("a: .nan", "c.yaml:1: a: a number must be finite; got: .nan"),
        ("a: 1e999", "c.yaml:1: a: a number must be finite; got: 1e999"),
        ("a: " + "1" * 31, f"c.yaml:1: a: a whole number has at most 30 digits; got: {'1' * 31}"),
        ("a: " + "1" * 5000, f"c.yaml:1: a: a whole number has at most 30 digits; got: {'1' * 59}…"),
        (
            "a: !!python/object:os.system x",
            "c.yaml:1: a: tags are not allowed; remove it; got: !!python/object:os.system",
        ),
        ("a: !!int 3", "c.yaml:1: a: tags are not allowed; remove it; got: !!int"),
        ("a: ! 3", "c.yaml:1: a: tags are not allowed; remove it; got: !"),
        ("a: !!set {b}", "c.yaml:1: a: tags are not allowed; remove it; got: !!set"),
        ("!!str a: 3", "c.yaml:1: tags are not allowed; remove it; got: !!str"),
        ("b: &x {c: 1}\na:\n  <<: *x\n", "c.yaml:3: a: merge keys (<<) are not known; write the keys out"),
        ("a:\n  3: x\n", "c.yaml:2: a: a key must be text; put it in quotes; got: 3"),
        ("true: x\n", "c.yaml:1: a key must be text; put it in quotes; got: true"),
        ("? [a]\n: x\n", "c.yaml:1: a key must be text, not an alias, a list or a mapping"),
        ("a: &x b\n*x : 3\n", "c.yaml:2: a key must be text, not an alias, a list or a mapping"),
        ("a: 1\n---\nb: 2\n", "c.yaml:2: a configuration is a single document; remove what follows the line ---"),
        ("a: *x\n", "c.yaml:1: *x is not defined above; put text that starts with * in quotes"),
        ("a: &x [*x]\n", "c.yaml:1: *x would contain itself"),
        ("a: &x 1\nb: &x 2\n", "c.yaml:2: the anchor &x is defined twice"),
        ("a: " + "[" * 32 + "]" * 32, "c.yaml:1: values are nested at most 32 deep"),
        ("[" * 100_000, "c.yaml:1: values are nested at most 32 deep"),
        (
            "a:\n  b:\n\tc: 1\n",
            "c.yaml:3: this character cannot start a value; put text in quotes, indent with spaces only",
        ),
        (
            "a: b: c",
            "c.yaml:1: no colon is expected here; put text with a colon in quotes, check the indentation",
        ),
        (
            "a: 1\nb: [1, 2\nc: 3\n",
            "c.yaml:2: the list in [ ] that starts here is not closed, or a comma is missing in it",
        ),
        (
            "b: {c: 1\nd",
            "c.yaml:1: the mapping in { } that starts here is not closed, or a comma is missing in it",
        ),
        ("a: 1\nb: 'x\nc: 1\n", "c.yaml:2: the quotation mark that stands here is not closed"),
        ('a: "\\q"', 'c.yaml:1: in "double quotes" a backslash is written twice; or use single quotes'),
        ('b: 1\na: "\\UFFFFFFFF"', "c.yaml:2: this is not valid YAML"),
        ("%YAML 1." + "1" * 5000 + "\n--- {}\n", "c.yaml:1: this is not valid YAML"),
        ("a: 1\nb: \0", "c.yaml:2: the character U+0000 cannot stand in YAML"),
        ("a: 1\nb: \x1b[31m", "c.yaml:2: the character U+001B cannot stand in YAML"),
        (b"a: 1\nb: \xff\n", "c.yaml:2: byte 0xff is not UTF-8; save the file as UTF-8"),
        ("a: 1\n".encode("utf-16"), "c.yaml:1: byte 0xff is not UTF-8; save the file as UTF-8"),
        (b"#" * ((1 << 20) + 1), "c.yaml:1: a configuration has at most 1,048,576 bytes"),
    ],
)
def test_each_fault_is_one_line(content: str | bytes, line: str) -> None:
    assert faults(content) == [line]


def test_faults_that_do_not_hide_each_other_are_told_at_once() -> None:
    assert faults("a: 1\na: .nan\n2: 3\n") == [
        "c.yaml:2: a: this key is given twice, first in line 1; keep one of them",
        "c.yaml:2: a: a number must be finite; got: .nan",
        "c.yaml:3: a key must be text; put it in quotes; got: 2",
    ]


def test_nesting_of_32_is_read() -> None:
    value = read_yaml("a: " + "[" * 31 + "]" * 31).value["a"]
    for _ in range(30):
        (value,) = value
    assert value == []


def test_nesting_through_aliases_counts() -> None:
    lines = ["a0: &a0 [1]", *(f"a{i}: &a{i} [*a{i - 1}]" for i in range(1, 40))]
    assert faults("\n".join(lines)) == ["c.yaml:32: values are nested at most 32 deep"]


def test_at_most_100_aliases() -> None:
    def text(count: int) -> str:
        return "x: &x 1\na: [" + ", ".join(["*x"] * count) + "]"

    assert read_yaml(text(100)).value["a"] == [1] * 100
    assert faults(text(101)) == ["c.yaml:2: a configuration has at most 100 aliases"]


def test_at_most_20_000_keys_and_values_after_expansion() -> None:
    bomb = "\n".join(["a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]", *_tenfold("abcdef")])
    assert len(faults(bomb)) == 1
    assert faults(bomb)[0].endswith(": a configuration has at most 20,000 keys and values, repeated ones counted")
    assert len(read_yaml("a: [" + "1," * 19_997 + "]").value["a"]) == 19_997
    assert faults("a: [" + "1," * 19_998 + "]") == [
        "c.yaml:1: a configuration has at most 20,000 keys and values, repeated ones counted"
    ]


def _tenfold(names: str) -> list[str]:
    """Lists of ten times the list before."""
    return [f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]" for before, name in pairwise(names)]


VALID = """\
# the digits
seed: 7
data:
  source: data/digits
  classes: [zero, "1", two]
  image_size: [24, 32]
  color: grayscale
augment: &augment {rotation: 10, zoom: 1e-1, flip: none}
model:
  kind: convnet
  blocks:
    - &block {filters: 8, padding: same}
    - *block
  head:
    layers:
      - dense: 16
      - {dropout: .5}
train:
  epochs: 3
  optimizer: {name: sgd, momentum: 0.9}
  schedule: cosine
  stages:
    - name: first   # of two
      learning_rate: 1.0e-2
    - {name: 'second', epochs: 2, early_stopping: {patience: 1}}
"""


def test_mutated_configurations_load_or_give_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every line names file, line and key; the line is where PyYAML sees the key."""
    monkeypatch.chdir(tmp_path)
    path = Path("c.yaml")
    shipped = sorted((Path(__file__).parent.parent / "configs").glob("*.yaml"))
    contents = [VALID.encode(), *(file.read_bytes() for file in shipped)]
    for content in contents:
        path.write_bytes(content)
        load_config(path)
    refused = Counter[str]()
    for number in range(COUNT):
        name, content = mutated(contents, 20, number)
        path.write_bytes(content)
        verdict = judge(path)
        assert verdict.broken == "", (number, name)
        assert not any("Input should" in line for line in verdict.lines), (number, name)
        refused[name] += bool(verdict.lines)
    assert all(count > COUNT / len(EDITS) / 4 for count in refused.values())
    assert set(refused) == set(EDITS)


@pytest.mark.parametrize(
    ("lines", "broken_promise"),
    [
        (("c.yaml:1: a: unknown key",), ""),
        (("c.yaml:2: b: unknown key", "c.yaml:2: b.c: unknown key"), ""),
        (('c.yaml:1: "a b": unknown key',), ""),
        ((), "without a line"),
        (("c.yaml: a: unknown key",), "file and line"),
        (("c.yaml:1: a\n: unknown key",), "file and line"),
        (("c.yaml:9: a: unknown key",), "no such line"),
        (("c.yaml:2: a: unknown key",), "another line than 1"),
        (("c.yaml:1: something is wrong",), "no key"),
    ],
)
def test_the_check_of_the_lines_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: tuple[str, ...], broken_promise: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("c.yaml").write_text("a: 1\nb: 2\n", encoding="utf-8")
    found = broken(Path("c.yaml"), lines)
    assert broken_promise in found
    assert bool(found) == bool(broken_promise)


def test_a_key_with_a_dot_in_it_is_quoted(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(
        "data: {source: x}\nmodel:\n  kind: convnet\n  blocks: [{filters: 1}]\n  a.b: 1\n", encoding="utf-8"
    )
    with pytest.raises(ConfigError, match=r':5: model\."a\.b": unknown key'):
        load_config(path)
