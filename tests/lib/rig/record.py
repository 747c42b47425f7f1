"""Reads the header of a stored record, independently of the code under test (layout: docs/protocol.md)."""
import struct
from dataclasses import dataclass

HEADER_SIZE = 80
_CRC32C = []
for _byte in range(256):
    for _ in range(8):
        _byte = _byte >> 1 ^ (0x82F63B78 if _byte & 1 else 0)
    _CRC32C.append(_byte)
_FLAG_TOMBSTONE = 1
_FLAG_BLIND = 2


@dataclass(frozen=True)
class Record:
    tombstone: bool
    blind: bool
    generation: int
    incarnation: int
    hlc: int
    writer: int
    sequence: int
    base: tuple
    payload: bytes

    @property
    def version(self):
        """The merge order: greater is newer."""
        return (self.incarnation, not self.blind, self.generation, self.tombstone, self.hlc, self.writer, self.sequence)

    @property
    def position(self):
        """What `base` of a later write names."""
        return (self.hlc, self.writer, self.sequence)


def parse(data):
    """The record in these bytes; ValueError when they are none."""
    if len(data) < HEADER_SIZE or data[:4] != b"MMS\x01":
        raise ValueError(f"no record: {data[:16]!r}")
    flags = data[4]
    incarnation, hlc, writer, sequence, *base = struct.unpack_from(">QQQQQQQ", data, 8)
    return Record(bool(flags & _FLAG_TOMBSTONE), bool(flags & _FLAG_BLIND), int.from_bytes(data[5:8], "big"),
                  incarnation, hlc, writer, sequence, tuple(base), data[HEADER_SIZE:])


def replaced_unread(newer, older):
    """Is the older of these records a live write that the newer one's request has not read?"""
    newer, older = parse(newer), parse(older)
    return (older.version < newer.version and older.position > newer.base and not older.tombstone and not newer.tombstone
            and older.incarnation == newer.incarnation)


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC32C[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def sound(data, key):
    """True when both checksums and the length are right."""
    if len(data) < HEADER_SIZE or data[:4] != b"MMS\x01":
        return False
    length, payload_crc, header_crc = struct.unpack_from(">III", data, 68)
    return (len(data) == HEADER_SIZE + length and crc32c(data[HEADER_SIZE:]) == payload_crc
            and crc32c(key.encode() + data[:76]) == header_crc)


def sealed(data, key):
    """The same bytes with a header checksum that is right again."""
    return data[:76] + struct.pack(">I", crc32c(key.encode() + data[:76])) + data[HEADER_SIZE:]
