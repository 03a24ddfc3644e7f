"""Many runs called off from the browser: the preview, exactly what it showed, and what is told afterwards."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest

from automations import cancellation as cancelling
from automations import scheduled, undo
from automations.cancellation import CancelRequest
from automations.models import Cancellation, CancellationFilter, Origin, Run, database_now
from logs import bulk_forms
from logs.views import bulk
from tests.pages import Element, read
from tests.people import client
from tests.scenes import DELAY, SEND, archive_all, cancel_runs, invoke, production, publish, run_of, start

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}
MANY = "\n".join(map(str, range(1001)))


def preview(**fields: str) -> Element:
    return read(client("operator").get(f"/bulk/new/?{urlencode(fields)}"))


def confirm(page: Element, **more: str) -> Any:
    """What pressing the button of that preview is answered."""
    form = page.one("#confirm")
    fields = {field["name"]: field["value"] for field in form.all("input") if field.has("value")}
    return client("operator").post("/bulk/new/", {**fields, **more})


def status_of(*runs: Run) -> list[str]:
    found = Run.objects.with_state().in_bulk([run.pk for run in runs])
    return [found[run.pk].public_status for run in runs]


def runs(number: int, **given: Any) -> list[Run]:
    recipients = [f"user-{index}" for index in range(number)]
    accepted = invoke(DELAY, SEND, recipients=recipients, **given)
    return list(accepted.invocation.runs.order_by("pk"))


def test_the_preview_says_how_many_of_what_and_which() -> None:
    publish("onboarding", {"steps": [DELAY, SEND]}, name="Onboarding")
    runs(2, token="t", source="api/a")
    invoke(definition=None, automation="onboarding", source="api/a", recipients=["ana"])
    page = preview(source="api/a").one("#plan")
    assert page.one("h2").text == "This calls off 3 runs"
    assert page.one(".prospects").texts("li") == ["2 of ad hoc steps", "1 of onboarding"]
    assert page.one("#standings").text == "3 waiting"
    invoke(SEND, source="api/a")
    start()
    assert preview(source="api/a").one("#standings").text == "1 running, 3 waiting"
    assert [line.split(" ", 1)[1] for line in page.one(".recent").texts("li")] == [
        "Onboarding · ana", "Ad hoc steps · user-1 · t", "Ad hoc steps · user-0 · t",
    ]  # fmt: skip


def test_confirming_calls_off_what_was_shown_and_no_run_invoked_since() -> None:
    shown = runs(2, token="t")
    page = preview(token="t")
    later = run_of(invoke(DELAY, SEND, token="t"))
    answer = confirm(page, reason="wrong audience")
    row = Cancellation.objects.get()
    assert (answer.status_code, answer["Location"]) == (302, f"/bulk/{row.pk}/")
    assert status_of(*shown, later) == ["cancelled", "cancelled", "waiting"]
    assert (row.actor, row.origin, row.reason, row.cancelled) == ("user/otto", "browser", "wrong audience", 2)


def test_the_form_leads_to_the_address_of_its_preview() -> None:
    runs(2, token="a b", source="ö & co")
    operator = client("operator")
    assert read(operator.get("/bulk/new/")).one("#asked")["method"] == "post"
    answer = operator.post("/bulk/new/", {"token": "a b", "source": "ö & co", "key": ""})
    assert (answer.status_code, answer["Location"]) == (302, "/bulk/new/?token=a+b&source=%C3%B6+%26+co")
    assert read(operator.get(answer["Location"])).one("#plan-title").text == "This calls off 2 runs"
    nothing = operator.post("/bulk/new/", {"token": ""})
    assert (nothing.status_code, read(nothing).one("#filter-errors").text) == (
        422, "Say which runs: fill in at least one field.",
    )  # fmt: skip


def test_a_list_too_long_for_an_address_is_previewed_and_confirmed() -> None:
    shown, spared = runs(2), run_of(invoke(DELAY, SEND, recipients=["nobody's"]))
    pasted = "\r\n".join(
        ["user-0", *(f"{index:08}-0000-7000-8000-000000000000" for index in range(998)), "user-1"]
    )
    answer = client("operator").post("/bulk/new/", {"recipients": pasted})
    page = read(answer)
    assert (answer.status_code, page.one("#plan-title").text) == (200, "This calls off 2 runs")
    assert len(page.one("#recipients").text.split()) == 1_000
    assert confirm(page).status_code == 302
    assert status_of(*shown, spared) == ["cancelled", "cancelled", "waiting"]
    refused = client("operator").post("/bulk/new/", {"recipients": f"{pasted}\none more"})
    assert refused.status_code == 422
    assert read(refused).one("#recipients-errors").text == "There may be at most 1,000; these are 1,001."
    labels = [label.text for label in page.one("#asked").all("label")]
    assert "Recipients, one on a line, 1,000 at most" in labels


def test_ticked_runs_are_called_off_and_no_others() -> None:
    first, second, third = runs(3, token="t")
    asked = f"/bulk/new/?run_ids={first.uid}&run_ids={third.uid}"
    page = read(client("operator").get(asked))
    assert page.one("#plan").one("h2").text == "This calls off 2 runs"
    assert confirm(page).status_code == 302
    assert status_of(first, second, third) == ["cancelled", "waiting", "cancelled"]


def test_more_than_a_hundred_are_confirmed_by_their_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_forms, "TYPED_ABOVE", 2)
    shown = runs(3, token="t")
    page = preview(token="t")
    for typed in ("", "2", "three"):
        refused = confirm(page, count=typed)
        assert refused.status_code == 422
        assert (
            read(refused).one("#count-errors").text == "Type 3 to confirm that so many runs are called off."
        )
    assert status_of(*shown) == ["waiting"] * 3
    assert confirm(page, count="3").status_code == 302
    assert status_of(*shown) == ["cancelled"] * 3


def test_more_than_can_be_counted_at_once_are_counted_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "MANY", 2)
    runs(2, token="t")
    assert preview(token="t").one("#plan-title").text == "This calls off 2 runs"
    runs(1, token="t", source="ö & co")
    page = preview(token="t")
    assert page.one("#plan-title").text == "This calls off 2+ runs (counting…)"
    assert page.all("#confirm") == []
    address = page.one("#count-now")["href"]
    assert page.one("#plan")["hx-get"] == address
    operator = client("operator")
    part = read(operator.get(address, headers=HTMX))
    assert (part.one("#plan-title").text, part.all("#asked")) == ("This calls off 3 runs", [])
    again = read(operator.get("/bulk/new/?token=t", headers=HTMX))
    assert (again.one("#count-now")["href"], len(again.all("#asked"))) == (address, 1)
    whole = read(operator.get(address))
    assert (whole.one("#plan-title").text, whole.one("#token")["value"]) == ("This calls off 3 runs", "t")
    assert confirm(whole).status_code == 302
    assert Cancellation.objects.get().cancelled == 3


def test_all_that_was_asked_for_is_counted_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "MANY", 0)
    first, second, _ = runs(3, source="ö & co")
    fields = {"run_ids": f"{first.uid}\n{second.uid}", "source": "ö & co"}
    address = preview(**fields).one("#count-now")["href"]
    assert read(client("operator").get(address)).one("#plan-title").text == "This calls off 2 runs"


def test_an_automation_that_is_gone_when_its_runs_are_counted_leads_to_what_is_wrong() -> None:
    answer = client("operator").get("/bulk/new/?automation=gone&counted=all", headers=HTMX)
    assert (answer.status_code, answer["HX-Redirect"]) == (200, "/bulk/new/?automation=gone&counted=all")
    whole = client("operator").get("/bulk/new/?automation=gone&counted=all")
    assert whole.status_code == 422
    assert read(whole).one("#automation-errors").text == "there is no automation “gone”"


def test_a_plan_that_was_tampered_with_or_is_old_shows_a_new_preview() -> None:
    shown = runs(1, token="t")
    page = preview(token="t")
    answer = confirm(page, plan="x")
    assert answer.status_code == 412
    said = "This is not a plan that a dry run gave. Look at the new preview."
    assert read(answer).one("#refusal").text == said
    assert read(answer).one("#plan").one("h2").text == "This calls off 1 run"
    assert status_of(*shown) == ["waiting"]


@pytest.mark.parametrize(
    ("fields", "name", "said"),
    [
        ({"run_ids": "7"}, "run_ids", "A run's id is a UUID."),
        ({"invocation": "7"}, "invocation", "An invocation's id is a UUID."),
        ({"automation": "nobody"}, "automation", "there is no automation “nobody”"),
        ({"automation": "No Key"}, "automation", "This is not an automation's key."),
        ({"due_before": "tomorrow"}, "due_before", "Write a date and a time, such as 2026-11-20T14:00."),
        ({"token": "x" * 513}, "token", "Ensure this value has at most 512 characters (it has 513)."),
        (
            {"recipients": MANY},
            "recipients",
            "There may be at most 1,000; these are 1,001.",
        ),
        ({"token": " "}, "filter", "Say which runs: fill in at least one field."),
        ({"token": "a\0b"}, "token", "Null characters are not allowed."),
    ],
)
def test_what_is_wrong_is_said_at_its_field(fields: dict[str, str], name: str, said: str) -> None:
    answer = client("operator").get(f"/bulk/new/?{urlencode(fields)}")
    assert answer.status_code == 422
    assert read(answer).one(f"#{name}-errors").text == said
    assert read(answer).all("#plan") == []


def test_a_filter_without_hits_has_nothing_to_confirm() -> None:
    page = preview(token="nothing")
    assert page.one("#plan").one("h2").text == "No unfinished run matches"
    assert page.all("#confirm") == []


def test_moments_are_read_in_the_zone_of_the_page() -> None:
    browser = client("operator")
    browser.cookies["zone"] = "Asia/Tokyo"
    run = run_of(invoke(DELAY, SEND))
    written = (run.created_at + timedelta(hours=9)).replace(microsecond=0).strftime("%Y-%m-%dT%H:%M:%S")
    page = read(browser.get(f"/bulk/new/?created_after={written}"))
    labels = [label.text for label in page.one("#asked").all("label")]
    assert labels[-4:] == [
        f"{name} (JST)" for name in ("Started from", "Started until", "Due from", "Due before")
    ]
    assert page.one("#plan").one("h2").text == "This calls off 1 run"


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/New_York"])
def test_a_moment_beyond_the_calendar_is_one_within_it(zone: str) -> None:
    browser = client("operator")
    browser.cookies["zone"] = zone
    run = run_of(invoke(DELAY, SEND))
    for asked in ("created_after=0001-01-01T00:00", "due_before=9999-12-31T23:59"):
        page = read(browser.get(f"/bulk/new/?{asked}"))
        assert page.one("#plan").one("h2").text == "This calls off 1 run"
    address = f"/logs/{run.uid}/time/"
    moved = [browser.post(address, {"due_at": f"{day}T23:59"}) for day in ("9999-12-31", "0001-01-01")]
    assert [answer.status_code for answer in moved] == [422, 422]


def test_the_page_of_a_cancellation_follows_the_steps_in_flight() -> None:
    run = run_of(invoke(SEND, token="t"))
    start()
    row = cancel_runs(token="t")
    browser = client("viewer")
    page = read(browser.get(f"/bulk/{row.pk}/"))
    assert re.search(
        r"Step 1 Send of \w+…\w+ had started at [\d:.]+: it may still finish\.", page.one("#called-off").text
    )
    poll = page.one("#cancellation")["hx-get"]
    assert browser.get(poll, headers=HTMX).status_code == 204
    again, quiet = cancel_runs(run_ids=(run.uid,)), cancel_runs(token="nobody's")
    page = read(browser.get(f"/bulk/{again.pk}/"))
    assert "it may still finish" in page.one("#called-off").text
    assert page.one("#cancellation").has("hx-get")
    page = read(browser.get(f"/bulk/{quiet.pk}/"))
    assert page.one("#called-off").text == "No run was called off. No step was in flight."
    assert not page.one("#cancellation").has("hx-get")


def test_a_step_in_flight_is_called_by_its_place_whatever_its_id() -> None:
    run_of(invoke({"action": "cancel", "cancellation_token": "none"}, {**SEND, "id": "welcome"}, token="t"))
    start()
    row = cancel_runs(token="t")
    told = read(client("viewer").get(f"/bulk/{row.pk}/")).one("#called-off").one("li").text
    assert told.startswith("Step 2 Send of ")


def test_a_bar_says_how_far_it_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cancelling, "AT_ONCE", 2)
    runs(5, token="t")
    row = cancel_runs(token="t")
    browser = client("viewer")
    page = read(browser.get(f"/bulk/{row.pk}/"))
    assert "In force; the runs are being counted." in page.one("#called-off").text
    assert page.one("#written")["value"] == "0"
    poll = page.one("#cancellation")["hx-get"]
    archive_all()
    page = read(browser.get(poll, headers=HTMX))
    assert "Called off 5 runs." in page.one("#called-off").text
    assert not page.one("#cancellation").has("hx-get")


@pytest.mark.parametrize("archived", [False, True])
def test_the_runs_of_a_cancellation_are_listed(archived: bool) -> None:
    mine, other = runs(3, token="t"), runs(1, token="u")
    row, _ = cancel_runs(token="t"), cancel_runs(token="u")
    if archived:
        archive_all()
    listed = read(client("viewer").get(f"/bulk/{row.pk}/")).one("#its-runs")["href"]
    page = read(client("viewer").get(listed))
    assert {line["id"] for line in page.all("[data-row]")} == {f"row-{run.uid}" for run in mine}
    assert other[0].uid not in {run.uid for run in mine}
    assert page.one("#to-cancellation")["href"] == f"/bulk/{row.pk}/"


def test_history_tells_every_request_also_one_that_matched_nothing() -> None:
    runs(2, token="t")
    cancel_runs(token="t", reason="asked to")
    cancel_runs(recipients=("nobody", "no one"))
    page = read(client("viewer").get("/bulk/"))
    assert [line.texts("td")[:5] for line in page.all("[data-row]")] == [
        ["2 recipients", "ana API", "0", "none", "Done"], ["token t asked to", "ana API", "2", "none", "Done"],
    ]  # fmt: skip
    assert page.all("#new") == []
    oldest = Cancellation.objects.order_by("pk").first()
    assert oldest is not None
    assert (
        read(client("viewer").get(f"/bulk/?before={oldest.pk}")).one(".empty").text
        == "No older cancellations."
    )
    assert client("viewer").get("/bulk/?before=x").status_code == 404


def test_one_for_later_says_when_and_one_withdrawn_that_it_is() -> None:
    scope = CancellationFilter(token="t")
    request = CancelRequest(environment=production(), filter=scope, actor="user/ana", origin=Origin.API)
    year = database_now().year + 2
    at = datetime(year, 1, 1, 9, tzinfo=UTC)
    later, withdrawn = (scheduled.schedule(request, at=at)[0] for _ in range(2))
    undo.undo(environment=production(), pk=withdrawn.pk, actor="user/otto")
    viewer = client("viewer")
    assert [line.texts("td")[2:] for line in read(viewer.get("/bulk/")).all("[data-row]")] == [
        ["none", "", "Withdrawn by otto", f"09:00:00 1 Jan {year}, UTC"],
        [f"for 1 Jan {year}, UTC", "", "Scheduled", f"09:00:00 1 Jan {year}, UTC"],
    ]
    told = read(viewer.get(f"/bulk/{later.pk}/"))
    assert told.one("#called-off").text == f"It will be carried out 1 Jan {year} 09:00:00.000 UTC."
    assert "Had finished before" not in told.texts("dt")
    assert told.one("#cancellation").has("hx-get")
    told = read(viewer.get(f"/bulk/{withdrawn.pk}/"))
    assert re.fullmatch(r"Withdrawn .+ UTC by otto\. It will not happen\.", told.one("#called-off").text)
    assert not told.one("#cancellation").has("hx-get")


def test_of_many_runs_their_number_is_told_in_groups_of_three() -> None:
    runs(1, token="t")
    row = cancel_runs(token="t")
    Cancellation.objects.filter(pk=row.pk).update(cancelled=12_345, already_finished=6_789)
    viewer = client("viewer")
    assert read(viewer.get("/bulk/")).one(f"#row-{row.pk}").one(".number").text == "12,345"
    told = read(viewer.get(f"/bulk/{row.pk}/"))
    assert "Called off 12,345 runs." in told.one("#called-off").text
    assert "6,789" in told.one(".summary").texts("dd")
    assert "12,345 runs" in read(viewer.get("/")).one("#overview").text


def test_history_takes_as_many_statements_however_long_it_is(django_assert_max_num_queries: Any) -> None:
    for index in range(12):
        runs(1, token=f"t{index}")
        start(room=1)
        cancel_runs(token=f"t{index}")
    browser = client("viewer")
    browser.get("/bulk/")
    with django_assert_max_num_queries(8):
        assert len(read(browser.get("/bulk/")).all("[data-row]")) == 12


def test_a_cancellation_of_another_environment_is_not_there() -> None:
    row = cancel_runs(token="t")
    Cancellation.objects.update(
        environment=production().__class__.objects.exclude(pk=production().pk).first()
    )
    assert client("admin").get(f"/bulk/{row.pk}/").status_code == 404
    assert client("admin").get(f"/logs/?cancellation={row.pk}").status_code == 200


def test_an_undo_lets_its_runs_go_on() -> None:
    shown = runs(2, token="t")
    row = cancel_runs(token="t", undo_for=timedelta(minutes=1))
    browser = client("operator")
    page = read(browser.get(f"/bulk/{row.pk}/"))
    assert [option["value"] for option in page.one("#overdue").all("option")] == ["fire_now", "shift", "skip"]
    answer = browser.post(f"/bulk/{row.pk}/undo/", {"overdue": "shift"})
    assert (answer.status_code, answer["Location"]) == (302, f"/bulk/{row.pk}/")
    assert status_of(*shown) == ["waiting"] * 2
    page = read(browser.get(f"/bulk/{row.pk}/"))
    assert re.search(r"Undone .* by otto\. 2 runs go on\.", page.one("#undone").text)
    assert page.all("#undo") == []
    row.refresh_from_db()
    assert (row.undone_by, row.overdue) == ("user/otto", "shift")
    browser.post(f"/bulk/{row.pk}/undo/")
    assert "been undone already" in read(browser.get(f"/bulk/{row.pk}/")).one("#toast").text


def test_the_toast_of_a_cancel_offers_to_undo_it() -> None:
    (run,) = runs(1, token="t")
    browser = client("operator")
    answer = browser.post(f"/logs/{run.uid}/cancel/", {"on": "list"}, headers=HTMX)
    row = Cancellation.objects.get()
    assert read(answer).one("form")["action"] == f"/bulk/{row.pk}/undo/"
    again = browser.post(f"/logs/{run.uid}/cancel/", {"on": "list"}, headers=HTMX)
    assert read(again).all("form") == []
    browser.post(f"/bulk/{row.pk}/undo/")
    assert status_of(run) == ["waiting"]


def test_the_preview_leads_to_its_part_of_the_page() -> None:
    runs(1, token="t")
    page = read(client("operator").get("/bulk/new/?token=t"))
    assert (page.one("#asked")["action"], page.one("#plan-title").text) == (
        "/bulk/new/#plan", "This calls off 1 run",
    )  # fmt: skip
