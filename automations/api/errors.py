"""Says no in the words of the caller's dialect, and as JSON on every path of the APIs, known or not."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any

from django.core.exceptions import DisallowedHost
from django.db import DataError, InterfaceError, OperationalError
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseBadRequest,
    JsonResponse,
    UnreadablePostError,
)
from django.http.response import HttpResponseBase
from django.template.loader import render_to_string
from django.views import defaults
from rest_framework.exceptions import APIException, MethodNotAllowed
from rest_framework.request import Request

from automations.api.shapes import NATIVE, SHAPES, Answer, dialect_of, problem_document
from automations.api.unread import discard
from automations.models import No, Refusal, new_uid

log = logging.getLogger(__name__)

STATUSES = {No.MALFORMED: 400, No.NOT_FOUND: 404, No.INVALID: 422, No.STALE: 412, No.UNAVAILABLE: 503}
LATER = {"Retry-After": "1"}
LONGEST_NAME = 255
_SANE_ID = re.compile(r"[A-Za-z0-9._:-]{1,100}")


class Denied(APIException):
    """The edge itself refuses a request, with that HTTP status, before any verb has seen it."""

    def __init__(self, status: int, code: str, message: str, *, retry_after: int | None = None) -> None:
        """`retry_after` is in seconds."""
        super().__init__(detail=message, code=code)
        self.status_code = status
        self.headers = {} if retry_after is None else {"Retry-After": str(retry_after)}


def request_id(request: HttpRequest | Request) -> str:
    """The caller's X-Request-ID if it is a sane one, else one made here; the same for the whole request."""
    meta = request.META
    known = meta.get("countermand.request_id")
    if known is None:
        given = meta.get("HTTP_X_REQUEST_ID", "")
        known = meta["countermand.request_id"] = given if _SANE_ID.fullmatch(given) else str(new_uid())
    return str(known)


def handle(error: Exception, context: Mapping[str, Any]) -> HttpResponse | None:
    """REST framework's exception handler; None for a fault of ours: Django logs it; see `server_error`."""
    answer = answer_to(error)
    return None if answer is None else _respond(context["request"], answer)


def is_keyed(request: HttpRequest | Request) -> bool:
    """Whether a program asks, with a key. A browser says that it takes pages: a proxy that knows its people may add an
    Authorization to whatever they ask for."""
    meta = request.META
    asks_for_pages = "text/html" in meta.get("HTTP_ACCEPT", "") or "HTTP_HX_REQUEST" in meta
    return "HTTP_AUTHORIZATION" in meta and not asks_for_pages


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """Django's handler400."""
    if isinstance(exception, DisallowedHost):
        return _unknown_name(request)
    if not _is_api(request):
        return defaults.bad_request(request, exception)
    return _respond(request, Answer(status=400, code="bad_request", message="the request is malformed"))


def _unknown_name(request: HttpRequest) -> HttpResponseBase:
    """Asked for under a name that is none of this server's: whoever runs it reads here what to set."""
    name = request.META.get("HTTP_HOST", "")[:LONGEST_NAME]
    log.warning("refused a request for the host %r: set ALLOWED_HOSTS or SITE_URL", name)
    if not _is_api(request):
        return HttpResponseBadRequest(render_to_string("400_host.html", {"name": name}))
    message = f"This server does not go by the name “{name}”: set ALLOWED_HOSTS or SITE_URL."
    return _respond(request, Answer(status=400, code="unknown_host", message=message))


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """Django's handler403."""
    if not _is_api(request):
        return defaults.permission_denied(request, exception)
    return _respond(request, Answer(status=403, code="forbidden", message="this is not allowed"))


def not_found(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """Django's handler404; in JSON to a program also where no vendor has anything."""
    if not _is_api(request) and not is_keyed(request):
        return defaults.page_not_found(request, exception)
    return _respond(request, Answer(status=404, code="not_found", message="there is nothing at this address"))


def server_error(request: HttpRequest) -> HttpResponseBase:
    """Django's handler500."""
    if not _is_api(request):
        return defaults.server_error(request)
    return _respond(request, Answer(status=500, code="internal_error", message="something went wrong here"))


def answer_to(error: Exception) -> Answer | None:
    """What the error is to its caller; None for a fault of ours."""
    match error:
        case Refusal():
            headers = LATER if error.kind is No.UNAVAILABLE else {}
            return Answer(
                status=STATUSES[error.kind], code=error.code, message=error.message,
                problems=error.problems, headers=headers, facts=error.facts,
            )  # fmt: skip
        case MethodNotAllowed():
            return Answer(status=405, code="method_not_allowed", message=str(error.detail))
        case APIException():
            headers = getattr(error, "headers", {})
            if error.status_code == 401:
                headers = {"WWW-Authenticate": "Bearer"}
            code = str(getattr(error.detail, "code", "refused"))
            return Answer(status=error.status_code, code=code, message=str(error.detail), headers=headers)
        case Http404():
            return Answer(status=404, code="not_found", message="there is nothing of that id here")
        case UnreadablePostError():
            return Answer(status=400, code="unreadable_body", message="the body could not be read to its end")
        case OperationalError() | InterfaceError():
            log.warning("the database did not answer: %s", error)
            message = "the database did not answer"
            return Answer(status=503, code="unavailable", message=message, headers=LATER)
        case DataError():
            log.warning("refused by the database: %s", error)
            return Answer(status=400, code="not_storable", message="a value cannot be stored")
    return None


def _respond(request: HttpRequest | Request, answer: Answer) -> HttpResponse:
    """The answer in the dialect that the path belongs to, once what the request still holds has been read."""
    discard(request._request if isinstance(request, Request) else request)
    identifier = request_id(request)
    dialect = _dialect(request) or NATIVE
    if dialect == NATIVE:
        document = problem_document(answer, identifier)
        response = JsonResponse(document, status=answer.status, content_type="application/problem+json")
    else:
        status, document = SHAPES[dialect](answer)
        response = JsonResponse(document, status=status)
    for name, value in answer.headers.items():
        response[name] = value
    response["X-Request-ID"] = identifier
    return response


def _is_api(request: HttpRequest) -> bool:
    return _dialect(request) is not None


def _dialect(request: HttpRequest | Request) -> str | None:
    """The dialect that the caller reads; None for a person."""
    return dialect_of(request.path_info, keyed=is_keyed(request))
