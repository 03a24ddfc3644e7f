"""The WSGI application that gunicorn serves."""

from __future__ import annotations

import os

from django.core.wsgi import get_wsgi_application
from django.urls import get_resolver

from automations import expressions

EVALUATORS = 4  # so that one caller's endless expression does not hold up the others'

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
application = get_wsgi_application()
expressions.configure(pool_size=EVALUATORS)
get_resolver().url_patterns  # noqa: B018  (loads the views now, once, and not in each worker at its first request)
