"""Reads the header of a stored record, independently of the code under test (layout: docs/protocol.md)."""
import struct
from dataclasses import dataclass

HEADER_SIZE = 80
_FLAG_TOMBSTONE = 1
_FLAG_BLIND = 2


@dataclass(frozen=True)
class Record:
    tombstone: bool
    blind: bool
    incarnation: int
    hlc: int
    writer: int
    sequence: int
    payload: bytes

    @property
    def version(self):
        """The merge order: greater is newer."""
        return (self.incarnation, not self.blind, self.tombstone, self.hlc, self.writer, self.sequence)


def parse(data):
    """The record in these bytes; ValueError when they are none."""
    if len(data) < HEADER_SIZE or data[:4] != b"MMS\x01":
        raise ValueError(f"no record: {data[:16]!r}")
    flags = data[4]
    incarnation, hlc, writer, sequence = struct.unpack_from(">QQQQ", data, 8)
    return Record(bool(flags & _FLAG_TOMBSTONE), bool(flags & _FLAG_BLIND),
                  incarnation, hlc, writer, sequence, data[HEADER_SIZE:])
