"""What is asked of a split."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cnntrain.data.splitting.groups import check_pattern
from cnntrain.data.splitting.sizes import check_sizes
from cnntrain.errors import UsageError

METHODS = ("copy", "hardlink", "symlink")
NEAR_DUPLICATES = ("together", "drop", "ignore")
_RATIOS = (0.8, 0.1, 0.1)
_RATIOS_WITH_FOLDS = (0.9, 0.0, 0.1)


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """Everything that decides about a split, but where it is from and where it goes.

    Args:
        counts: Pictures a class of train, validation and test; a part that is absent gets none.
        ratios: Shares of the three instead of counts.
        seed: Another one gives another split.
        method: How pictures get there: `copy`, `hardlink` or `symlink` (absolute).
        near_duplicates: `together`: they are put on one side; `drop`: one of each set is used, none of a set with
            several labels, and where parts are kept that of the last part, so that test pictures are dropped too;
            `ignore`: they are not looked for. Byte-identical pictures stay on one side in any case.
        group_by: A regular expression that finds in a picture's path what must stay on one side.
        label_regex: A regular expression that finds the class in a picture's path.
        folds: How many cross-validation folds the training pictures are divided into; none when absent.
    """

    counts: Mapping[str, int] | None = None
    ratios: Sequence[float] | None = None
    seed: int = 1337
    method: str = "copy"
    near_duplicates: str = "together"
    group_by: str | None = None
    label_regex: str | None = None
    folds: int | None = None

    @property
    def has_sizes(self) -> bool:
        """Whether counts or ratios were given."""
        return self.counts is not None or self.ratios is not None

    @property
    def ratios_or_default(self) -> Sequence[float] | None:
        """The ratios; where no sizes were given 0.8, 0.1, 0.1, or 0.9, 0, 0.1 with folds."""
        if self.has_sizes:
            return self.ratios
        return _RATIOS_WITH_FOLDS if self.folds else _RATIOS

    def check(self) -> None:
        """Raises UsageError where the wishes are impossible or contradict each other."""
        check_sizes(self.counts, self.ratios_or_default)
        check_pattern(self.group_by)
        if self.method not in METHODS:
            raise UsageError(f"the method is one of {', '.join(METHODS)}; got: {self.method}")
        if self.near_duplicates not in NEAR_DUPLICATES:
            raise UsageError(f"near duplicates are put {', '.join(NEAR_DUPLICATES)}; got: {self.near_duplicates}")
        self._check_folds()

    def _check_folds(self) -> None:
        if self.folds is None:
            return
        if self.folds < 2:
            raise UsageError(f"cross-validation needs at least 2 folds; got: {self.folds}")
        validation = (self.counts or {}).get("validation", 0) or (self.ratios_or_default or (0, 0))[1]
        if validation:
            raise UsageError(
                f"with folds each of them is the validation part in turn, so there is no other; got: {validation} for "
                "validation; leave it out or set it to 0"
            )

    def to_json(self) -> dict[str, Any]:
        """As `split.json` keeps them."""
        return {
            "counts": None if self.counts is None else dict(self.counts),
            "ratios": None if self.ratios is None else list(self.ratios),
            "seed": self.seed,
            "method": self.method,
            "near_duplicates": self.near_duplicates,
            "group_by": self.group_by,
            "label_regex": self.label_regex,
            "folds": self.folds,
        }
