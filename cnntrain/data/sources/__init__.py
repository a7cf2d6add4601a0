"""Sources of pictures: folders, tables, data sets that are split already, archives."""

from cnntrain.data.sources.manifests import MANIFEST
from cnntrain.data.sources.opening import kept_unpacked, unpacked
from cnntrain.data.sources.source import Source, find_labelled, find_source, find_unlabelled
from cnntrain.data.sources.walking import PICTURE_SUFFIXES, is_folder, nfc

__all__ = [
    "MANIFEST",
    "PICTURE_SUFFIXES",
    "Source",
    "find_labelled",
    "find_source",
    "find_unlabelled",
    "is_folder",
    "kept_unpacked",
    "nfc",
    "unpacked",
]
