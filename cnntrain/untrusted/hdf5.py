"""The small part of HDF5 in which Keras stores weights, read without the HDF5 library.

That library takes files on trust: damaged ones make it write beyond its memory, and links, filters and virtual data
sets lead it to other files or to any amount of memory. Here there are groups and plain arrays, and nothing else: what
h5py writes by default (superblock 0, object headers 1, groups as symbol tables, contiguous arrays). Everything follows
the HDF5 File Format Specification, version 3, chapters II to IV.
"""

import math
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnntrain.untrusted.span import Span

_SUPERBLOCK = bytes.fromhex("894844460d0a1a0a 00000000 00 080800")  # signature, versions, sizes of addresses
_NOWHERE = 2**64 - 1
_MOST_OBJECTS = 100_000  # and names
_MOST_READ = 1 << 26  # bytes, without the numbers in arrays
_DEEPEST = 16
_HIGHEST_RANK = 8
_LISTS = re.compile(r"(layer|weight)_names\d*")

# Datatype messages, byte for byte as HDF5 writes them.
_FLOATS = {
    "<f2": "11200f00 02000000 00001000 0a05000a 0f000000",
    "<f4": "11201f00 04000000 00002000 17080017 7f000000",
    "<f8": "11203f00 08000000 00004000 340b0034 ff030000",
}
_INTEGERS = {
    "<i4": "10080000 04000000 00002000",
    "<i8": "10080000 08000000 00004000",
    "<u4": "10000000 04000000 00002000",
    "<u8": "10000000 08000000 00004000",
}
_TYPES = {bytes.fromhex(code): np.dtype(name) for name, code in (_FLOATS | _INTEGERS).items()}
_FIXED_STRING, _VARIABLE_STRING = 0x13, 0x19

_SPACE, _TYPE, _LAYOUT, _ATTRIBUTE, _CONTINUATION, _TABLE = 0x01, 0x03, 0x08, 0x0C, 0x10, 0x11
_PASSED_OVER = {0x00, 0x04, 0x05, 0x0E, 0x12}  # nothing, fill values, times of change
_NAMES = {
    0x02: "links of another kind",
    0x06: "links of another kind",
    0x07: "arrays in other files",
    0x0B: "packed arrays",
}


@dataclass(frozen=True)
class Array:
    """An array in a file.

    Args:
        shape: Its shape.
        dtype: Of its numbers.
        offset: Where they begin, bytes from the start of the HDF5 file.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int

    @property
    def nbytes(self) -> int:
        """Its size in bytes."""
        return math.prod(self.shape) * self.dtype.itemsize

    def read(self, file: Span) -> NDArray[Any]:
        """Its numbers. Raises ValueError where the file ends before."""
        return file.array(self.offset, self.shape, self.dtype)


@dataclass(frozen=True)
class Group:
    """A group in a file.

    Args:
        members: Groups and arrays by name.
        lists: The lists of names among its attributes, which Keras's older format has.
    """

    members: Mapping[str, "Group | Array"] = field(default_factory=dict)
    lists: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def arrays(self) -> dict[str, Array]:
        """All arrays below it by their paths, parts of which are divided by slashes."""
        found: dict[str, Array] = {}
        for name, member in self.members.items():
            below = {"": member} if isinstance(member, Array) else member.arrays()
            found |= {f"{name}/{path}".rstrip("/"): array for path, array in below.items()}
        return found

    def find(self, path: str) -> "Group | Array | None":
        """The member at a path, if there is one."""
        found: Group | Array | None = self
        for name in path.split("/"):
            found = found.members.get(name) if isinstance(found, Group) else None
        return found


def read_hdf5(file: Span) -> Group:
    """What an HDF5 file holds; of the arrays only where they are.

    Raises:
        ValueError: It is damaged, or is not in the form that Keras writes.
    """
    start = file.read(0, 96)
    if start[:8] != _SUPERBLOCK[:8]:
        raise ValueError("it is no HDF5 file")
    base, end, root = (int.from_bytes(start[place : place + 8], "little") for place in (24, 40, 64))
    if start[: len(_SUPERBLOCK)] != _SUPERBLOCK or base:
        raise ValueError("it is an HDF5 file of another version than Keras writes")
    if end != file.size:
        raise ValueError(f"its HDF5 part has {file.size:,} bytes, and {end:,} by its own account")
    return _Reader(file).root(root)


class _Reader:
    """Walks through a file; no object is read twice, so that no way leads round in circles, and none takes for ever."""

    def __init__(self, file: Span) -> None:
        self._file = file
        self._seen: set[int] = set()
        self._strings: dict[int, dict[int, bytes]] = {}
        self._objects = self._bytes_read = self._bytes_stored = 0

    def root(self, address: int) -> Group:
        found = self._object(address, 0)
        if isinstance(found, Array):
            raise ValueError("its HDF5 part is an array without a group")
        return found

    def _object(self, address: int, depth: int) -> Group | Array:
        self._visit(address)
        if depth > _DEEPEST:
            raise ValueError(f"its groups are nested more than {_DEEPEST} times")
        messages = list(self._messages(address))
        single = {kind: content for kind, content in messages if kind != _ATTRIBUTE}
        if _TABLE in single:
            tree, heap = _unpack("<QQ", single[_TABLE])
            lists = dict(self._list(content) for kind, content in messages if kind == _ATTRIBUTE and _is_list(content))
            links = self._links(tree, self._heap(heap))
            return Group({name: self._object(place, depth + 1) for name, place in links}, lists)
        return self._array(single)

    def _read(self, place: int, size: int) -> bytes:
        self._count(read=size)
        return self._file.read(place, size)

    def _count(self, *, objects: int = 0, read: int = 0, stored: int = 0) -> None:
        """Raises ValueError where there is more of something than an honest file has."""
        self._objects += objects
        self._bytes_read += read
        self._bytes_stored += stored
        if self._objects > _MOST_OBJECTS or self._bytes_read > _MOST_READ or self._bytes_stored > self._file.size:
            raise ValueError("its HDF5 part claims to hold more than it can")

    def _visit(self, place: int) -> None:
        """Notes a place where something is read. Raises ValueError where that is not the first time."""
        if place in self._seen:
            raise ValueError("two of its HDF5 links lead to the same place")
        self._seen.add(place)
        self._count(objects=1)

    def _messages(self, address: int) -> Iterator[tuple[int, bytes]]:
        """The kinds and contents of the messages in an object header."""
        version, most, size = _unpack("<BxHxxxxI", self._read(address, 12))
        if version != 1:
            raise ValueError("an HDF5 object in it is damaged, or of another version than Keras writes")
        blocks = [(address + 16, size)]
        for place, length in blocks:
            self._visit(place)
            block, at = self._read(place, length), 0
            while at + 8 <= length:
                kind, size, flags = _unpack("<HHB", block[at : at + 8])
                content = block[at + 8 : at + 8 + size]
                at += 8 + size
                most -= 1
                if most < 0:
                    raise ValueError("an HDF5 object in it has more messages than it says")
                if kind == _CONTINUATION:
                    blocks.append(_unpack("<QQ", content))
                elif kind not in _PASSED_OVER:
                    yield _checked(kind, flags), content

    def _heap(self, address: int) -> bytes:
        """The names of a group's members, one after the other."""
        signature, size, place = _unpack("<4s4xQ8xQ", self._read(address, 32))
        if signature != b"HEAP":
            raise ValueError("the names of an HDF5 group in it are damaged")
        self._visit(address)
        return self._read(place, size)

    def _links(self, tree: int, heap: bytes) -> Iterator[tuple[str, int]]:
        """Names and places of a group's members."""
        waiting = [tree]
        while waiting:
            place = waiting.pop()
            self._visit(place)
            signature, kind, _, count = _unpack("<4sBBH", self._read(place, 8))
            if signature == b"TREE" and kind == 0:
                children = self._read(place + 32, 16 * count)  # after each place the key of the next
                waiting += [_unpack("<Q", children[at : at + 8])[0] for at in range(0, len(children), 16)][::-1]
            elif signature == b"SNOD":
                entries = self._read(place + 8, 40 * count)
                yield from (_link(entries[at : at + 40], heap) for at in range(0, len(entries), 40))
            else:
                raise ValueError("the list of an HDF5 group in it is damaged")

    def _array(self, messages: Mapping[int, bytes]) -> Array:
        if not {_SPACE, _TYPE, _LAYOUT} <= messages.keys():
            raise ValueError("an HDF5 object in it is neither a group nor an array")
        shape, dtype = _shape(messages[_SPACE]), _dtype(messages[_TYPE])
        version, kind, place, size = _unpack("<BBQQ", messages[_LAYOUT])
        if (version, kind) != (3, 1):
            raise ValueError("an array in it lies in pieces or is packed, which Keras does not do")
        array = Array(shape, dtype, place if size else 0)
        if array.nbytes != size:
            raise ValueError(f"an array of the shape {shape} in it has {size:,} bytes, not {array.nbytes:,}")
        self._file.part(array.offset, array.nbytes)
        self._count(stored=array.nbytes)
        return array

    def _list(self, attribute: bytes) -> tuple[str, tuple[str, ...]]:
        """The name of an attribute and the strings in it."""
        name, datatype, space, content = _attribute(attribute)
        count = math.prod(_shape(space))
        self._count(objects=count)
        if not count:
            return name, ()
        kind, width = _unpack("<B3xI", datatype)
        if kind == _FIXED_STRING and width and count * width <= len(content):
            raw = [content[at * width : (at + 1) * width] for at in range(count)]
        elif kind == _VARIABLE_STRING and width == 16 and count * 16 <= len(content):
            raw = [self._string(*_unpack("<IQI", content[at * 16 :])) for at in range(count)]
        else:
            raise ValueError(f"its attribute {name} is no list of names")
        return name, tuple(string.rstrip(b"\0").decode() for string in raw)

    def _string(self, length: int, heap: int, index: int) -> bytes:
        """A string in a global heap."""
        if heap not in self._strings:
            self._strings[heap] = dict(self._collected(heap))
        if length > len(self._strings[heap].get(index, b"")):
            raise ValueError("a name in its attributes is damaged")
        return self._strings[heap][index][:length]

    def _collected(self, heap: int) -> Iterator[tuple[int, bytes]]:
        """The strings in a global heap with their numbers."""
        signature, size = _unpack("<4s4xQ", self._read(heap, 16))
        if signature != b"GCOL" or size < 16:
            raise ValueError("the names in its attributes are damaged")
        collection, at = self._read(heap, size), 16
        while at + 16 <= size:
            index, width = _unpack("<H6xQ", collection[at : at + 16])
            if not index:  # what is free
                return
            self._count(objects=1)
            yield index, collection[at + 16 : at + 16 + width]
            at += 16 + -(-width // 8) * 8


def _unpack(layout: str, content: bytes) -> tuple[Any, ...]:
    """Numbers at the start of some bytes. Raises ValueError where there are too few."""
    if len(content) < struct.calcsize(layout):
        raise ValueError("an HDF5 object in it is cut off")
    return struct.unpack_from(layout, content)


def _checked(kind: int, flags: int) -> int:
    """The kind of a message, which is one that plain groups and arrays have. Raises ValueError."""
    if kind not in (_SPACE, _TYPE, _LAYOUT, _ATTRIBUTE, _TABLE):
        raise ValueError(f"it holds {_NAMES.get(kind, f'HDF5 messages of kind {kind}')}, which Keras does not write")
    if flags & 2 and kind != _ATTRIBUTE:
        raise ValueError("it holds shared HDF5 messages, which Keras does not write")
    return kind


def _link(entry: bytes, heap: bytes) -> tuple[str, int]:
    """The name and the place of a group's member."""
    name, place, kind = _unpack("<QQI", entry)
    end = heap.find(b"\0", name)
    if kind not in (0, 1) or place == _NOWHERE:
        raise ValueError("it holds a link by name, which Keras does not write")
    if end < 0:
        raise ValueError("the names of an HDF5 group in it are damaged")
    found = heap[name:end].decode()
    if found in ("", ".", "..") or "/" in found:
        raise ValueError(f"an HDF5 object in it is called {found[:60]!r}")
    return found, place


def _shape(space: bytes) -> tuple[int, ...]:
    version, rank = _unpack("<BB", space)
    if version != 1 or rank > _HIGHEST_RANK:
        raise ValueError("an array in it has a shape of another kind than Keras writes")
    return _unpack(f"<8x{rank}Q", space)


def _dtype(datatype: bytes) -> np.dtype[Any]:
    for code, dtype in _TYPES.items():
        if datatype.startswith(code):
            return dtype
    raise ValueError("an array in it holds something else than numbers of 2, 4 or 8 bytes as Keras writes them")


def _is_list(attribute: bytes) -> bool:
    return bool(_LISTS.fullmatch(_attribute(attribute)[0]))


def _attribute(message: bytes) -> tuple[str, bytes, bytes, bytes]:
    """Name, datatype, shape and content of an attribute; of one of another version only an empty name."""
    version, *sizes = _unpack("<BxHHH", message)
    if version not in (1, 3):
        return "", b"", b"", b""
    place, parts = (8, []) if version == 1 else (9, [])
    for size in sizes:
        parts.append(message[place : place + size])
        place += -(-size // 8) * 8 if version == 1 else size
    return parts[0].rstrip(b"\0").decode(errors="replace"), parts[1], parts[2], message[place:]
