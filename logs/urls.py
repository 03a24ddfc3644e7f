"""Addresses of the logs."""

from __future__ import annotations

from django.urls import path
from django.views.generic import RedirectView

from logs import views

app_name = "logs"
urlpatterns = [
    path("", RedirectView.as_view(pattern_name="logs:list"), name="home"),
    path("logs/", views.runs, name="list"),
    path("logs/<uuid:uid>/", views.run, name="run"),
    path("logs/<uuid:uid>/cancel/", views.cancel_run, name="cancel"),
]
