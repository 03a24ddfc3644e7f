"""Serves the OpenAPI documents and the page that shows them, to anybody: they say nothing that is a secret."""

from __future__ import annotations

from csp.constants import UNSAFE_INLINE
from csp.decorators import csp_update
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe
from rest_framework.request import Request
from rest_framework.response import Response

from automations.api.health import OpenEndpoint
from automations.api.shapes import NATIVE

NAMES = {"": "Countermand", "courier": "Courier", "knock": "Knock", "suprsend": "SuprSend"}


class Document(OpenEndpoint):
    """`/api/schema` and, of each dialect, `/api/schema/{dialect}`."""

    def get(self, request: Request, dialect: str = NATIVE) -> Response:
        """The document of that dialect."""
        # What writes it costs every process 40 ms to import, and most are never asked.
        from automations.api.openapi import document

        return Response(document(dialect))


# Swagger UI styles its elements and draws its icons so; scripts stay as strict as anywhere.
@csp_update({"style-src": UNSAFE_INLINE, "img-src": "data:"})
@require_safe
def reference(request: HttpRequest) -> HttpResponse:
    """`/api/docs/`: Swagger UI, served from here."""
    documents = [(f"/api/schema/{dialect}".removesuffix("/"), name) for dialect, name in NAMES.items()]
    return render(request, "automations/api_docs.html", {"documents": documents})
