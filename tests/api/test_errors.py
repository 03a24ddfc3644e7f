"""Refusals: JSON on every path of the APIs, each dialect in its own shape, never a page of HTML."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest
from django.core.exceptions import DisallowedHost
from django.db import DataError, InterfaceError, OperationalError
from django.http import Http404, UnreadablePostError
from django.test import Client, RequestFactory

from automations.api import errors, unread
from automations.definition import Problem
from automations.models import No, Refusal
from tests.api.conftest import (
    Caller,
    courier_refused,
    knock_refused,
    refused,
    refused_at,
    suprsend_refused,
)
from tests.pages import read
from tests.people import client

NATIVE = [
    "/api",
    "/api/",
    "/api/v1/nothing",
    "/api/v2/runs",
    "/compat",
    "/compat/other/trigger/",
    "/metrics/x",
    "/api/v1/runs/not-an-id",
]
COURIER = [
    "/automations/x",
    "/automations/x/y/z",
    "/compat/courier",
    "/compat/courier/v1/notify",
    "/audiences",
    "/audit-events",
    "/auth/issue-token",
    "/brands",
    "/lists",
    "/lists/l/subscriptions",
    "/notifications",
    "/profiles/x",
    "/send",
    "/tenants",
]
OF_PAGES_TOO = [
    "/messages/",
    "/messages",
    "/messages/1-abc",
    "/users/u1/tenants",
    "/bulk",
    "/bulk/",
    "/providers",
]
KNOCK = ["/v1", "/v1/schedules", "/v1/users/u/schedules", "/v1/workflows/x", "/compat/knock/trigger/"]
SUPRSEND = [
    "/trigger/x",
    "/v1/workflow_run",
    "/v1/workflow_run/x/cancel/",
    "/their-own-key/trigger/",
    "/ws_AbCd1234/trigger",
    "/compat/suprsend/ws_AbCd1234/trigger/",
    "/compat/suprsend/v2/event/",
    "/v2/event/",
    "/v2/bulk/event/",
    "/event/",
    "/v1/user/u1/",
    "/v1/bulk/user/",
]


@pytest.mark.django_db
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_an_unknown_path_of_an_api_is_answered_in_json(method: str) -> None:
    for path in NATIVE:
        assert refused(Client().generic(method, path)) == (404, "not_found", [("", "not_found")])
    for path in COURIER:
        text = "there is nothing at this address"
        assert courier_refused(Client().generic(method, path)) == (404, "invalid_request_error", text)
    for path in KNOCK:
        assert knock_refused(Client().generic(method, path)) == (404, "not_found", text)
    for path in SUPRSEND:
        assert suprsend_refused(Client().generic(method, path)) == (404, "not_found", text)


@pytest.mark.django_db
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_where_courier_and_we_have_something_a_key_says_who_asks(method: str) -> None:
    text = "there is nothing at this address"
    client = Client(enforce_csrf_checks=True)
    for path in OF_PAGES_TOO:
        answer = client.generic(method, path, b"{}", headers={"Authorization": "Bearer k", "Accept": "*/*"})
        assert courier_refused(answer) == (404, "invalid_request_error", text)
    answer = client.generic(method, "/elsewhere/x", headers={"Authorization": "Bearer k"})
    assert refused(answer) == (404, "not_found", [("", "not_found")])


@pytest.mark.django_db
def test_a_browser_behind_a_proxy_that_adds_an_authorization_gets_pages() -> None:
    headers = {"Authorization": "Basic YW5hOg==", "Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    for path in ("/messages/", "/users/", "/bulk/", "/providers/"):
        answers = [Client().get(path, headers=given) for given in (headers, {})]
        assert {(answer.status_code, answer["Location"]) for answer in answers} == {(302, "/setup/")}
    htmx = {"Authorization": "Basic YW5hOg==", "Accept": "*/*", "HX-Request": "true"}
    assert Client().get("/messages/", headers=htmx)["HX-Redirect"] == "/setup/"
    for given in (headers, htmx):
        unknown = Client().get("/users/u1/tenants", headers=given)
        assert (unknown.status_code, unknown["Content-Type"]) == (404, "text/html; charset=utf-8")


@pytest.mark.django_db
def test_any_other_unknown_path_is_the_browsers() -> None:
    for path in ("/nothing-here/", "/logs/trigger", "/templates/x/trigger"):
        response = Client().get(path)
        assert (response.status_code, response["Content-Type"].partition(";")[0]) == (404, "text/html")


@pytest.mark.pure
@pytest.mark.parametrize(
    ("answer", "status", "code", "kind"),
    [
        (
            lambda request: errors.bad_request(request, Exception()),
            400,
            "bad_request",
            "invalid_request_error",
        ),
        (
            lambda request: errors.permission_denied(request, Exception()),
            403,
            "forbidden",
            "authorization_error",
        ),
        (lambda request: errors.not_found(request, Exception()), 404, "not_found", "invalid_request_error"),
        (errors.server_error, 500, "internal_error", "api_error"),
    ],
)
def test_what_django_answers_itself_is_json_too(
    answer: Callable[..., Any], status: int, code: str, kind: str
) -> None:
    assert refused(answer(RequestFactory().get("/api/v1/x"))) == (status, code, [("", code)])
    assert courier_refused(answer(RequestFactory().get("/automations/x")))[:2] == (status, kind)
    assert knock_refused(answer(RequestFactory().get("/v1/workflows/x")))[:2] == (status, code)
    assert suprsend_refused(answer(RequestFactory().get("/trigger/")))[0] == status
    page = answer(RequestFactory().get("/logs/"))
    assert (page.status_code, page["Content-Type"].partition(";")[0]) == (status, "text/html")


@pytest.mark.django_db
def test_a_name_that_is_not_this_servers_is_told_on_a_page_and_in_one_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    name = "<b>shop</b>.example"
    page = client("viewer").get("/docs/api/", headers={"Host": name})
    assert (page.status_code, "<b>shop" in page.content.decode()) == (400, False)
    assert read(page).one(".refusal").text == (
        f"400 This server does not go by the name “{name}”."
        " Whoever runs it: set ALLOWED_HOSTS or SITE_URL. Nothing was changed. Back to the logs"
    )
    assert caplog.messages == [
        f"refused a request for the host {name!r}: set ALLOWED_HOSTS or SITE_URL",
    ]
    assert [record.exc_info for record in caplog.records] == [None]


@pytest.mark.pure
def test_a_name_that_is_not_this_servers_is_told_in_json() -> None:
    request = RequestFactory().get("/api/v1/x", headers={"Host": "shop.example"})
    answer: Any = errors.bad_request(request, DisallowedHost())
    assert refused(answer) == (400, "unknown_host", [("", "unknown_host")])
    said = "This server does not go by the name “shop.example”: set ALLOWED_HOSTS or SITE_URL."
    assert json.loads(answer.content)["detail"] == said


@pytest.mark.pure
@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (Refusal(No.MALFORMED, "c", "m"), 400, "c"),
        (Refusal(No.NOT_FOUND, "c", "m"), 404, "c"),
        (Refusal(No.STALE, "c", "m"), 412, "c"),
        (Refusal(No.INVALID, "c", "m"), 422, "c"),
        (Refusal(No.UNAVAILABLE, "c", "m"), 503, "c"),
        (Http404("where"), 404, "not_found"),
        (UnreadablePostError("gone"), 400, "unreadable_body"),
        (OperationalError("down"), 503, "unavailable"),
        (InterfaceError("down"), 503, "unavailable"),
        (DataError("NUL"), 400, "not_storable"),
    ],
)
def test_every_kind_of_no_has_its_status(error: Exception, status: int, code: str) -> None:
    response = errors.handle(error, {"request": RequestFactory().get("/api/v1/x")})
    assert response is not None
    assert refused(response) == (status, code, [("", code)])
    assert response.get("Retry-After") == ("1" if status == 503 else None)


@pytest.mark.pure
def test_a_refusal_reads_what_is_left_of_the_body_and_no_more_than_any_address_takes() -> None:
    said: list[str] = []
    factory = RequestFactory()
    for size, left in ((0, 0), (100_000, 0), (unread.MOST, 0), (unread.MOST + 1, unread.MOST + 1)):
        request = factory.post("/v1/x", b"x" * size, content_type="application/json")
        request.META["countermand.hang_up"] = lambda size=size: said.append(size)
        errors.not_found(request, Http404())
        assert len(request.read()) == left
    assert said == [unread.MOST + 1]


@pytest.mark.pure
def test_of_a_body_in_chunks_no_more_is_read_either() -> None:
    said: list[str] = []
    for size, left in ((100_000, 0), (unread.MOST + 20_000, 20_000 - unread.CHUNK)):
        stream = BytesIO(b"x" * size)
        request = RequestFactory().get("/v1/x")
        request.META |= {"wsgi.input": stream, "wsgi.input_terminated": True}
        request.META["countermand.hang_up"] = lambda size=size: said.append(size)
        errors.not_found(request, Http404())
        assert len(stream.read()) == left
    assert said == [unread.MOST + 20_000]


@pytest.mark.pure
def test_a_fault_of_ours_is_left_to_django() -> None:
    assert errors.handle(ZeroDivisionError(), {"request": RequestFactory().get("/api/v1/x")}) is None


@pytest.mark.pure
@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (Refusal(No.INVALID, "c", "m"), 400, "invalid_request_error"),
        (Refusal(No.INVALID, "idempotency_key_reused", "m"), 422, "invalid_request_error"),
        (Refusal(No.NOT_FOUND, "c", "m"), 404, "invalid_request_error"),
        (Refusal(No.UNAVAILABLE, "c", "m"), 503, "api_error"),
        (errors.Denied(413, "c", "m"), 413, "invalid_request_error"),
    ],
)
def test_couriers_shape_has_couriers_types(error: Exception, status: int, kind: str) -> None:
    response = errors.handle(error, {"request": RequestFactory().get("/journeys/cancel")})
    assert response is not None
    assert courier_refused(response) == (status, kind, "m")


@pytest.mark.pure
def test_a_problem_document_says_everything_that_is_wrong() -> None:
    problems = [
        Problem(pointer="/a", code="required", message="give a"),
        Problem(pointer="/b", code="x", message="no b"),
    ]
    error = Refusal(No.INVALID, "required", "give a", problems)
    request = RequestFactory().get("/api/v1/x", HTTP_X_REQUEST_ID="req-1")
    response = errors.handle(error, {"request": request})
    assert response is not None
    assert json.loads(response.content) == {
        "type": "urn:countermand:problem:required",
        "title": "Required",
        "status": 422,
        "detail": "give a",
        "instance": "req-1",
        "errors": [
            {"pointer": "/a", "code": "required", "message": "give a"},
            {"pointer": "/b", "code": "x", "message": "no b"},
        ],
    }
    courier = errors.handle(error, {"request": RequestFactory().get("/automations/invoke")})
    assert courier is not None
    assert courier_refused(courier)[2] == "give a (/a); no b (/b)"
    knock = errors.handle(error, {"request": RequestFactory().get("/v1/notify")})
    assert knock is not None
    assert json.loads(knock.content) == {
        "code": "invalid_params",
        "message": "give a",
        "status": 422,
        "type": "invalid_request_error",
        "errors": [
            {"field": "a", "type": "required", "message": "give a"},
            {"field": "b", "type": "x", "message": "no b"},
        ],
    }
    suprsend = errors.handle(error, {"request": RequestFactory().get("/trigger/")})
    assert suprsend is not None
    assert suprsend_refused(suprsend) == (400, "bad_request", "give a (/a); no b (/b)")


@pytest.mark.django_db
def test_the_request_id_is_the_callers_if_it_is_a_sane_one(api: Caller) -> None:
    assert api.send("GET", "/api/v1/runs", X_Request_ID="a-B_1.2:3")["X-Request-ID"] == "a-B_1.2:3"
    made = api.send("GET", "/api/v1/runs")["X-Request-ID"]
    assert len(made) == 36
    for odd in ("a b", "x" * 101, "é", "<script>", ""):
        answer = api.send("GET", "/api/v1/runs", X_Request_ID=odd)["X-Request-ID"]
        assert (len(answer), answer != odd) == (36, True)


@pytest.mark.django_db
def test_answers_are_not_kept_by_anybody(api: Caller) -> None:
    assert api.send("GET", "/api/v1/runs")["Cache-Control"] == "no-store"


@pytest.mark.django_db
@pytest.mark.parametrize("accept", ["text/html", "application/xml", "nonsense", "*/*;q=0"])
def test_an_odd_accept_header_is_answered_with_json(api: Caller, accept: str) -> None:
    response = api.send("GET", "/api/v1/runs", Accept=accept)
    assert (response.status_code, response["Content-Type"]) == (200, "application/json")


@pytest.mark.django_db
@pytest.mark.parametrize(
    "path", ["/api/v1/runs", "/automations/runs", "/v1/workflow_recipient_runs", "/healthz"]
)
def test_a_trailing_slash_changes_nothing_and_redirects_nobody(api: Caller, path: str) -> None:
    assert api.get(path + "/") == api.get(path)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "path",
    [
        *(
            "/api/v1/invocations",
            "/api/v1/cancellations",
            "/automations/invoke",
            "/journeys/cancel",
            "/journeys",
        ),
        *("/v1/workflows/k/trigger", "/v1/notify/cancel", "/trigger/", "/v1/workflow_run/cancel/"),
    ],
)
def test_every_path_refuses_what_is_no_sound_json(api: Caller, path: str) -> None:
    bodies = {
        b"": 400, b"{": 400, b"[]": 400, b'"x"': 400, b"\xff": 400, b"[" * 100_000: 400, rb'{"a": "\u0000"}': 400,
        rb'{"a": "\ud800"}': 400, b'{"a": NaN}': 400, b'{"a": 1, "a": 2}': 400, b'{"a": 1e999}': 400,
        b" " * ((10 if "trigger" in path and "/v1" in path else 1) * 1024 * 1024 + 1): 413,
    }  # fmt: skip
    for body, status in bodies.items():
        response = api.send("POST", path, body)
        if path == "/v1/workflow_run/cancel/" and not body:
            continue  # no filter, which has an answer of its own
        assert (body[:20], refused_at(path, response)[0]) == (body[:20], status)
    assert api.send("POST", path, b"{}", Content_Encoding="gzip").status_code == 415
