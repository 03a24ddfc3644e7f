"""Addresses of the logs."""

from __future__ import annotations

from django.urls import path

from logs.views import actions, audit, bulk, overview, runs, why

app_name = "logs"
urlpatterns = [
    path("", overview.overview, name="overview"),
    path("logs/", runs.runs, name="list"),
    path("logs/export.csv", runs.exported, {"kind": "csv"}, name="csv"),
    path("logs/export.jsonl", runs.exported, {"kind": "jsonl"}, name="jsonl"),
    path("logs/<uuid:uid>/", runs.run, name="run"),
    path("logs/<uuid:uid>/cancel/", runs.cancel_run, name="cancel"),
    path("logs/<uuid:uid>/time/", actions.reschedule, name="reschedule"),
    path("logs/<uuid:uid>/replay/", actions.replay, name="replay"),
    path("logs/<uuid:uid>/why/", why.why, name="why"),
    path("bulk/<uuid:uid>/missed/", why.missed, name="missed"),
    path("bulk/", bulk.history, name="bulk"),
    path("bulk/new/", bulk.new, name="bulk-new"),
    path("bulk/<uuid:uid>/", bulk.cancellation, name="cancellation"),
    path("bulk/<uuid:uid>/undo/", bulk.undo_it, name="undo"),
    path("audit/", audit.audit, name="audit"),
    path("audit/export.csv", audit.exported, name="audit-csv"),
]
