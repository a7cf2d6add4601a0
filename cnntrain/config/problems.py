"""What can be wrong with a configuration, as one line of text."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from cnntrain.config.scalars import read_plain

Key = tuple[str | int, ...]

_LONGEST = 60
_PLAIN_NAME = re.compile(r"[\w-]+")
_PLAIN_TEXT = re.compile(r"[\w./+-](?:[\w./+ -]*[\w./+-])?")


@dataclass(frozen=True)
class Problem:
    """One rule that a configuration breaks.

    Args:
        key: Where, as names and list indexes: `("model", "blocks", 0, "filters")`; empty for the whole file.
        what: The rule that is broken, in words.
        allowed: What would be accepted.
        got: What stands there; shortened to 60 characters when it is printed.
        suggestion: The value or key that was probably meant.
    """

    key: Key
    what: str
    allowed: str = ""
    got: str = ""
    suggestion: str = ""

    def line(self, place: str) -> str:
        """`PLACE: KEY: what; allowed: …; got: …; did you mean …?` without the parts that are empty.

        Args:
            place: Where the key stands for the user: `FILE:LINE` or `--set KEY=VALUE`.

        Returns:
            One printable line; control characters are escaped.
        """
        parts = [
            self.what,
            f"allowed: {self.allowed}" if self.allowed else "",
            f"got: {shorten(self.got)}" if self.got else "",
            f"did you mean {self.suggestion}?" if self.suggestion else "",
        ]
        where = [place, dotted(self.key)] if self.key else [place]
        return escape(": ".join([*where, "; ".join(part for part in parts if part)]))


def escape(text: str) -> str:
    """`text` on one line: characters that cannot be printed are written as in Python's source code."""
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii") for letter in text
    )


def shorten(text: str, limit: int = _LONGEST) -> str:
    """`text` escaped and cut to `limit` characters, the last of which is then an ellipsis."""
    text = escape(text[: limit + 1])
    return text if len(text) <= limit else text[: limit - 1] + "…"


def dotted(key: Key) -> str:
    """`model.blocks.0.filters`; a name with other characters than letters, digits, `_` and `-` is quoted."""
    return ".".join(shorten(part if _PLAIN_NAME.fullmatch(part) else _quoted(part)) for part in map(str, key))


def _quoted(text: str) -> str:
    return json.dumps(text[: _LONGEST + 1], ensure_ascii=False)


def shown(value: Any) -> str:
    """`value` as it would stand in YAML (`true`, `null`, `"10"`, `[150, 150]`), in at most 60 characters."""
    return shorten(_notation(value))


def _notation(value: Any) -> str:
    """YAML's flow notation of plain values. Each level is cut to what can be shown, with no regard to its end."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, str):
        return _text_notation(value[: _LONGEST + 1])
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_notation(item) for item in value[:_LONGEST]) + "]"
    if isinstance(value, dict):
        items = list(value.items())[:_LONGEST]
        return "{" + ", ".join(f"{_notation(name)}: {_notation(item)}" for name, item in items) + "}"
    return repr(value)


def _text_notation(text: str) -> str:
    return text if _PLAIN_TEXT.fullmatch(text) and _stays_text(text) else _quoted(text)


def _stays_text(text: str) -> bool:
    """Whether YAML without quotes would still read text."""
    try:
        return isinstance(read_plain(text), str)
    except ValueError:
        return False


def nearest(word: str, choices: Iterable[str]) -> str:
    """The choice that `word` was probably meant to be, or an empty string where none is near."""
    by_lower = {choice.lower(): choice for choice in choices}
    matches = get_close_matches(word.lower(), by_lower, n=1)
    return by_lower[matches[0]] if matches else ""
