"""Where each key of a configuration came from: a line of a file, or the command line."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from cnntrain.config.problems import Key, Problem, escape, shorten
from cnntrain.errors import ConfigError

_LONGEST_OVERRIDE = 80


@dataclass(frozen=True)
class Origins:
    """Key to line.

    Args:
        name: What messages call the configuration: the path of its file as the user gave it.
        places: The line in the file, or the `KEY=VALUE` of the override that set the key.
    """

    name: str
    places: dict[Key, int | str] = field(default_factory=dict)

    def replace(self, key: Key, override: str) -> None:
        """Notes that `key`, with all that it holds, comes from an override."""
        for other in [other for other in self.places if other[: len(key)] == key]:
            del self.places[other]
        self.places[key] = override

    @property
    def overridden(self) -> list[Key]:
        """The keys that come from overrides."""
        return [key for key, place in self.places.items() if isinstance(place, str)]

    def error(self, problems: Iterable[Problem]) -> ConfigError:
        """All problems as one error, in the order of the file, those of the command line last; equal ones once."""
        ordered = sorted(problems, key=lambda problem: self._order(problem.key))
        lines = [problem.line(self._shown(self._place(problem.key))) for problem in ordered]
        return ConfigError(list(dict.fromkeys(lines)))

    def _place(self, key: Key) -> int | str | None:
        """Of the key, or of its nearest ancestor that stands somewhere."""
        known = (key[:length] for length in range(len(key), -1, -1) if key[:length] in self.places)
        return self.places.get(next(known, ()))

    def _order(self, key: Key) -> tuple[bool, int]:
        place = self._place(key)
        return isinstance(place, str), place if isinstance(place, int) else 0

    def _shown(self, place: int | str | None) -> str:
        if isinstance(place, str):
            return shown_override(place)
        return escape(self.name) if place is None else f"{escape(self.name)}:{place}"


def shown_override(text: str) -> str:
    """How messages name an override."""
    return f"--set {shorten(text, _LONGEST_OVERRIDE)}"
