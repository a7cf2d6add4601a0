"""The archive that a `.keras` file is: a zip of few members that are not packed, one after the other."""

import struct
import zipfile
from collections.abc import Collection, Mapping
from typing import BinaryIO

from cnntrain.untrusted.span import Span

METADATA, CONFIG, WEIGHTS = "metadata.json", "config.json", "model.weights.h5"
KERAS_MEMBERS = (METADATA, CONFIG, WEIGHTS)

_LARGEST_DIRECTORY = 1 << 17  # bytes, comment included
_HEADER = struct.Struct("<4s22xHH")
_HEADER_SIGNATURE = b"PK\3\4"


class _Sparing:
    """A file as `zipfile` wants it, of which nothing large is read: a directory can claim any number of members."""

    def __init__(self, span: Span) -> None:
        self._stream: BinaryIO = span.stream
        self._size = span.size
        self.seek, self.tell = self._stream.seek, self._stream.tell

    def read(self, count: int = -1) -> bytes:
        count = self._size - self.tell() if count < 0 else count
        if count > _LARGEST_DIRECTORY:
            raise zipfile.BadZipFile("its list of members is too long")
        return self._stream.read(count)


def open_members(file: Span, needed: Collection[str], optional: Collection[str] = ()) -> Mapping[str, Span]:
    """The members of a zip by name, of which every checksum is right.

    Args:
        file: The whole file.
        needed: Names that must be there.
        optional: Names that may be there; there are no others.

    Raises:
        ValueError: The file is no zip, is damaged, or is not what Keras writes.
    """
    try:
        with zipfile.ZipFile(_Sparing(file)) as archive:
            infos, directory, comment = archive.infolist(), archive.start_dir, archive.comment
    except (zipfile.BadZipFile, NotImplementedError, struct.error, OverflowError, EOFError) as error:
        raise ValueError(f"it is damaged, or no zip: {error}") from error
    _check_names([info.filename for info in infos], needed, optional)
    members, end = {}, 0
    for info in sorted(infos, key=lambda info: info.header_offset):
        members[info.filename] = _member(file, info, end)
        end = members[info.filename].start + info.file_size
    if end != directory or comment:
        raise ValueError("some of its bytes belong to no member")
    return members


def _check_names(names: list[str], needed: Collection[str], optional: Collection[str]) -> None:
    for name in names:
        if name not in {*needed, *optional}:
            raise ValueError(f"it holds {name[:60]!r}, which is no part of a model")
        if names.count(name) > 1:
            raise ValueError(f"it holds {name} more than once")
    if missing := [name for name in needed if name not in names]:
        raise ValueError(f"it lacks {', '.join(missing)}")


def _member(file: Span, info: zipfile.ZipInfo, start: int) -> Span:
    """The bytes of a member that begins, with its header, at `start`. Raises ValueError."""
    if info.flag_bits or info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
        raise ValueError(f"{info.filename} in it is packed or encrypted, which Keras does not do")
    if info.header_offset != start:
        raise ValueError(f"{info.filename} in it begins at byte {info.header_offset:,}, not at {start:,}")
    signature, name_size, extra_size = _HEADER.unpack(file.read(start, _HEADER.size))
    name = file.read(start + _HEADER.size, name_size)
    if signature != _HEADER_SIGNATURE or name != info.filename.encode():
        raise ValueError(f"the header of {info.filename} in it is damaged")
    member = file.part(start + _HEADER.size + name_size + extra_size, info.file_size)
    if member.checksum() != info.CRC:
        raise ValueError(f"{info.filename} in it is damaged: its checksum is wrong")
    return member
