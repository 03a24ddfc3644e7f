"""The Django application that shows runs and calls the verbs; it owns no table."""

from __future__ import annotations

from django.apps import AppConfig


class LogsConfig(AppConfig):
    name = "logs"
