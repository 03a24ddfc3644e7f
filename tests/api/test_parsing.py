"""What JSON is taken, exactly, and what is refused with which code and pointer."""

from __future__ import annotations

import io
import json
import time

import pytest
from django.test import RequestFactory
from hypothesis import given, strategies

from automations.api.errors import Denied
from automations.api.parsing import LARGEST_BODY, parse, read_object
from automations.models import No, Refusal

pytestmark = pytest.mark.pure


def fault(body: bytes) -> tuple[str, str]:
    """The code and pointer of the refusal."""
    with pytest.raises(Refusal) as caught:
        parse(body)
    assert caught.value.kind is No.MALFORMED
    (problem,) = caught.value.problems
    assert problem.code == caught.value.code
    return problem.code, problem.pointer


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"id": 9007199254740993}', {"id": 9007199254740993}),
        (b'{"id": 123456789012345678901234567890}', {"id": 123456789012345678901234567890}),
        (b"[1e308, -0.5, 1E2]", [1e308, -0.5, 100.0]),
        ('{"a": "é😀"}'.encode(), {"a": "é😀"}),
        (rb'{"a": "\ud83d\ude00"}', {"a": "😀"}),
        (rb'{"a": "\\u0000 and \\ud800"}', {"a": r"\u0000 and \ud800"}),
        (b'{"a": {"k": 1}, "b": {"k": 1}}', {"a": {"k": 1}, "b": {"k": 1}}),
        (b'{"a": "' + b"[{" * 1000 + b'"}', {"a": "[{" * 1000}),
        (b'{"a": "\\"' + b"[" * 100 + b'"}', {"a": '"' + "[" * 100}),
        (b" null ", None),
    ],
)
def test_sound_json_is_taken_exactly(body: bytes, value: object) -> None:
    assert parse(body) == value


@pytest.mark.parametrize(
    ("body", "code", "pointer"),
    [
        (b"", "empty_body", ""),
        (b" \n", "empty_body", ""),
        (b"{", "invalid_json", ""),
        (b'{"a": 1,}', "invalid_json", ""),
        (b"{} {}", "invalid_json", ""),
        (b'{"a": "\n"}', "invalid_json", ""),
        (b'{"a": "\x00"}', "invalid_json", ""),
        (b"\xef\xbb\xbf{}", "invalid_json", ""),
        (b'{"a": "\xff"}', "invalid_utf8", ""),
        (b'{"a": "\xed\xa0\x80"}', "invalid_utf8", ""),
        (b'{"a": [{"b/c": 1, "b/c": 2}]}', "duplicate_key", "/a/0/b~1c"),
        (b'{"~": {"x": 1, "x": 1}}', "duplicate_key", "/~0/x"),
        (b'{"a": [1, NaN]}', "invalid_number", "/a/1"),
        (b'{"a": -Infinity}', "invalid_number", "/a"),
        (b'{"a": 1e400}', "invalid_number", "/a"),
        (b'{"a": [' + b"9" * 5000 + b"]}", "invalid_number", "/a/0"),
        (rb'{"data": {"x": "a\u0000b"}}', "invalid_text", "/data/x"),
        (rb'{"data": {"x": ["\ud800"]}}', "invalid_text", "/data/x/0"),
        (rb'{"data": {"x": "\udc00\ud800"}}', "invalid_text", "/data/x"),
        (rb'{"data": {"a\u0000": 1}}', "invalid_text", "/data"),
    ],
)
def test_unsound_json_is_refused_where_it_stands(body: bytes, code: str, pointer: str) -> None:
    assert fault(body) == (code, pointer)


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'[{"a":'])
def test_sixty_four_levels_are_enough_for_anybody(opening: bytes) -> None:
    levels = 64 // (opening.count(b"[") + opening.count(b"{"))
    closing = b"".join({b"[": b"]", b"{": b"}"}.get(bytes([byte]), b"") for byte in reversed(opening))
    parse(opening * levels + b"1" + closing * levels)
    body = opening * (levels + 1) + b"1" + closing * (levels + 1)
    assert fault(body) == ("json_too_deep", "")


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"[" * LARGEST_BODY,
        (b"[]," * 400_000)[: LARGEST_BODY - 1],
        b'["' + rb"\"" * 500_000,
        b'["' + b"\\" * 1_000_001,
        b'"' * 1_000_000,
        b"[" * 65 + b'"\\' * 500_000,
        (b'["",' * 60 + b'"",' * 149_000 + rb'"\u0000"' + b"]" * 60),
        (b"[" + b"{}," * 149_000 + rb'"\ud83d"]'),
        b'["' + rb"\ud83d\ude00" * 87_000 + b'", NaN]',
    ],
)
def test_a_hostile_body_costs_little(body: bytes) -> None:
    began = time.process_time()
    with pytest.raises(Refusal):
        parse(body)
    assert time.process_time() - began < 2  # a quadratic reader takes minutes


PIECES = [
    rb"\\",
    rb"\u0000",
    rb"\ud83d",
    rb"\uDE00",
    rb"\udbff",
    rb"\n",
    rb"\"",
    b"u0000",
    b"ud83d",
    b"0",
    b"[",
    b"{",
]


@given(strategies.lists(strategies.sampled_from(PIECES), max_size=8).map(b"".join))
def test_a_text_is_refused_exactly_when_it_cannot_be_stored(text: bytes) -> None:
    value = json.loads(b'"' + text + b'"')
    if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
        assert fault(b'{"a": "' + text + b'"}') == ("invalid_text", "/a")
    else:
        assert parse(b'{"a": "' + text + b'"}') == {"a": value}


@given(strategies.text(alphabet='[]{}"\\ax', max_size=40), strategies.integers(0, 70))
def test_brackets_in_texts_are_no_levels(text: str, depth: int) -> None:
    body = ("[" * depth + json.dumps([text] * 3 + [{text: text}]) + "]" * depth).encode()
    if depth + 2 <= 64:
        assert parse(body) == json.loads(body)
    else:
        assert fault(body) == ("json_too_deep", "")


def request(body: bytes, **headers: str) -> object:
    made = RequestFactory().post("/api/v1/invocations", body, content_type="text/plain", **headers)  # type: ignore[arg-type]
    return read_object(made)


def test_the_content_type_does_not_matter() -> None:
    assert request(b'{"a": 1}') == {"a": 1}


@pytest.mark.parametrize("body", [b"[]", b"null", b'"text"', b"1"])
def test_a_body_that_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(Refusal, match="the body must be a JSON object"):
        request(body)


def test_a_body_of_a_mebibyte_is_taken_and_no_more() -> None:
    assert request(b'{"a": 1}'.ljust(LARGEST_BODY)) == {"a": 1}
    with pytest.raises(Denied) as caught:
        request(b'{"a": 1}'.ljust(LARGEST_BODY + 1))
    assert (caught.value.status_code, caught.value.detail.code) == (413, "body_too_large")


def test_a_body_whose_length_is_not_told_is_counted_while_it_is_read() -> None:
    made = RequestFactory().post("/", b" " * (LARGEST_BODY + 1), content_type="application/json")
    del made.META["CONTENT_LENGTH"]
    made.META["wsgi.input_terminated"] = True
    with pytest.raises(Denied, match="at most 1,048,576 bytes"):
        read_object(made)


def test_a_chunked_body_is_read_to_its_end() -> None:
    made = RequestFactory().post("/", content_type="application/json")
    del made.META["CONTENT_LENGTH"]
    made.META |= {"wsgi.input_terminated": True, "wsgi.input": io.BytesIO(b'{"a": 1}')}
    assert read_object(made) == {"a": 1}


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "identity, gzip"])
def test_a_compressed_body_is_refused(encoding: str) -> None:
    with pytest.raises(Denied, match="without Content-Encoding"):
        request(b"{}", HTTP_CONTENT_ENCODING=encoding)


def test_an_encoding_that_changes_nothing_is_none() -> None:
    assert request(b"{}", HTTP_CONTENT_ENCODING="identity") == {}
