"""The WSGI application that gunicorn serves."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from django.core.wsgi import get_wsgi_application
from django.urls import get_resolver

from automations import expressions

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

EVALUATORS = 4  # so that one caller's endless expression does not hold up the others'

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
_django = get_wsgi_application()
expressions.configure(pool_size=EVALUATORS)
get_resolver().url_patterns  # noqa: B018  (loads the views now, once, and not in each worker at its first request)


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Django's, which can ask that the connection be closed: gunicorn passes over a header that says so."""
    hang_up = getattr(getattr(start_response, "__self__", None), "force_close", None)
    if hang_up is not None:
        environ["countermand.hang_up"] = hang_up
    return _django(environ, start_response)
