"""Checksums of what a data set holds, whatever its pictures are called and in which order they stand."""

import hashlib
from collections.abc import Iterable, Sequence

from cnntrain.data.examples import SPLITS, Example, in_split


def fingerprint(examples: Sequence[Example]) -> str:
    """SHA-256 of what a data set holds: split, label and checksum of every picture, whatever their names and order."""
    return _of_rows(f"{example.split}\t{example.label}\t{example.sha256}\n" for example in examples)


def split_hashes(examples: Sequence[Example]) -> dict[str, str]:
    """SHA-256 of each split that holds any pictures: label and checksum of each, whatever their names and order."""
    parts = {split: in_split(examples, split) for split in SPLITS}
    return {
        split: _of_rows(f"{example.label}\t{example.sha256}\n" for example in part)
        for split, part in parts.items()
        if part
    }


def order_hashes(examples: Sequence[Example]) -> dict[str, str]:
    """SHA-256 of the splits that a training sees: label and checksum of each picture, in their order."""
    parts = {split: in_split(examples, split) for split in ("train", "validation")}
    return {split: _hashed(f"{example.label}\t{example.sha256}\n" for example in part) for split, part in parts.items()}


def _of_rows(rows: Iterable[str]) -> str:
    return _hashed(sorted(rows))


def _hashed(rows: Iterable[str]) -> str:
    return hashlib.sha256("".join(rows).encode()).hexdigest()
