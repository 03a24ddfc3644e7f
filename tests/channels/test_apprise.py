"""The channel through Apprise: which services it reaches, what it refuses, and what it records."""

from __future__ import annotations

import inspect
import json
import re
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from automations.channels import DeliveryError, Message, apprise, deliver
from tests.channels.sinks import HttpSink, reply

DISCORD = "discord://4174/Tok-en_1"
TEAMS = "workflows://prod-17.westus.logic.azure.com:443/643/signature/"


@pytest.fixture
def discord(http: HttpSink, monkeypatch: pytest.MonkeyPatch) -> HttpSink:
    """The sink in the place of Discord, whose address is a constant of Apprise's."""
    from apprise.plugins.discord import NotifyDiscord

    monkeypatch.setattr(NotifyDiscord, "notify_url", http.url("/api"))
    http.on("/api/4174/Tok-en_1", reply(204))
    return http


def send(message: Message, *, seconds: float = 5.0) -> dict[str, Any]:
    return deliver("apprise", message, deadline=time.monotonic() + seconds)


def refusal(call: Callable[[], object]) -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        call()
    return caught.value


def test_a_message_is_handed_to_the_service(discord: HttpSink, message: Callable[..., Message]) -> None:
    output = send(message({"apprise": "team-chat"}, secrets=[DISCORD]))
    assert output == {"channel": "apprise", "service": "discord", "to": "team-chat"}
    (received,) = discord.received
    assert received.path == "/api/4174/Tok-en_1"
    assert "Text" in json.loads(received.body)["content"]


def test_a_url_is_not_recorded(discord: HttpSink, message: Callable[..., Message]) -> None:
    assert send(message({"apprise": DISCORD}, secrets=[DISCORD]))["to"] == "discord://"
    assert DISCORD not in repr(message({"apprise": "k"}, secrets=[DISCORD]))


def test_what_the_service_answered_comes_with_the_failure(
    discord: HttpSink, message: Callable[..., Message]
) -> None:
    discord.on("/api/4174/Tok-en_1", reply(403, b"no"))
    error = refusal(lambda: send(message({"apprise": "k"}, secrets=[DISCORD])))
    assert (error.message, error.retryable) == ("discord did not take the message", True)
    assert "403" in error.detail["answer"]
    assert "Tok-en_1" not in error.detail["answer"]


@pytest.mark.parametrize("more", ["", "?redirect=yes"])
def test_a_redirect_is_not_followed(discord: HttpSink, message: Callable[..., Message], more: str) -> None:
    discord.on("/api/4174/Tok-en_1", reply(302, Location=discord.url("/inside")))
    refusal(lambda: send(message({"apprise": "k"}, secrets=[DISCORD + more])))
    assert [received.path for received in discord.received] == ["/api/4174/Tok-en_1"]


def test_a_service_that_hangs_is_given_up(discord: HttpSink, message: Callable[..., Message]) -> None:
    def hang(_: object) -> None:
        discord.stopping.wait(20)

    discord.on("/api/4174/Tok-en_1", hang)
    begun = time.monotonic()
    url = DISCORD + "?rto=60&cto=60&retry=3"
    refusal(lambda: send(message({"apprise": "k"}, secrets=[url]), seconds=0.5))
    assert 0.3 < time.monotonic() - begun < 3


@pytest.fixture
def telegram(http: HttpSink, monkeypatch: pytest.MonkeyPatch) -> HttpSink:
    """The sink in the place of Telegram."""
    from apprise.plugins.telegram import NotifyTelegram

    monkeypatch.setattr(NotifyTelegram, "notify_url", http.url("/bot"))
    return http


def test_no_request_begins_after_the_deadline(telegram: HttpSink, message: Callable[..., Message]) -> None:
    begun: list[float] = []

    def slow(request: Any) -> None:
        begun.append(time.monotonic())
        telegram.stopping.wait(0.2)
        reply(200, b'{"ok": true}')(request)

    token = "123456789:abcdefghijklmnopqrstuvwxyzABCDEFGHI"
    telegram.on(f"/bot{token}/sendMessage", slow)
    url = f"tgram://{token}/" + "/".join(str(1000 + index) for index in range(8))
    deadline = time.monotonic() + 0.9
    error = refusal(lambda: deliver("apprise", message({"apprise": "k"}, secrets=[url]), deadline=deadline))
    assert (error.message, error.retryable) == ("the time was up before every request was made", True)
    assert 2 <= len(begun) <= 5
    assert max(begun) < deadline + 0.2


def test_apprise_s_own_pauses_between_targets_are_left_out(
    http: HttpSink, message: Callable[..., Message], monkeypatch: pytest.MonkeyPatch
) -> None:
    from apprise.plugins.messagebird import NotifyMessageBird

    monkeypatch.setattr(NotifyMessageBird, "notify_url", http.url("/messages"))
    url = f"msgbird://{'a' * 25}/15551234567/15551230001/15551230002/15551230003"
    begun = time.monotonic()
    assert send(message({"apprise": "sms"}, secrets=[url]))["service"] == "msgbird"
    assert (len(http.received), time.monotonic() - begun < 3) == (3, True)


def test_a_pause_that_a_service_asked_for_is_made_unless_the_deadline_passes_meanwhile() -> None:
    service = apprise.opened(DISCORD)
    begun = time.monotonic()
    apprise._keep_to(begun + 2, service)
    service.throttle(wait=0.2)
    assert time.monotonic() - begun >= 0.2
    assert service.socket_connect_timeout <= 1.8 / 4
    assert service.socket_read_timeout <= 1.8
    assert refusal(lambda: service.throttle(wait=2)).retryable is True


@pytest.mark.parametrize("service", sorted(apprise.SERVICES))
def test_every_service_announces_its_requests_and_keeps_to_the_times_it_is_given(service: str) -> None:
    """What `_keep_to` relies on, told by the source of each: a request has our times, and one that sends something
    comes after `throttle`."""
    from apprise.manager_plugins import NotificationManager

    manager: Any = NotificationManager
    source = inspect.getsource(inspect.getmodule(manager()[service]) or sys)
    requests = re.findall(r"= (?:requests\.(?:get|post|request)|fn|method)\(", source)
    unannounced = {"tgram": 1}.get(service, 0)  # detect_bot_owner, which asks who talked to the bot
    assert len(requests) > 0
    assert source.count("timeout=self.request_timeout") == len(requests)
    assert source.count("self.throttle(") == len(requests) - unannounced


@pytest.mark.parametrize("service", sorted(apprise.SERVICES))
def test_apprise_knows_every_service_of_the_list(service: str) -> None:
    from apprise.manager_plugins import NotificationManager

    manager: Any = NotificationManager
    plugin = manager()[service]
    hosted = {"workflow", "workflows"}  # named on purpose: their hosts are checked instead
    templates = " ".join(plugin.templates)
    assert service in hosted or "{host}" not in templates or service in ("mailgun",)


@pytest.mark.parametrize(
    "url",
    [
        "", "discord", "://x", "json://example.com/", "jsons://example.com/", "xml://example.com/",
        "form://example.com/", "mailto://u:p@example.com", "syslog://", "file:///etc/passwd", "https://example.com/",
        "http://10.0.0.1/", "https://discord.com/api/webhooks/1/2", "gotify://example.com/t", "ntfy://example.com/t",
        "mmost://example.com/t", "rocket://u:p@example.com", "dbus://", "apprise://example.com/t",
        " json://discord://1/2", "workflows+x://example.com",
    ],
)  # fmt: skip
def test_what_names_a_host_of_its_own_is_refused(url: str) -> None:
    error = refusal(lambda: apprise.opened(url))
    assert error.message.startswith(
        "an Apprise URL must be of one of these services, whose hosts are fixed: atalk,"
    )
    assert error.retryable is False


@pytest.mark.parametrize(
    "url",
    [
        DISCORD + "?template=/etc/passwd", DISCORD + "?Template=x", DISCORD + "?a=1&%74emplate=x",
        DISCORD + "?a=1;template=x", DISCORD + "?+template=x", DISCORD + "?a?template=x",
        TEAMS + "?template=http://10.0.0.1/",
    ],
)  # fmt: skip
def test_a_url_that_would_have_a_file_read_is_refused(url: str) -> None:
    assert refusal(lambda: apprise.opened(url)).message.startswith(
        "an Apprise URL with “template” reads a file"
    )


def test_teams_is_reached_at_microsoft_s_hosts_alone() -> None:
    assert apprise.opened(TEAMS).host == "prod-17.westus.logic.azure.com"
    for host in (
        "10.0.0.1", "example.com", "logic.azure.com.example.com", "prod.logic.azure.com@10.0.0.1",
        "prod.logic.azure.com:8080", "10.0.0.1#.logic.azure.com", "10.0.0.1%2F.logic.azure.com",
    ):  # fmt: skip
        error = refusal(partial(apprise.opened, f"workflows://{host}/643/signature/"))
        assert error.message == "a URL for Microsoft Teams must lead to one of Microsoft's hosts"


def test_a_url_that_its_service_does_not_understand_is_refused_without_being_shown() -> None:
    error = refusal(lambda: apprise.opened("slack://secret"))
    assert error.message == "this is not a URL that the service slack understands"


def test_a_target_is_one_more_part_of_the_path() -> None:
    assert apprise.with_target("twilio://a:b@1/?x=1", "+49301") == "twilio://a:b@1/%2B49301?x=1"
    assert apprise.with_target("slack://a/b/c", "#ops") == "slack://a/b/c/%23ops"
    for target in ("", "a/b", "a?b", "a b", "a,b", "a&b", "é", "x" * 201, "a\n"):
        assert refusal(partial(apprise.with_target, DISCORD, target)).retryable is False


def test_without_apprise_it_says_how_to_have_it(
    message: Callable[..., Message], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    error = refusal(lambda: send(message({"apprise": "k"}, secrets=[DISCORD])))
    assert error.message == "Apprise is not installed here; it is an extra: pip install 'apprise>=2.2,<3'"
    assert error.retryable is False


def test_without_a_url_nothing_is_sent(message: Callable[..., Message]) -> None:
    error = refusal(lambda: send(message({"apprise": "k"})))
    assert error.message == 'the channel "apprise" needs a provider or an Apprise URL'
