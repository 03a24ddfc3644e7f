"""Makes a PNG of a page a third of its size: the colours that matter in a palette, the rest as the nearest of them."""

from __future__ import annotations

import struct
import zlib
from collections import Counter
from collections.abc import Iterator

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MOST_COLOURS = 256
MOST_FREQUENT = 128


def shrunk(png: bytes) -> bytes:
    """The same picture with at most 256 colours. ValueError for anything but 8 bits of RGB, not interlaced."""
    parts = dict[bytes, bytes]()
    for kind, body in _chunks(png):
        parts[kind] = parts.get(kind, b"") + body
    width, height, bits, colour, *_, interlaced = struct.unpack(">IIBBBBB", parts[b"IHDR"])
    if (bits, colour, interlaced) != (8, 2, 0):
        raise ValueError("this PNG is not 8 bits of RGB")
    rows = list(_rows(zlib.decompress(parts[b"IDAT"]), stride=width * 3))
    counted = Counter(row[at : at + 3] for row in rows for at in range(0, len(row), 3))
    palette, places = _chosen(counted)
    drawn = b"".join(b"\0" + bytes(places[row[at : at + 3]] for at in range(0, len(row), 3)) for row in rows)
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    chunks = (
        (b"IHDR", header),
        (b"PLTE", b"".join(palette)),
        (b"IDAT", zlib.compress(drawn, 9)),
        (b"IEND", b""),
    )
    return SIGNATURE + b"".join(_chunk(kind, body) for kind, body in chunks)


def _chosen(counted: Counter[bytes]) -> tuple[list[bytes], dict[bytes, int]]:
    """The most frequent colours, then those farthest from what is chosen already, such as a small green dot; and the
    place of the nearest for each colour."""
    palette = [known for known, _ in counted.most_common(MOST_FREQUENT)]
    nearest = {
        other: min((_distance(known, other), place) for place, known in enumerate(palette))
        for other in counted
    }
    while len(palette) < min(MOST_COLOURS, len(counted)):
        place, farthest = len(palette), max(nearest, key=lambda other: nearest[other][0])
        palette.append(farthest)
        nearest = {other: min(best, (_distance(farthest, other), place)) for other, best in nearest.items()}
    return palette, {other: place for other, (_, place) in nearest.items()}


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(SIGNATURE)
    while at < len(png):
        (length,) = struct.unpack_from(">I", png, at)
        yield png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        at += length + 12


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _rows(data: bytes, *, stride: int) -> Iterator[bytes]:
    """The lines, their filters undone (PNG specification, 9.2)."""
    above = bytes(stride)
    for start in range(0, len(data), stride + 1):
        kind, row = data[start], bytearray(data[start + 1 : start + 1 + stride])
        if kind == 2:
            row = bytearray(one + other & 255 for one, other in zip(row, above, strict=True))
        elif kind:
            for at in range(stride):
                left = row[at - 3] if at > 2 else 0
                row[at] = row[at] + _predicted(kind, left, above[at], above[at - 3] if at > 2 else 0) & 255
        above = bytes(row)
        yield above


def _predicted(kind: int, left: int, up: int, corner: int) -> int:
    if kind == 1:
        return left
    if kind == 3:
        return (left + up) // 2
    guess = left + up - corner
    near = (abs(guess - left), abs(guess - up), abs(guess - corner))
    return (left, up, corner)[near.index(min(near))]


def _distance(one: bytes, other: bytes) -> int:
    return sum((a - b) ** 2 for a, b in zip(one, other, strict=True))
