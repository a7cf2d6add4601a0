"""A complete configuration as YAML that reads back as the same configuration."""

import re
from typing import Any

import yaml

from cnntrain.config.scalars import read_plain
from cnntrain.config.sections import Config

_NEEDS_NO_QUOTES = re.compile(r"[A-Za-z_/][A-Za-z0-9_./-]*")
_TEXT = "tag:yaml.org,2002:str"


class _Dumper(yaml.SafeDumper):
    """Writes without aliases, pairs of scalars in one line, and quotes what our reader would not take as text."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    is_plain = _NEEDS_NO_QUOTES.fullmatch(value) and isinstance(read_plain(value), str)
    resolved = dumper.resolve(yaml.ScalarNode, value, (True, False))  # type: ignore[no-untyped-call]
    is_plain_elsewhere = resolved == _TEXT  # YAML 1.1 takes `no` for a boolean
    return dumper.represent_scalar(_TEXT, value, style=None if is_plain and is_plain_elsewhere else '"')


def _list(dumper: yaml.SafeDumper, values: list[Any] | tuple[Any, ...]) -> yaml.SequenceNode:
    is_pair = len(values) == 2 and not any(isinstance(value, dict | list | tuple) for value in values)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", values, flow_style=is_pair)


_Dumper.add_representer(str, _text)
_Dumper.add_representer(list, _list)
_Dumper.add_representer(tuple, _list)


def config_to_yaml(config: Config) -> str:
    """Every key of `config` with its value, defaults too; keys that are None are left out.

    Returns:
        YAML in block style, from which `load_config` gives an equal configuration.
    """
    values = config.model_dump(exclude_none=True)
    return yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1 << 30)
