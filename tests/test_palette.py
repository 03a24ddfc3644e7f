"""The screenshots' palette: the same picture, fewer colours, and the rare ones among them."""

from __future__ import annotations

import struct
import zlib

import pytest

from tests.palette import MOST_COLOURS, SIGNATURE, _chunk, _chunks, shrunk

WIDTH, HEIGHT = 40, 20


def png(rows: list[bytes], *, colour: int = 2) -> bytes:
    """8 bits of RGB; `rows` begin with their filter."""
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, colour, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(b"".join(rows))), (b"IEND", b""))
    return SIGNATURE + b"".join(_chunk(kind, body) for kind, body in parts)


def pixels(picture: bytes) -> list[bytes]:
    """The colours of a picture with a palette, row by row."""
    parts = dict(_chunks(picture))
    data, palette = zlib.decompress(parts[b"IDAT"]), parts[b"PLTE"]
    assert len(palette) <= 3 * MOST_COLOURS
    places = [data[row * (WIDTH + 1) + 1 + at] for row in range(HEIGHT) for at in range(WIDTH)]
    return [palette[3 * place : 3 * place + 3] for place in places]


@pytest.mark.pure
@pytest.mark.parametrize("kind", range(5))
def test_few_colours_stay_as_they_are_whatever_the_filter(kind: int) -> None:
    row = bytes([kind]) + bytes([1, 2, 3]) + bytes(3 * (WIDTH - 1))
    first = {0: [b"\1\2\3", b"\0\0\0"], 1: [b"\1\2\3"] * 2, 2: [b"\1\2\3", b"\0\0\0"],
             3: [b"\1\2\3", b"\0\1\1"], 4: [b"\1\2\3"] * 2}[kind]  # fmt: skip
    assert pixels(shrunk(png([row] * HEIGHT)))[:2] == first


@pytest.mark.pure
def test_a_small_dot_among_many_greys_keeps_its_colour() -> None:
    greys = [bytes([at * 6, row * 12, at * 6]) for row in range(HEIGHT) for at in range(WIDTH)]
    dot = bytes([15, 255, 50])
    greys[7] = dot
    rows = [b"\0" + b"".join(greys[row * WIDTH : (row + 1) * WIDTH]) for row in range(HEIGHT)]
    shown = pixels(shrunk(png(rows)))
    assert shown[7] == dot
    assert (
        max(
            abs(a - b)
            for one, other in zip(shown, greys, strict=True)
            for a, b in zip(one, other, strict=True)
        )
        < 40
    )


@pytest.mark.pure
def test_another_kind_of_picture_is_refused() -> None:
    with pytest.raises(ValueError, match="not 8 bits of RGB"):
        shrunk(png([], colour=6))
