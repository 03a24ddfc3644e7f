"""What every address of the APIs shares: a key with the right scope, JSON in, JSON out, a request id."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

from django.http.response import HttpResponseBase
from rest_framework.authentication import BaseAuthentication
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.permissions import BasePermission
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

from automations.api import errors
from automations.api.authentication import HasScope, KeyAuthentication, scope_of
from automations.api.limits import Asked, asked_by, within_limits
from automations.api.parsing import LARGEST_BODY, read_object
from automations.models import ApiKey, Environment


class AlwaysJson(BaseContentNegotiation):
    """SDKs send odd Accept headers; none of them is a reason to answer 406."""

    def select_renderer(
        self, request: Request, renderers: Any, format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        """The one renderer there is."""
        return renderers[0], renderers[0].media_type


class Endpoint(APIView):
    """`get_scope`, `post_scope` ... name the scope of the key that each method needs."""

    authentication_classes: Sequence[type[BaseAuthentication]] = (KeyAuthentication,)
    permission_classes: Sequence[type[BasePermission]] = (HasScope,)
    content_negotiation_class = AlwaysJson
    http_method_names: Sequence[str] = ("get", "post", "put", "head")
    largest_body = LARGEST_BODY
    counts_itself = False  # against the limits, once its body says what it asks for

    @property
    def key(self) -> ApiKey:
        """The caller's key."""
        key = self.request.auth
        assert isinstance(key, ApiKey)  # nothing gets past KeyAuthentication without one
        return key

    @property
    def environment(self) -> Environment:
        """The one environment that the caller sees."""
        return self.key.environment

    @property
    def actor(self) -> str:
        """How the log names the caller."""
        return f"key/{self.key.name}"

    def body(self, *, optional: bool = False) -> dict[str, Any]:
        """The object in the request's body; see `read_object`."""
        return read_object(self.request._request, optional=optional, largest=self.largest_body)

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Gives back at its end what the request has of the limits."""
        with ExitStack() as self._held:
            return super().dispatch(request, *args, **kwargs)

    def check_throttles(self, request: Request) -> None:
        """429 for a key that asks too often; see `within_limits`."""
        if request.auth is not None and not self.counts_itself:
            self.count(asked_by(scope_of(request, self)))

    def count(self, asked: Asked) -> None:
        """Counts this request as one of that kind, until it is answered."""
        self._held.enter_context(within_limits(asked, key_id=self.key.pk))

    def get_exception_handler(self) -> Callable[..., HttpResponseBase | None]:
        """Ours, not the one of the settings: an answer must fit its dialect wherever this is mounted."""
        return errors.handle

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Adds what every answer carries."""
        answer = super().finalize_response(request, response, *args, **kwargs)
        answer["X-Request-ID"] = errors.request_id(request)
        answer["Cache-Control"] = "no-store"
        return answer
