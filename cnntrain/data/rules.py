"""What stands for the code that decides a result, so that a stored one is not taken for what would come out now."""

import hashlib
from functools import cache
from importlib.metadata import version
from importlib.resources import files


def rules(modules: tuple[str, ...], libraries: tuple[str, ...]) -> str:
    """What stands for the rules by which something was found: another when it might come out otherwise now.

    Args:
        modules: Paths of source files below `cnntrain/data`.
        libraries: Names of distributions.

    Returns:
        64 hexadecimal digits.
    """
    text = " ".join([_source_hash(modules), *(version(library) for library in libraries)])
    return hashlib.sha256(text.encode()).hexdigest()


@cache
def _source_hash(modules: tuple[str, ...]) -> str:
    digest = hashlib.sha256()
    for module in modules:
        digest.update(files("cnntrain.data").joinpath(module).read_bytes())
    return digest.hexdigest()
