"""A small shop's worth of records, for pages that are to be looked at: run inside a product, `furnish()`."""

from __future__ import annotations

from typing import Any

from automations.admission import environments, keys, users
from automations.cancellation import CancelRequest, cancel
from automations.directory import lists, providers, recipients, templates
from automations.execution import accept
from automations.invocation import InvokeRequest, Recipient
from automations.models import (
    DEFAULT_ENVIRONMENT,
    RUN_EVENTS,
    CancellationFilter,
    Environment,
    Origin,
    Provider,
    WebhookDelivery,
    database_now,
)
from automations.notices import endpoints

ADMIN = "user/ana"
WELCOME = {
    "name": "Welcome",
    "title": "Hello {{data.name}}",
    "body": "Good to have you here.",
    "channels": {},
}
TRIAL = {"name": "", "title": "{{data.days}} days left", "body": "Upgrade, {{profile.name}}.", "channels": {}}
NAMES = ("ada", "bob", "cem", "dora", "eva", "finn")
REMINDER = {"action": "send", "message": {"content": {"title": "Your basket", "body": "It is still there."}}}
BROKEN = {"steps": [{"action": "send", "message": {"content": {"title": "${throw new Error('no rate')}"}}}]}


def furnish() -> None:
    """Fills production: every page beside the logs has something to show, and the logs a run of each look."""
    environment = Environment.objects.get(key=DEFAULT_ENVIRONMENT)
    _directory(environment)
    for hours in (1, 3, 3, 5, 8, 9, 9, 9, 12, 15, 16, 20, 22):
        wait = {"action": "delay", "duration": f"{hours} hours"}
        invoke(environment, definition={"steps": [wait, REMINDER]}, source="api/shop", tags=["reminder"])
    for name in NAMES:
        data = {"user_id": name, "name": name.title(), "plan": "free", "flow_name": "trial"}
        invoke(environment, automation="onboarding-reminder", data=data, recipients=[Recipient(id=name)])
        invoke(environment, automation="trial-expiry", data=data, recipients=[Recipient(id=name)])
    invoke(environment, definition=BROKEN)
    _call_off(environment, token="onboarding-bob", reason="finished the set-up")
    _call_off(environment, recipients=("eva",), reason="asked to be left alone")


def _directory(environment: Environment) -> None:
    key, _ = keys.issue(environment=environment, name="old backend", scopes=("read", "invoke"), by=ADMIN)
    keys.revoke(key, by=ADMIN)
    keys.issue(environment=environment, name="shop", scopes=("read", "invoke", "cancel"), by=ADMIN)
    users.invite(username="nadia", role="viewer", by=ADMIN)
    environments.create(key="staging", by=ADMIN)
    for name in NAMES:
        profile = {"email": f"{name}@example.com", "name": name.title()}
        recipients.replace(environment=environment, key=name, profile=profile)
    for named, members in (("team", NAMES[:3]), ("beta-testers", ("ada", "zoe"))):
        lists.create(environment=environment, key=named, name=named.title(), members=members, by=ADMIN)
    templates.create(environment=environment, key="welcome", by=ADMIN, said=WELCOME)
    templates.create(environment=environment, key="trial-ends", by=ADMIN, said=TRIAL)
    providers.create(environment=environment, key="hooks", kind=Provider.Kind.WEBHOOK, url=None, by=ADMIN)
    _webhooks(environment)


def _webhooks(environment: Environment) -> None:
    """One that is told, with a delivery of each kind, and one that is disabled. Nobody lives at `.invalid`."""
    told, _ = endpoints.create(
        environment=environment, url="https://shop.invalid/hooks", events=["run.cancelled", "run.failed"],
        description="The shop", by=ADMIN,
    )  # fmt: skip
    still, _ = endpoints.create(
        environment=environment, url="https://crm.invalid/runs", events=RUN_EVENTS, description="", by=ADMIN
    )
    for endpoint in (told, still):
        endpoints.change(environment=environment, uid=endpoint.pk, changes={"disabled": True}, by=ADMIN)
    now = database_now()
    entry = {
        "attempt": 1,
        "at": now.isoformat(),
        "milliseconds": 83,
        "status": 200,
        "error": None,
        "answer": "ok",
    }
    wrong = {**entry, "status": 502, "error": "it answered 502", "answer": "Bad gateway"}
    for status, log in (
        ("delivered", [entry]),
        ("failed", [wrong, {**wrong, "attempt": 2}]),
        ("pending", []),
    ):
        due = now if status == "pending" else None
        WebhookDelivery.objects.create(
            endpoint=told, event="webhook.test", at=now, status=status, attempts=len(log), log=log,
            next_attempt_at=due,
        )  # fmt: skip


def invoke(environment: Environment, **given: Any) -> None:
    """An accepted invocation from the shop."""
    request = {"actor": "key/shop", "source": "api/shop", "dialect": "native", "definition": None, **given}
    accept(InvokeRequest(environment=environment, **request))


def _call_off(environment: Environment, *, reason: str, **scope: Any) -> None:
    cancel(
        CancelRequest(
            environment=environment, filter=CancellationFilter(**scope), actor=ADMIN,
            origin=Origin.BROWSER, reason=reason,
        )
    )  # fmt: skip
