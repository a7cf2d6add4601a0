import copy
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import FrozenInstanceError
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from cnntrain.config import Config, LoadedConfig, Problem, config_to_yaml, load_config, nearest, shown
from cnntrain.config.sections import BatchNorm, Erasing
from cnntrain.config.stages import plan_stages
from cnntrain.errors import ConfigError

Write = Callable[[str], Path]
CONVNET = """\
seed: 7
data:
  source: data/digits
  image_size: [24, 32]
augment: {rotation: 10}
model:
  kind: convnet
  blocks:
    - {filters: 8}
    - filters: 16
      padding: same
train:
  learning_rate: 1e-3
  early_stopping: {patience: 10}
  stages:
    - {name: one, epochs: 3}
    - name: two
"""
RAW = yaml.safe_load(CONVNET.replace("1e-3", "0.001"))


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes text to `c.yaml` in a folder that is then the working directory."""
    monkeypatch.chdir(tmp_path)

    def write_text(text: str) -> Path:
        path = Path("c.yaml")
        path.write_text(text, encoding="utf-8")
        return path

    return write_text


def refused(source: Any, *overrides: str) -> list[str]:
    """The lines of the error that loading gives."""
    with pytest.raises(ConfigError) as caught:
        load_config(source, overrides=overrides)
    assert caught.value.exit_code == 2
    return list(caught.value.problems)


def problems(source: Any) -> tuple[str, ...]:
    """The lines of the error that loading gives, none where all is well."""
    try:
        load_config(source)
    except ConfigError as error:
        return error.problems
    return ()


def changed(**sections: Any) -> dict[str, Any]:
    """The raw configuration with whole sections replaced."""
    return {**copy.deepcopy(RAW), **sections}


# loading


def test_a_file_becomes_a_typed_frozen_config(write: Write) -> None:
    loaded = load_config(write(CONVNET))
    config = loaded.config
    assert loaded.name == "c.yaml"
    assert config.seed == 7
    assert config.data.image_size == (24, 32)
    assert config.augment.rotation == 10.0
    assert [block.filters for block in config.model.blocks] == [8, 16]
    assert config.train.learning_rate == 0.001
    assert config.train.early_stopping.patience == 10
    assert [stage.name for stage in config.train.stages] == ["one", "two"]
    with pytest.raises(ValidationError):
        config.seed = 8
    with pytest.raises(FrozenInstanceError):
        loaded.config = config


def test_file_text_mapping_and_config_give_the_same(write: Write) -> None:
    path = write(CONVNET)
    config = load_config(path).config
    assert load_config(str(path)).config == config
    assert load_config(RAW).config == config
    assert load_config(config).config == config
    assert load_config(RAW).name == load_config(config).name == "config"


def test_a_mapping_is_not_changed() -> None:
    before = copy.deepcopy(RAW)
    load_config(RAW, overrides=["train.epochs=3", "model.blocks.0.filters=5", "train.early_stopping=null"])
    assert before == RAW


def test_files_that_cannot_be_read(write: Write, tmp_path: Path) -> None:
    write(CONVNET)
    folder = tmp_path / "folder.yaml"
    folder.mkdir()
    assert refused("folder.yaml") == ["folder.yaml: is a folder; give the path of a YAML file"]
    assert refused("cc.yaml") == ["cc.yaml: there is no such file; give the path of a YAML file; did you mean c.yaml?"]
    assert refused("far/away.yaml") == ["far/away.yaml: there is no such file; give the path of a YAML file"]
    assert refused("nul\0.yaml") == ["nul\\x00.yaml: no file can have this name; give the path of a YAML file"]


def test_a_file_that_is_no_yaml_names_file_and_line(write: Write) -> None:
    assert refused(write("data:\n  source: [x\n")) == [
        "c.yaml:2: the list in [ ] that starts here is not closed, or a comma is missing in it"
    ]


def test_a_file_name_with_a_line_break_stays_one_line(write: Write, tmp_path: Path) -> None:
    write(CONVNET).rename(tmp_path / "a\nb.yaml")
    assert refused("a\nb.yaml", "seed=-1") == [
        "--set seed=-1: seed: is out of range; allowed: 0 to below 4294967296; got: -1"
    ]
    (tmp_path / "a\nb.yaml").write_text("seed: x\ndata: {source: x}\nmodel: {kind: pretrained, backbone: vgg16}\n")
    assert refused("a\nb.yaml") == [
        "a\\nb.yaml:1: seed: must be a whole number; allowed: 0 to below 4294967296; got: x"
    ]


# what is wrong, in words


def test_all_problems_at_once_each_with_its_line(write: Write) -> None:
    text = """\
data:
  source: 12
  sorce: x
  image_size: [150]
  classes: [a, a]
  color: rbg
  batch_size: ten
augment:
model:
  kind: convnet
  blocks:
    - {filters: 0, stride: 1.5}
    - {kernel: 3}
    - 5
  head: {layers: [{dropout: 1.5}, {dense: 1, dropout: 0.1}, {dropout: 0.1, activation: relu}]}
train:
  optimizer: {name: sgd, rho: 0.1}
  learning_rate: 0
  early_stopping: {}
  schedule: cosin
  mixed_precision: yes
  gradient_clipping: "5"
  reduce_lr: {patience: 1, factor: 1}
  stages:
    - {name: "a,b", optimizer: 3}
    - {name: b, epochs: true}
"""
    block_keys = (
        "filters, convolutions, kernel_size, stride, padding, separable, bias, batch_norm, norm_first, activation, "
        "pooling, pool_size, pool_stride, pool_padding, residual, dropout"
    )
    assert refused(write(text)) == [
        "c.yaml:2: data.source: must be text; put it in quotes; got: 12",
        "c.yaml:3: data.sorce: unknown key; allowed: source, fold, classes, image_size, color, "
        "alpha, resize, interpolation, max_pixels, bad_images, batch_size, cache; "
        "did you mean source?",
        "c.yaml:4: data.image_size: has the wrong length; allowed: exactly 2 items; got: [150]",
        "c.yaml:5: data.classes: a class is named twice; got: [a, a]",
        "c.yaml:6: data.color: is not one of the choices; allowed: rgb, grayscale; got: rbg; did you mean rgb?",
        "c.yaml:7: data.batch_size: must be a whole number; allowed: 1 to 65536; got: ten",
        "c.yaml:8: augment: must be a mapping; got: null",
        "c.yaml:12: model.blocks.0.filters: is out of range; allowed: at least 1; got: 0",
        "c.yaml:12: model.blocks.0.stride: must be a whole number; allowed: at least 1; got: 1.5",
        "c.yaml:13: model.blocks.1.filters: this key is missing; allowed: a whole number, at least 1",
        f"c.yaml:13: model.blocks.1.kernel: unknown key; allowed: {block_keys}; did you mean kernel_size?",
        "c.yaml:14: model.blocks.2: must be a mapping; got: 5",
        "c.yaml:15: model.head.layers.0.dropout: is out of range; allowed: 0 to below 1; got: 1.5",
        "c.yaml:15: model.head.layers.1: a layer of the head is either {dense: UNITS} or {dropout: RATE}",
        "c.yaml:15: model.head.layers.2: a dropout layer takes no activation",
        "c.yaml:17: train.optimizer: sgd takes no rho; it takes momentum, nesterov",
        "c.yaml:18: train.learning_rate: is out of range; allowed: above 0; got: 0",
        "c.yaml:19: train.early_stopping.patience: this key is missing; allowed: a whole number, at least 1",
        "c.yaml:20: train.schedule.name: is not one of the choices; allowed: cosine, one_cycle; got: cosin; "
        "did you mean cosine?",
        "c.yaml:21: train.mixed_precision: must be true or false; got: yes",
        'c.yaml:22: train.gradient_clipping: must be a number; allowed: above 0; got: "5"',
        "c.yaml:23: train.reduce_lr.factor: is out of range; allowed: above 0, below 1; got: 1",
        'c.yaml:25: train.stages.0.name: a stage\'s name is one line without commas; got: "a,b"',
        "c.yaml:25: train.stages.0.optimizer: must be a name or a mapping; got: 3",
        "c.yaml:26: train.stages.1.epochs: must be a whole number; allowed: at least 1; got: true",
    ]


@pytest.mark.parametrize(
    ("model", "line"),
    [
        ({"blocks": []}, "config: model.kind: this key is missing; allowed: convnet, pretrained"),
        (
            {"kind": "convent"},
            "config: model.kind: is not one of the choices; allowed: convnet, pretrained; got: convent; "
            "did you mean convnet?",
        ),
        (
            {"kind": ["convnet"]},
            "config: model.kind: is not one of the choices; allowed: convnet, pretrained; got: [convnet]",
        ),
        (None, "config: model: must be a mapping; got: null"),
        ("vgg16", "config: model: must be a mapping; got: vgg16"),
        (
            {"kind": "convnet", "blocks": []},
            "config: model.blocks: has the wrong length; allowed: at least 1 item; got: []",
        ),
        ({"kind": "pretrained"}, "config: model.backbone: this key is missing; allowed: text"),
        (
            {"kind": "pretrained", "backbone": "vgg16", "pretrained": 1},
            "config: model.pretrained: unknown key; allowed: kind, backbone, weights, head",
        ),
    ],
)
def test_problems_of_the_model(model: Any, line: str) -> None:
    assert refused({"data": {"source": "x"}, "model": model}) == [line]


@pytest.mark.parametrize(
    ("section", "values", "line"),
    [
        ("seed", 2**32, "config: seed: is out of range; allowed: 0 to below 4294967296; got: 4294967296"),
        ("seed", 10**30, "config: seed: a whole number has at most 30 digits"),
        ("data", {"source": ""}, 'config: data.source: has the wrong length; allowed: not empty; got: ""'),
        (
            "data",
            {"source": "x", "image_size": [1, 2, 3]},
            "config: data.image_size: has the wrong length; allowed: exactly 2 items; got: [1, 2, 3]",
        ),
        (
            "data",
            {"source": "x", "image_size": [150.0, 150]},
            "config: data.image_size.0: must be a whole number; allowed: 1 to 8192; got: 150.0",
        ),
        (
            "data",
            {"source": "x", "image_size": 150},
            "config: data.image_size: must be a list; allowed: exactly 2 items; got: 150",
        ),
        ("data", {"source": "\ud800"}, 'config: data.source: must be text of valid Unicode characters; got: "\\ud800"'),
        ("data", {"source": Path}, None),
        ("train", {"learning_rate": float("inf")}, "config: train.learning_rate: must be a finite number; got: inf"),
        (
            "train",
            {"label_smoothing": float("nan")},
            "config: train.label_smoothing: must be a finite number; got: nan",
        ),
        ("train", {"optimizer": {}}, None),
        (
            "train",
            {"reduce_lr": {"patience": 1}, "schedule": "cosine"},
            "config: train.schedule: reduce_lr and schedule exclude each other; keep one of them",
        ),
        (
            "train",
            {"stages": [{"name": "a"}, {"name": "a"}]},
            "config: train.stages.1.name: an earlier stage has this name; got: a",
        ),
        ("augment", {1: 2}, "config: augment: a key must be text; got: 1"),
    ],
)
def test_problems_of_other_sections(section: str, values: Any, line: str) -> None:
    lines = refused(changed(**{section: values}))
    assert len(lines) == 1
    assert line is None or lines == [line]


def test_a_mapping_that_contains_itself_ends() -> None:
    raw = changed()
    raw["train"]["stages"] = [raw["train"]]
    assert refused(raw) == ["config: train: values are nested at most 32 deep"]


def test_names_with_odd_characters_stay_one_line(write: Write) -> None:
    lines = refused(write(CONVNET + '"a.b\\n\\u202e": 1\n' + "k" * 100 + ": 1\n"))
    known = "allowed: format, seed, data, augment, model, train"
    assert lines == [
        f'c.yaml:18: "a.b\\n\\u202e": unknown key; {known}',
        f"c.yaml:19: {'k' * 59}…: unknown key; {known}",
    ]


def test_a_home_of_nobody_is_told() -> None:
    raw = {
        "data": {"source": "~nobody-of-that-name/photos"},
        "model": {"kind": "pretrained", "backbone": "vgg16", "weights": "~nobody-of-that-name.h5"},
    }
    rule = "there is no such user; write ./~… for a name that begins with ~; got: ~nobody-of-that-name"
    assert refused(raw) == [f"config: data.source: {rule}/photos", f"config: model.weights: {rule}.h5"]


def test_only_the_base_of_a_pretrained_model_can_be_frozen(write: Write) -> None:
    text = CONVNET.replace("{name: one, epochs: 3}", "{name: one, unfreeze: none}").replace(
        "- name: two", "- name: two\n      unfreeze: all\n    - name: three\n      unfreeze: conv_1"
    )
    assert refused(write(text)) == [
        "c.yaml:16: train.stages.0.unfreeze: a convnet has no frozen base; allowed: all; got: none",
        "c.yaml:20: train.stages.2.unfreeze: a convnet has no frozen base; allowed: all; got: conv_1",
    ]
    assert refused(load_config(CONVNET_RAW_STAGES).config, "train.stages.0.unfreeze=none") == [
        "--set train.stages.0.unfreeze=none: train.stages.0.unfreeze: a convnet has no frozen base; allowed: all; "
        "got: none"
    ]
    model = {"kind": "pretrained", "backbone": "vgg16"}
    stages = [{"name": "head", "unfreeze": "none"}, {"name": "top", "unfreeze": "block5_conv1"}]
    config = load_config(changed(model=model, train={"stages": stages})).config
    assert [stage.unfreeze for stage in config.train.stages] == ["none", "block5_conv1"]


CONVNET_RAW_STAGES = changed(train={"stages": [{"name": "a"}]})


# overrides


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("seed=3", lambda config: config.seed == 3),
        ("train.learning_rate=1e-4", lambda config: config.train.learning_rate == 1e-4),
        ("model.blocks.1.filters=64", lambda config: [block.filters for block in config.model.blocks] == [8, 64]),
        ("train.stages.1.epochs=2", lambda config: [stage.epochs for stage in config.train.stages] == [3, 2]),
        ("data.image_size=[150, 151]", lambda config: config.data.image_size == (150, 151)),
        ("data.image_size.0=7", lambda config: config.data.image_size == (7, 32)),
        ("data.source=a=b", lambda config: config.data.source == "a=b"),
        ("data.classes='[x]'", None),
        ("train.early_stopping=null", lambda config: config.train.early_stopping is None),
        ("augment=null", lambda config: config.augment.rotation == 0.0),
        ("train.reduce_lr.patience=4", lambda config: config.train.reduce_lr.patience == 4),
        ("train.optimizer={name: adam, beta_1: 0.5}", lambda config: config.train.optimizer.beta_1 == 0.5),
        ("model={kind: pretrained, backbone: vgg16}", lambda config: config.model.backbone == "vgg16"),
    ],
)
def test_overrides_are_merged_before_the_check(write: Write, override: str, value: Any) -> None:
    if value is None:
        assert len(refused(write(CONVNET), override)) == 1
    else:
        assert value(load_config(write(CONVNET), overrides=[override]).config)


def test_later_overrides_win_and_build_on_earlier_ones() -> None:
    overrides = ["train.optimizer={name: sgd}", "train.optimizer.momentum=0.5", "seed=1", "seed=2"]
    config = load_config(RAW, overrides=overrides).config
    assert (config.train.optimizer.name, config.train.optimizer.momentum, config.seed) == ("sgd", 0.5, 2)


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("foo", "--set foo: an override is written KEY=VALUE, for instance train.epochs=5"),
        ("=3", "--set =3: an override is written KEY=VALUE, for instance train.epochs=5"),
        ("a..b=1", "--set a..b=1: an override is written KEY=VALUE, for instance train.epochs=5"),
        ("seed.x=1", "--set seed.x=1: seed: is a single value; set it as a whole; got: 7"),
        (
            "model.blocks.2.filters=3",
            "--set model.blocks.2.filters=3: model.blocks.2: there is no such list item; allowed: 0 to 1",
        ),
        ("model.blocks.x=3", "--set model.blocks.x=3: model.blocks.x: there is no such list item; allowed: 0 to 1"),
        ("model.head.0=3", "--set model.head.0=3: model.head.0: there is no such list item"),
        (
            "seed=[1",
            "--set seed=[1: the list in [ ] that starts here is not closed, or a comma is missing in it",
        ),
        ("seed=!!int 3", "--set seed=!!int 3: tags are not allowed; remove it; got: !!int"),
        ("train.epochs=0", "--set train.epochs=0: train.epochs: is out of range; allowed: at least 1; got: 0"),
        (
            "train.epoch=5",
            "--set train.epoch=5: train.epoch: unknown key; allowed: epochs, optimizer, learning_rate, "
            "base_learning_rate, monitor, early_stopping, reduce_lr, schedule, class_weights, label_smoothing, "
            "weight_decay, gradient_clipping, ema, mixed_precision, interpolate, features, save_every, on_nan, stages; "
            "did you mean epochs?",
        ),
        ("data.source=null", "--set data.source=null: data.source: this key is missing; allowed: text, not empty"),
        (
            "train.reduce_lr.factor=0.1",
            "--set train.reduce_lr.factor=0.1: train.reduce_lr.patience: this key is missing; "
            "allowed: a whole number, at least 1",
        ),
        (
            "train.early_stopping={patience: 0}",
            "--set train.early_stopping={patience: 0}: train.early_stopping.patience: is out of range; "
            "allowed: at least 1; got: 0",
        ),
        (
            "data.color='" + "x" * 100 + "\x1b'",
            "--set data.color='" + "x" * 67 + "…: the character U+001B cannot stand in YAML",
        ),
        (
            "data.color=" + "x\n" * 50,
            "--set data.color=" + "x\\n" * 22 + "x\\…: data.color: is not one of the choices; allowed: rgb, grayscale; "
            "got: " + "x " * 29 + "x…",
        ),
    ],
)
def test_bad_overrides_are_named_as_they_were_given(write: Write, override: str, line: str) -> None:
    assert refused(write(CONVNET), override) == [line]


def test_problems_of_file_and_overrides_come_together(write: Write) -> None:
    assert refused(write(CONVNET.replace("seed: 7", "seed: x")), "train.epochs=0", "oops") == [
        "c.yaml:1: seed: must be a whole number; allowed: 0 to below 4294967296; got: x",
        "--set train.epochs=0: train.epochs: is out of range; allowed: at least 1; got: 0",
        "--set oops: an override is written KEY=VALUE, for instance train.epochs=5",
    ]


def test_an_override_hides_what_stood_in_the_file(write: Write) -> None:
    broken = CONVNET.replace("{patience: 10}", "{patience: 0}").replace("seed: 7", "seed: x")
    loaded = load_config(write(broken), overrides=["train.early_stopping={patience: 1}", "seed=1"])
    assert (loaded.config.train.early_stopping.patience, loaded.config.seed) == (1, 1)


# problems of other rooms


def test_problems_of_other_rooms_get_their_lines(write: Write) -> None:
    loaded = load_config(write(CONVNET), overrides=["data.source=elsewhere", "train.reduce_lr={patience: 2}"])
    assert isinstance(loaded, LoadedConfig)
    error = loaded.locate(
        [
            Problem(("data", "source"), "there is no such folder", got="elsewhere"),
            Problem(("train", "reduce_lr", "factor"), "is odd"),
            Problem(
                ("train", "stages", 1, "unfreeze"), "no such layer", allowed="all", got="blok5", suggestion="block5"
            ),
            Problem(("model", "blocks", 0, "pool_size"), "is too large", got="2"),
            Problem(("model", "head"), "is too small"),
            Problem((), "is too much"),
        ]
    )
    assert error.exit_code == 2
    assert error.problems == (
        "c.yaml:1: is too much",
        "c.yaml:6: model.head: is too small",
        "c.yaml:9: model.blocks.0.pool_size: is too large; got: 2",
        "c.yaml:17: train.stages.1.unfreeze: no such layer; allowed: all; got: blok5; did you mean block5?",
        "--set data.source=elsewhere: data.source: there is no such folder; got: elsewhere",
        "--set train.reduce_lr={patience: 2}: train.reduce_lr.factor: is odd",
    )
    assert str(error) == "\n".join(error.problems)


def test_problems_without_a_file_name_the_config() -> None:
    error = load_config(RAW, overrides=["seed=1"]).locate([Problem(("data",), "is odd"), Problem(("seed",), "is odd")])
    assert error.problems == ("config: data: is odd", "--set seed=1: seed: is odd")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        ("blok5_conv1", "blok5_conv1"),
        ("10", '"10"'),
        ("null", '"null"'),
        ("1e999", '"1e999"'),
        ("a: b", '"a: b"'),
        ("", '""'),
        (1.5, "1.5"),
        ([1, "a", [None]], "[1, a, [null]]"),
        ({"a": {"b": False}}, "{a: {b: false}}"),
        ("x" * 60, "x" * 60),
        ("x" * 61, "x" * 59 + "…"),
        ("\x1b[31m\u2028", '"\\u001b[31m\\u2028"'),
        ([[1] * 1000] * 1000, "[[" + "1, " * 19 + "…"),
    ],
)
def test_values_are_shown_as_yaml_would_have_them(value: Any, text: str) -> None:
    assert shown(value) == text
    assert len(text) <= 60


def test_what_other_rooms_got_is_shortened_and_escaped() -> None:
    assert Problem(("a",), "no", got="x\ny" + "z" * 100).line("p") == f"p: a: no; got: x\\ny{'z' * 55}…"


@pytest.mark.parametrize(
    ("word", "match"), [("rmsprob", "rmsprop"), ("ADAM", "adam"), ("block5", "Block5"), ("zzz", ""), ("", "")]
)
def test_nearest(word: str, match: str) -> None:
    assert nearest(word, ["rmsprop", "adam", "Block5"]) == match


JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.lists(st.one_of(st.none(), st.integers(), st.text(max_size=3)), max_size=3),
    st.dictionaries(st.sampled_from(["name", "kind", "filters", "patience", "x"]), st.integers(), max_size=3),
)


def paths(value: Any, key: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """All key paths of nested dictionaries and lists."""
    yield key
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in items:
        yield from paths(item, (*key, name))


def put(raw: Any, key: tuple[Any, ...], value: Any) -> None:
    """Puts a value at a key path, if an earlier change has not taken the path away."""
    try:
        for part in key[:-1]:
            raw = raw[part]
        raw[key[-1]] = value
    except (KeyError, IndexError, TypeError):
        pass


@given(changes=st.lists(st.tuples(st.sampled_from(list(paths(RAW))[1:]), JUNK), min_size=1, max_size=3))
@settings(deadline=None)
def test_junk_anywhere_gives_plain_lines(changes: list[tuple[Any, Any]]) -> None:
    raw = changed()
    for key, junk in changes:
        put(raw, key, junk)
    for line in problems(raw):
        assert line.startswith("config: ")
        assert line.isprintable()
        assert not {"Input", "input", "Extra", "Tuple", "error,"} & set(line.split())


# writing


names = st.text(min_size=1, max_size=12)
stage_names = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Z"], exclude_characters=","), min_size=1, max_size=9
)
fractions = st.floats(0, 1, exclude_max=True)
positive = st.floats(min_value=0, exclude_min=True, allow_infinity=False)
nfc = partial(unicodedata.normalize, "NFC")
counts = st.integers(1, 10**12)
pixels = st.integers(1, 8192)
class_names = names.filter(lambda name: name[0] != "." and not set(name) & set("/\\\0\n"))
activations = st.sampled_from(["relu", "tanh", "linear", "leaky_relu"])


def sections(**fields: Any) -> st.SearchStrategy[dict[str, Any]]:
    """Mappings with any of the fields; those named in capital letters are always there."""
    required = {name.lower(): field for name, field in fields.items() if name.isupper()}
    return st.fixed_dictionaries(required, optional={name: f for name, f in fields.items() if not name.isupper()})


def rates() -> dict[str, Any]:
    """Early stopping and a schedule, alone or with an optimizer."""
    optimizers = st.one_of(
        st.sampled_from(["adam", "lion"]),
        sections(NAME=st.just("sgd"), momentum=fractions, nesterov=st.booleans()),
        sections(NAME=st.just("rmsprop"), rho=fractions, momentum=fractions, epsilon=positive),
    )
    return {
        "epochs": st.integers(10, 10**12),
        "optimizer": optimizers,
        "learning_rate": positive,
        "early_stopping": sections(PATIENCE=counts, min_delta=fractions),
        "schedule": st.one_of(
            st.just("cosine"),
            sections(NAME=st.just("cosine"), warmup_epochs=st.integers(0, 9)),
            sections(NAME=st.just("one_cycle"), warmup_fraction=st.floats(0.1, 0.9)),
        ),
    }


heads = sections(
    pooling=st.sampled_from(["flatten", "global_average"]),
    layers=st.lists(st.one_of(sections(DENSE=counts, activation=activations), sections(DROPOUT=fractions)), max_size=3),
)
blocks = sections(
    FILTERS=counts,
    kernel_size=counts,
    activation=activations,
    batch_norm=st.one_of(st.booleans(), sections(momentum=fractions)),
    residual=st.booleans(),
    pool_stride=counts,
    dropout=fractions,
)
models = st.one_of(
    sections(KIND=st.just("convnet"), BLOCKS=st.lists(blocks, min_size=1, max_size=3), head=heads),
    sections(KIND=st.just("pretrained"), BACKBONE=names, weights=names, head=heads),
)
unique_stages = st.lists(sections(NAME=stage_names, **rates()), max_size=3, unique_by=lambda stage: stage["name"])
configs = sections(
    seed=st.integers(0, 2**32 - 1),
    DATA=sections(
        SOURCE=names,
        classes=st.one_of(st.none(), st.integers(2, 9), st.lists(class_names, min_size=2, max_size=4, unique_by=nfc)),
        image_size=st.tuples(pixels, pixels),
        color=st.sampled_from(["rgb", "grayscale"]),
    ),
    augment=sections(
        rotation=st.floats(0, 180),
        zoom=fractions,
        flip=st.sampled_from(["none", "both"]),
        erasing=st.one_of(st.just(0), st.floats(0.1, 1), sections(PROBABILITY=st.floats(0.1, 1))),
        rand_augment=sections(magnitude=st.integers(0, 30)),
    ),
    MODEL=models,
    train=sections(**rates(), weight_decay=positive, mixed_precision=st.booleans(), stages=unique_stages),
)


@given(raw=configs)
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
def test_what_is_written_reads_back_as_the_same(raw: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> None:
    config = load_config(raw).config
    path = tmp_path_factory.mktemp("written") / "config.yaml"
    path.write_text(config_to_yaml(config), encoding="utf-8", newline="\n")
    assert load_config(path).config == config


@pytest.mark.parametrize(
    "text", ["1e-3", "NO", "010", "null", "~", "true", "0x10", "a: b", "-", "<<", "x\ty\n\x85 z", " "]
)
def test_text_that_looks_like_something_else_is_quoted(text: str, write: Write) -> None:
    config = load_config(changed(data={"source": text})).config
    assert load_config(write(config_to_yaml(config))).config.data.source == text


def test_the_written_form() -> None:
    raw = {
        "data": {"source": "/data/x", "classes": ["no", "1e-3"], "image_size": [24, 32]},
        "model": {
            "kind": "pretrained",
            "backbone": "vgg16",
            "head": {"layers": [{"dense": 4}, {"dropout": 0.5}]},
        },
        "train": {"learning_rate": 1e-5, "optimizer": "sgd", "stages": [{"name": "two words", "epochs": 2}]},
    }
    assert (
        config_to_yaml(load_config(raw).config)
        == """\
format: 1
seed: 1337
data:
  source: /data/x
  classes: ["no", "1e-3"]
  image_size: [24, 32]
  color: rgb
  alpha: white
  resize: stretch
  interpolation: bilinear
  max_pixels: 50000000
  bad_images: error
  batch_size: 32
  cache: auto
augment:
  rotation: 0.0
  shift: 0.0
  shear: 0.0
  zoom: 0.0
  flip: none
  fill: nearest
  crop: 0.0
  brightness: 0.0
  contrast: 0.0
  saturation: 0.0
  hue: 0.0
  mixup: 0.0
  cutmix: 0.0
model:
  kind: pretrained
  backbone: vgg16
  weights: imagenet
  head:
    pooling: flatten
    layers:
    - dense: 4
      activation: relu
    - dropout: 0.5
train:
  epochs: 10
  optimizer:
    name: sgd
  learning_rate: 1.0e-05
  monitor: val_loss
  class_weights: none
  label_smoothing: 0.0
  weight_decay: 0.0
  mixed_precision: false
  interpolate: false
  features:
    views: auto
    brightness: 0.0
  on_nan: stop
  stages:
  - name: "two words"
    epochs: 2
"""
    )


def test_a_config_made_in_python_can_be_written(write: Write) -> None:
    config = Config.model_validate({"data": {"source": "x"}, "model": {"kind": "convnet", "blocks": [{"filters": 3}]}})
    assert load_config(write(config_to_yaml(config))).config == config


@pytest.mark.parametrize(
    ("train", "line"),
    [
        (
            {"epochs": 3, "schedule": {"name": "cosine", "warmup_epochs": 3}},
            "config: train.schedule: the warm-up must be shorter than the stage; "
            "allowed: warmup_epochs below 3; got: 3",
        ),
        (
            {"stages": [{"name": "a", "epochs": 1}], "schedule": {"name": "cosine", "warmup_epochs": 1}},
            "config: train.stages.0.schedule: the warm-up must be shorter than the stage; "
            "allowed: warmup_epochs below 1; got: 1",
        ),
        (
            {"stages": [{"name": "a", "optimizer": "adamw"}]},
            "config: train.stages.0.optimizer: adamw without train.weight_decay is adam; "
            "set a weight_decay above 0 or take adam",
        ),
    ],
)
def test_rules_between_sections(train: dict[str, Any], line: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load_config(changed(train=train))
    assert list(raised.value.problems) == [line]


def test_an_override_that_every_stage_shadows_is_refused() -> None:
    stages = [{"name": "a", "epochs": 1}, {"name": "b", "epochs": 2}]
    with pytest.raises(ConfigError) as raised:
        load_config(changed(train={"stages": stages}), overrides=["train.epochs=5"])
    assert list(raised.value.problems) == [
        "--set train.epochs=5: train.epochs: every stage sets this for itself, so it has no effect; "
        "allowed: train.stages.0.epochs and so on"
    ]
    assert load_config(changed(train={"stages": stages[:1]}), overrides=["train.stages.0.epochs=5"])


# stages of other sizes, and what blocks and schedules take


def resized(*stages: dict[str, Any]) -> dict[str, Any]:
    """The raw configuration, for pictures of 64x64 pixels, with these stages."""
    data = {**RAW["data"], "image_size": [64, 64]}
    return changed(data=data, train={"schedule": "one_cycle", "epochs": 4, "stages": list(stages)})


def test_stages_that_change_the_size_alone_continue_under_one_schedule() -> None:
    small, usual = {"name": "small", "image_size": [32, 32]}, {"name": "usual", "epochs": 2}
    plans = plan_stages(load_config(resized(small, usual, {"name": "again"})).config)
    assert [plan.image_size for plan in plans] == [(32, 32), (64, 64), (64, 64)]
    assert [plan.continues for plan in plans] == [False, True, False]  # a third one of the same size starts anew
    assert [plan.schedule_epochs for plan in plans] == [6, 6, 4]


def test_a_stage_that_changes_more_than_the_size_starts_anew() -> None:
    small = {"name": "small", "image_size": [32, 32]}
    plans = plan_stages(load_config(resized(small, {"name": "slow", "learning_rate": 1e-5})).config)
    assert [plan.continues for plan in plans] == [False, False]
    assert [plan.schedule_epochs for plan in plans] == [4, 4]


def test_the_last_stage_has_the_size_that_the_model_is_used_with() -> None:
    what = "the last stage trains at data.image_size, the size that the model is used with"
    line = f"config: train.stages.1.image_size: {what}; allowed: [64, 64]; got: [32, 32]"
    assert refused(resized({"name": "a"}, {"name": "b", "image_size": [32, 32]})) == [line]


@pytest.mark.parametrize(
    ("section", "line"),
    [
        (
            {"train": {"schedule": {"name": "one_cycle", "warmup_epochs": 1}}},
            "config: train.schedule: one_cycle takes no warmup_epochs; it takes warmup_fraction and start_fraction",
        ),
        (
            {"train": {"schedule": {"name": "cosine", "start_fraction": 0.1}}},
            "config: train.schedule: cosine takes no start_fraction; it takes warmup_epochs",
        ),
        (
            {"augment": {"erasing": {"probability": 0.5, "area": [0.3, 0.1]}}},
            "config: augment.erasing: the smallest area stands before the largest one",
        ),
        (
            {"model": {"kind": "convnet", "blocks": [{"filters": 2, "residual": True, "padding": "valid"}]}},
            "config: model.blocks.0: a residual block pads its convolutions and its pooling; leave out padding: valid",
        ),
        (
            {"model": {"kind": "convnet", "blocks": [{"filters": 2, "pooling": "none", "pool_stride": 2}]}},
            "config: model.blocks.0: pooling: none takes no pool_stride; the convolution has a stride of its own",
        ),
    ],
)
def test_rules_within_the_newer_sections(section: dict[str, Any], line: str) -> None:
    assert refused(changed(**section)) == [line]


def test_short_forms() -> None:
    blocks = [{"filters": 2, "batch_norm": True, "residual": True}, {"filters": 2, "batch_norm": False}]
    augment = {"erasing": 0.25}
    config = load_config(changed(augment=augment, model={"kind": "convnet", "blocks": blocks})).config
    assert config.augment.erasing == Erasing(probability=0.25, area=(0.02, 0.33))
    assert config.augment.is_active
    assert [block.batch_norm for block in config.model.blocks] == [BatchNorm(momentum=0.99, epsilon=1e-3), None]
    assert [block.padding for block in config.model.blocks] == ["same", "valid"]
    assert not load_config(changed(augment={"erasing": 0, "fill": "wrap"})).config.augment.is_active


def test_early_stopping_would_cut_a_schedule_that_goes_on() -> None:
    small = {"name": "small", "image_size": [32, 32]}
    what = "a stage whose schedule goes on in the next one cannot stop early; leave one of both out"
    raw = resized(small, {"name": "usual"})
    raw["train"]["early_stopping"] = {"patience": 3}
    assert refused(raw) == [f"config: train.early_stopping: {what}"]
    raw = resized({**small, "early_stopping": {"patience": 3}}, {"name": "usual", "early_stopping": {"patience": 3}})
    assert refused(raw) == [f"config: train.stages.0.early_stopping: {what}"]


def test_a_warmup_that_is_too_long_is_told_once() -> None:
    raw = resized({"name": "small", "image_size": [32, 32]}, {"name": "usual"})
    raw["train"]["schedule"] = {"name": "cosine", "warmup_epochs": 8}
    assert len(refused(raw)) == 1
