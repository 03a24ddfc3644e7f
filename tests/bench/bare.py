"""The product's addresses, and a bare Django REST framework view with one ORM insert to measure beside."""

from __future__ import annotations

from django.urls import include, path
from django.utils import timezone
from rest_framework.parsers import JSONParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from automations.models import Event


class BareView(APIView):
    """Parses JSON, inserts one row, answers JSON."""

    parser_classes = (JSONParser,)

    def post(self, request: Request) -> Response:
        event = Event.objects.create(run_id=1, at=timezone.now(), kind="invoked", data=request.data)
        return Response({"id": event.pk}, status=201)


urlpatterns = [path("bench/bare", BareView.as_view()), path("", include("config.urls"))]
