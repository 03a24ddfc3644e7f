"""From a step that sends to the messages it sends: which text, to whom, by which channel."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from automations import channels, expressions
from automations.channels import ADDRESSED, DeliveryError, Message, apprise
from automations.definition import Send
from automations.expressions import FieldWarning, Scope
from automations.models import (
    MESSAGE_KEY,
    About,
    MessageTemplate,
    Unsealable,
    Wording,
    kept_signing_secrets,
    unseal,
)
from automations.steps.base import Attempt

RECORDED = 16_000  # characters of a title or body that the run's log keeps


class Addressee(NamedTuple):
    """Whom a message is for and what is known of them; `member` is the same id where it is one of a list."""

    id: str | None
    profile: Mapping[str, Any]
    member: str | None = None


class Letter:
    """What one attempt of a step says, its definition's expressions resolved against the run.

    The message reads the run's `data` with the step's laid over them, and a `profile` with the step's laid over it:
    one that is brought along the run's, a message template, which is filled in for each, the addressee's.
    DeliveryError (not retryable) for a template that does not exist.
    """

    def __init__(self, step: Send, attempt: Attempt) -> None:
        self.attempt, self.step, self.begun = attempt, step, time.monotonic()
        self.warnings: list[FieldWarning] = []
        resolved = expressions.resolve_tree(
            step.worded, attempt.scope, owner=attempt.owner, warnings=self.warnings
        )
        self.to: Mapping[str, Any] | None = resolved.get("to")
        self.profile = _members(resolved.get("profile"))
        self.override = _members(resolved.get("override"))
        data = _laid_over(_members(attempt.scope.data), _members(resolved.get("data")))
        self.scope: Scope = attempt.scope._replace(data=data)
        self.template = self._template() if step.template is not None else None
        profile = _laid_over(attempt.scope.profile, self.profile)
        self.inline = self._filled_in(Wording(step.title, step.body), profile)

    def _template(self) -> MessageTemplate:
        key = expressions.resolve_token(
            self.step.template or "", self.attempt.scope, owner=self.attempt.owner
        )
        found: MessageTemplate | None = self.attempt.look_up(About.TEMPLATE, key)
        if found is None:
            said = f"there is no message template “{key[:100]}”"
            raise DeliveryError(said, retryable=False, detail={"code": "unknown_template"})
        return found

    def deliver(self, addressee: Addressee) -> dict[str, Any]:
        """Delivers to one addressee; what the run records of it. Raises DeliveryError, and ExpressionError for a
        template that cannot be filled in."""
        profile = _laid_over(_members(addressee.profile), self.profile)
        to = self._address(addressee, profile)
        channel = channels.channel_of(channel=self.step.channel, to=to)
        wording = self._wording(channel, addressee.id, profile)
        attempt = self.attempt
        message = Message(
            run=attempt.run, step=self.step.name, recipient=addressee.id, member=addressee.member,
            title=wording.title, body=wording.body, to=to, at=self._now(),
            template=self.template.key if self.template is not None else None,
            secrets=self._secrets(channel, to),
        )  # fmt: skip
        try:
            output = channels.deliver(channel, message, deadline=attempt.deadline)
        except DeliveryError as error:
            error.detail = {"channel": channel, **channels.shown(channel, to), **error.detail}
            raise
        if self.template is None and channel == "console":  # whose output is the message, as long as it is
            return output
        said = {name: text[:RECORDED] for name, text in wording._asdict().items()}
        template = {"template": self.template.key} if self.template is not None else {}
        return {**output, "recipient": addressee.id, **template, **said}

    def _now(self) -> datetime:
        """The run's clock: a list may take long."""
        return self.attempt.scope.now + timedelta(seconds=time.monotonic() - self.begun)

    def _address(self, addressee: Addressee, profile: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """The message's own; else the profile's for the channel that is named, or the first that it has. A message
        that is brought along and names neither a channel nor whom it is for is recorded only."""
        step = self.step
        is_note = self.template is None and addressee.member is None and step.to is None
        if self.to or (is_note and step.channel is None):
            return self.to
        named = [step.channel] if step.channel else ADDRESSED
        known = ((name, address) for name in named if (address := _known(profile, name)) is not None)
        return next(({name: address} for name, address in known), None)

    def _wording(self, channel: str, recipient: str | None, profile: Mapping[str, Any]) -> Wording:
        wording = self.inline
        if self.template is not None:
            wording = self._filled_in(self.template.wording(channel), profile, recipient=recipient)
        return wording._replace(**{name: expressions.as_text(said) for name, said in self.override.items()})

    def _filled_in(self, wording: Wording, profile: Mapping[str, Any], **refs: Any) -> Wording:
        """Read against the run, this profile and these refs beside the run's."""
        scope = self.scope._replace(profile=profile, refs={**self.scope.refs, **refs})
        return wording.filled_in(scope, owner=self.attempt.owner, warnings=self.warnings)

    def _secrets(self, channel: str, to: Mapping[str, Any] | None) -> list[str]:
        """What a webhook is signed with; the URL of an Apprise service."""
        if channel == "webhook":
            kept = kept_signing_secrets(self.attempt.environment_id)
            sealed = self.attempt.look_up(About.SIGNING) if kept is None else kept
            return [_unsealed(secret) for secret in sealed]
        if channel == "apprise":
            return [self._service((to or {})["apprise"])]
        return []

    def _service(self, named: Any) -> str:
        """The Apprise URL: as it stands, or of the provider that is named, with the target behind it."""
        provider, target = (
            (named.get("provider"), named.get("target")) if isinstance(named, dict) else (named, None)
        )
        if not isinstance(provider, str) or not (target is None or isinstance(target, str | int)):
            raise DeliveryError('"to.apprise" must be a provider or an Apprise URL', retryable=False)
        url: str | None = provider
        if "://" not in provider:
            is_key = re.fullmatch(MESSAGE_KEY, provider) is not None
            sealed = self.attempt.look_up(About.PROVIDER, provider) if is_key else None
            url = None if sealed is None else _unsealed(sealed)
        if url is None:
            raise DeliveryError(f"there is no provider “{provider[:100]}”", retryable=False)
        return url if target is None else apprise.with_target(url, expressions.as_text(target))


def _unsealed(sealed: str) -> str:
    try:
        return unseal(sealed)
    except Unsealable as error:
        raise DeliveryError(error.message, retryable=True) from error


def _known(profile: Mapping[str, Any], channel: str) -> Any:
    """The address in a profile: `email`, `webhook` (a URL, or {"url", "headers"}), `apprise`."""
    address = profile.get(channel) or None
    return {"url": address} if channel == "webhook" and isinstance(address, str) else address


def _laid_over(under: Mapping[str, Any], over: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**under, **over} if over else under


def _members(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
