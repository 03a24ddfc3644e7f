"""Addresses of the APIs. A trailing slash is optional: a redirect would turn an SDK's POST into a GET. Only behind a
recipient's id, which may be any text, it belongs to the id."""

from __future__ import annotations

from django.urls import URLPattern, path, re_path, register_converter

from automations.api import docs, health, metrics
from automations.api.courier.cancels import Cancel
from automations.api.courier.invokes import InvokeAdHoc, InvokeJourney, InvokeTemplate
from automations.api.courier.journeys import Journeys, JourneyVersions, OneJourney, PublishJourney
from automations.api.courier.runs import JourneyRuns, JourneyRunSteps, OneJourneyRun, RunSteps
from automations.api.courier.runs import OneRun as OneCourierRun
from automations.api.courier.runs import Runs as CourierRuns
from automations.api.courier.templates import Templates
from automations.api.endpoint import Endpoint
from automations.api.knock import cancels as knock_cancels
from automations.api.knock import runs as knock_runs
from automations.api.knock import triggers as knock_triggers
from automations.api.native import (
    automations,
    cancellations,
    events,
    explanations,
    invocations,
    lists,
    message_templates,
    previews,
    providers,
    recipients,
    revivals,
    runs,
    undoing,
    webhooks,
)
from automations.api.reading import UUID_PATTERN
from automations.api.suprsend import cancels as suprsend_cancels
from automations.api.suprsend import triggers as suprsend_triggers
from automations.models import MESSAGE_KEY, WORKSPACE, ApiKey

KEY = r"(?P<key>[a-z0-9][a-z0-9_.-]{0,99})"
NAME = rf"(?P<key>{MESSAGE_KEY})"
UID = rf"(?P<uid>{UUID_PATTERN})"


class WorkspaceConverter:
    """The workspace key of an API key that there is: whatever else a path begins with is somebody else's."""

    regex = WORKSPACE.pattern

    def to_python(self, value: str) -> ApiKey:
        """ValueError where there is none, so that the path does not match."""
        if (key := ApiKey.objects.of_workspace(value)) is None:
            raise ValueError(value)
        return key

    def to_url(self, value: ApiKey) -> str:
        return value.workspace


register_converter(WorkspaceConverter, "workspace")


def _address(route: str, endpoint: type[Endpoint]) -> URLPattern:
    return re_path(rf"^{route}/?\Z", endpoint.as_view())


NATIVE = {
    "automations": automations.Automations,
    f"automations/{KEY}": automations.OneAutomation,
    f"automations/{KEY}/draft": automations.Draft,
    f"automations/{KEY}/publish": automations.Publish,
    f"automations/{KEY}/versions": automations.Versions,
    rf"automations/{KEY}/versions/(?P<number>\d{{1,9}})": automations.OneVersion,
    f"automations/{KEY}/disable": automations.Disable,
    f"automations/{KEY}/enable": automations.Enable,
    "preview-token": previews.PreviewToken,
    f"automations/{KEY}/preview-token": previews.PreviewToken,
    "invocations": invocations.Invocations,
    f"invocations/{UID}": invocations.OneInvocation,
    "runs": runs.Runs,
    f"runs/{UID}": runs.OneRun,
    f"runs/{UID}/events": runs.RunEvents,
    f"runs/{UID}/cancel": runs.CancelRun,
    f"runs/{UID}/explain-cancel": explanations.ExplainCancel,
    f"runs/{UID}/replay": revivals.Replay,
    f"runs/{UID}/reschedule": revivals.Reschedule,
    f"runs/{UID}/run-now": revivals.RunNow,
    "cancellations": cancellations.Cancellations,
    f"cancellations/{UID}": cancellations.OneCancellation,
    f"cancellations/{UID}/near-misses": explanations.NearMisses,
    f"cancellations/{UID}/undo": undoing.Undo,
    "events": events.Events,
    f"events/{UID}": events.OneEvent,
    "recipients": recipients.Recipients,
    "recipients/(?P<recipient>.+)": recipients.OneRecipient,  # with the last slash, if there is one
    "lists": lists.Lists,
    f"lists/{NAME}": lists.OneList,
    "message-templates": message_templates.MessageTemplates,
    f"message-templates/{NAME}": message_templates.OneMessageTemplate,
    f"message-templates/{NAME}/preview": message_templates.PreviewMessageTemplate,
    "providers": providers.Providers,
    f"providers/{NAME}": providers.OneProvider,
    "webhooks": webhooks.Webhooks,
    f"webhooks/{UID}": webhooks.OneWebhook,
    f"webhooks/{UID}/roll": webhooks.RollWebhook,
    f"webhooks/{UID}/test": webhooks.TestWebhook,
    f"webhooks/{UID}/deliveries": webhooks.WebhookDeliveries,
    rf"webhooks/{UID}/deliveries/(?P<delivery>{UUID_PATTERN})/retry": webhooks.RetryDelivery,
}
Routes = dict[str, type[Endpoint]]
TEMPLATE, RUN = "(?P<template_id>.+)", "(?P<run_id>[^/]+)"
COURIER: Routes = {
    "automations": Templates,
    "automations/invoke": InvokeAdHoc,
    f"automations/{TEMPLATE}/invoke": InvokeTemplate,
    "automations/runs": CourierRuns,
    f"automations/runs/{RUN}": OneCourierRun,
    f"automations/runs/{RUN}/steps": RunSteps,
    "journeys": Journeys,
    f"journeys/{TEMPLATE}/invoke": InvokeJourney,
    f"journeys/{TEMPLATE}/publish": PublishJourney,
    f"journeys/{TEMPLATE}/versions": JourneyVersions,
    "journeys/cancel": Cancel,
    "journeys/runs": JourneyRuns,
    f"journeys/runs/{RUN}": OneJourneyRun,
    f"journeys/runs/{RUN}/steps": JourneyRunSteps,
    "journeys/(?P<template_id>.+?)": OneJourney,  # the last of them; an alias may hold slashes, not end in one
}
WORKFLOW = "(?P<workflow>.+)"
KNOCK: Routes = {
    f"v1/workflows/{WORKFLOW}/trigger": knock_triggers.Trigger,
    f"v1/workflows/{WORKFLOW}/cancel": knock_cancels.Cancel,
    "v1/workflow_recipient_runs": knock_runs.Runs,
    "v1/workflow_recipient_runs/(?P<run_id>[^/]+)": knock_runs.OneRun,
    "v1/notify": knock_triggers.Notify,
    "v1/notify/cancel": knock_cancels.CancelNotify,
}
SUPRSEND: Routes = {
    "trigger": suprsend_triggers.Trigger,
    "v1/workflow_run/cancel": suprsend_cancels.Cancel,
}
VENDORS = {"courier": COURIER, "knock": KNOCK, "suprsend": SUPRSEND}

urlpatterns = [
    *(_address(f"api/v1/{route}", endpoint) for route, endpoint in NATIVE.items()),
    *(
        _address(f"{prefix}{route}", endpoint)
        for vendor, routes in VENDORS.items()
        for prefix in ("", f"compat/{vendor}/")
        for route, endpoint in routes.items()
    ),
    _address("healthz", health.Healthz),
    _address("readyz", health.Readyz),
    _address("metrics", metrics.Metrics),
    _address("api/schema", docs.Document),
    _address("api/schema/(?P<dialect>courier|knock|suprsend)", docs.Document),
    re_path(r"^api/docs/?\Z", docs.reference, name="api-reference"),
]
# SuprSend's legacy form takes any first segment, so whoever includes these does so behind everything else.
last = [
    path(f"{prefix}<workspace:workspace>/trigger{slash}", suprsend_triggers.TriggerDynamic.as_view())
    for prefix in ("", "compat/suprsend/")
    for slash in ("", "/")
]
