"""What must be the same for a run to be gone on from a state as if nothing had happened."""

from collections.abc import Iterator, Mapping
from typing import Any

from cnntrain.config import Config
from cnntrain.runs.record import RunRecord

# Where the pictures lie and how they are kept, how often states are saved: the same numbers come out.
_FREE = ("data.source", "data.cache", "train.save_every", "train.on_nan")


def identity(record: RunRecord) -> dict[str, Any]:
    """What decides the numbers of a run, of JSON's types."""
    return {
        "config": record.asked,
        "smoke": record.smoke,
        "device": record.device["kind"],
        "data": record.data["order"],
        "versions": record.versions,
    }


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs between two identities, a phrase each.

    Args:
        then: Of the run.
        now: Of what would go on with it.
    """
    found = config_differences(then["config"], now["config"])
    if then["smoke"] != now["smoke"]:
        found.append("only one of both is a smoke run")
    if then["device"] != now["device"]:
        found.append(f"it ran on {then['device']}, this is {now['device']}")
    for split in sorted({*then["data"], *now["data"]}):
        if then["data"].get(split) != now["data"].get(split):
            found.append(f"the {split} pictures are others, or in another order")
    for name in sorted({*then["versions"], *now["versions"]}):
        old, new = then["versions"].get(name, "absent"), now["versions"].get(name, "absent")
        if old != new:
            found.append(f"{name} was {old}, is {new}")
    return found


def config_differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """The keys whose values differ and decide something, a phrase each.

    Args:
        then: Of the run, as JSON.
        now: Of what would go on with it.
    """
    old, new = dict(_flat(then)), dict(_flat(now))
    keys = (key for key in [*old, *(key for key in new if key not in old)] if key not in _FREE)
    return [
        f"{key} was {old.get(key, 'absent')}, is {new.get(key, 'absent')}"
        for key in keys
        if old.get(key, "absent") != new.get(key, "absent")
    ]


def as_json(config: Config) -> dict[str, Any]:
    """A configuration of JSON's types."""
    return config.model_dump(mode="json", exclude_none=True, warnings=False)


def _flat(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """The single values in nested mappings and lists, by dotted keys."""
    if isinstance(value, Mapping):
        for name, part in value.items():
            yield from _flat(part, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list) and value:
        for index, part in enumerate(value):
            yield from _flat(part, f"{key}[{index}]")
    else:
        yield key, value
