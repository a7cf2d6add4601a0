"""A file, mapping or `Config`, with overrides, to a checked `Config` that knows its lines."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from cnntrain.config.mappings import plain_values
from cnntrain.config.origins import Origins
from cnntrain.config.overrides import apply_overrides
from cnntrain.config.problems import Problem, escape, nearest
from cnntrain.config.rules import check, check_overrides
from cnntrain.config.sections import Config
from cnntrain.config.validation import problems_of
from cnntrain.config.yaml_reader import MAX_BYTES, YamlTextError, read_yaml
from cnntrain.errors import CnntrainError, ConfigError, DataError, ModelFileError

Source = Config | str | Path | Mapping[str, Any]


@dataclass(frozen=True)
class LoadedConfig:
    """A checked configuration.

    Args:
        config: Its sections.
        origins: Where its keys stand.
    """

    config: Config
    origins: Origins

    @property
    def name(self) -> str:
        """The path of its file as it was given; `config` where it came from Python."""
        return self.origins.name

    def raise_for(self, problems: Sequence[Problem]) -> None:
        """Raises what other rooms found, all of it at once, or nothing.

        Raises:
            DataError: Nothing but the pictures at `data.source` is wrong.
            ModelFileError: Nothing but the file at `model.weights` is wrong.
            ConfigError: Anything else is.
        """
        if not problems:
            return
        error: CnntrainError = self.locate(problems)
        keys = {problem.key for problem in problems}
        for key, kind in ((("data", "source"), DataError), (("model", "weights"), ModelFileError)):
            if keys == {key}:
                error = kind(str(error))
                error.is_located = True
        raise error

    def locate(self, problems: Iterable[Problem]) -> ConfigError:
        """Problems that other rooms found, as one error with a line for each: `FILE:LINE: KEY: …`.

        A key that is absent has the line of its nearest ancestor; one that was overridden stands at `--set KEY=VALUE`.
        """
        return self.origins.error(problems)


def load_config(source: Source, *, overrides: Sequence[str] = ()) -> LoadedConfig:
    """Reads, merges and checks a configuration.

    Args:
        source: A YAML file, a mapping of the same keys, or a configuration.
        overrides: Texts `KEY=VALUE` that are merged over it, in this order, before it is checked.

    Raises:
        ConfigError: The file cannot be read, or rules are broken: one line for each.
    """
    values, origins = _read(source)
    values, lines = apply_overrides(values, origins, overrides)
    config, problems = _checked(values)
    problems += check_overrides(config, origins.overridden) if config is not None else []
    if config is None or problems or lines:
        raise ConfigError([*origins.error(problems).problems, *lines])
    return LoadedConfig(config, origins)


def _checked(values: Any) -> tuple[Config | None, list[Problem]]:
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        return None, problems_of(error)
    return config, check(config)


def _read(source: Source) -> tuple[dict[str, Any], Origins]:
    """The plain values of a source, and where they stand."""
    if isinstance(source, Config):
        return _read(source.model_dump(exclude_none=True))
    if isinstance(source, Mapping):
        origins = Origins("config")
        values, problems = plain_values(source)
        if problems:
            raise origins.error(problems)
        return values, origins
    name = str(source)
    try:
        document = read_yaml(_content(Path(source), name))
    except YamlTextError as error:
        raise ConfigError([problem.line(f"{escape(name)}:{line}") for line, problem in error.faults]) from error
    return document.value, Origins(name, dict(document.lines))


def _content(path: Path, name: str) -> bytes:
    """The bytes of a file, of a large one no more than needed to see that it is too large."""
    try:
        if path.is_dir():
            raise _unreadable(name, "is a folder; give the path of a YAML file")
        with path.open("rb") as stream:
            return stream.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        near = nearest(path.name, [sibling.name for sibling in path.parent.glob("*.y*ml")])
        raise _unreadable(
            name, "there is no such file; give the path of a YAML file", str(path.with_name(near)) if near else ""
        ) from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise _unreadable(name, f"cannot be read: {reason}; give the path of a YAML file") from error
    except ValueError as error:
        raise _unreadable(name, "no file can have this name; give the path of a YAML file") from error


def _unreadable(name: str, what: str, suggestion: str = "") -> ConfigError:
    return ConfigError([Problem((), what, suggestion=suggestion).line(escape(name))])
