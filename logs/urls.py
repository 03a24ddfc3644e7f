"""Addresses of the logs."""

from __future__ import annotations

from django.urls import path

from logs import views

app_name = "logs"
urlpatterns = [
    path("", views.overview, name="overview"),
    path("logs/", views.runs, name="list"),
    path("logs/<uuid:uid>/", views.run, name="run"),
    path("logs/<uuid:uid>/cancel/", views.cancel_run, name="cancel"),
]
