"""The filters above the list of runs say what they filter by."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest

from tests.pages import read
from tests.people import client
from tests.scenes import DELAY, invoke, publish, run_of

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}


def test_a_span_of_ones_own_is_said_where_a_preset_is_chosen_also_after_a_swap() -> None:
    run = run_of(invoke(DELAY))
    query = "?from=2026-01-02T03:04&to=2099-01-02T03:04"
    for headers in ({}, HTMX):
        shown = read(client("viewer").get(f"/logs/{query}", headers=headers))
        (chosen,) = [option for option in shown.all("option") if option.has("selected")]
        assert chosen["value"] == "2026-01-02T03:04Z/2099-01-02T03:04Z"
        assert chosen.text.endswith("03:04 to Fri 2 Jan 2099 03:04 UTC")
        assert [row["id"] for row in shown.all("[data-row]")] == [f"row-{run.uid}"]
    assert [part["hx-swap-oob"] for part in shown.all("div") if part.has("hx-swap-oob")] == [
        "innerHTML:#started"
    ]
    polled = read(client("viewer").get("/logs/?tag=old", headers=HTMX))
    assert [part for part in polled.all("div") if part.has("hx-swap-oob")] == []


@pytest.mark.parametrize(
    "query",
    ["?from=2026-02-02T00:00&to=2026-01-01T00:00", "?from=2026-01-01T00:00&to=2026-01-01T00:00", "?to=soon"],
)
def test_a_span_that_is_none_is_said_to_be_none_and_finds_no_run(query: str) -> None:
    invoke(DELAY)
    answer = client("viewer").get(f"/logs/{query}", headers=HTMX)
    shown = read(answer)
    said = "Started between: write two moments, the second of which is later."
    assert (shown.one(".empty").one("strong").text, shown.all("[data-row]")) == (said, [])
    kept = read(client("viewer").get(answer["HX-Replace-Url"]))
    assert kept.one(".empty").one("strong").text == said
    assert urlencode({"to": kept.one("#to")["value"]}) in query.replace(":", "%3A")
    carried = read(client("operator").get(f"/bulk/new/{query}")).one("#left-out").text
    assert carried.startswith("Left out: a span that is none;")


def test_a_span_in_force_stands_in_its_fields_in_the_zone_of_the_page() -> None:
    browser = client("viewer")
    browser.cookies["zone"] = "Asia/Tokyo"
    for started, ends in (
        ("2026-11-20T15:00Z/2026-11-21T16:30Z", ("2026-11-21T00:00", "2026-11-22T01:30")),
        ("2000-01-01T00:00Z/2026-11-21T16:30Z", ("", "2026-11-22T01:30")),
        ("2026-11-20T15:00Z/2100-01-01T00:00Z", ("2026-11-21T00:00", "")),
        ("1h", ("", "")),
    ):
        shown = read(browser.get(f"/logs/?{urlencode({'started': started})}"))
        assert (shown.one("#from")["value"], shown.one("#to")["value"]) == ends
        assert shown.one("#between").has("open") == (started != "1h")
        if started != "1h":
            sent = urlencode({"started": started, "from": ends[0], "to": ends[1]})
            again = browser.get(f"/logs/?{sent}", headers=HTMX)
            assert again["HX-Replace-Url"] == f"/logs/?{urlencode({'started': started})}"


def test_what_was_no_span_is_shown_where_it_was_written() -> None:
    shown = read(client("viewer").get("/logs/?from=2026-11-21T00:00&to=2026-11-20T00:00"))
    assert (shown.one("#between").has("open"), shown.one("#from")["value"]) == (True, "2026-11-21T00:00")


def test_an_automation_that_is_none_stands_in_the_select_that_filters_by_it() -> None:
    publish("onboarding", {"steps": [DELAY]}, name="Onboarding")
    for query, said in (
        ("", "All"),
        ("?automation=onboarding", "Onboarding"),
        ("?automation=gone", "gone (there is none)"),
    ):
        options = read(client("viewer").get(f"/logs/{query}")).one("#automation").all("option")
        assert [option.text for option in options if option.has("selected")] == [said][bool(not query) :]
        assert len(options) == 2 + ("gone" in query)


def test_a_filter_that_there_is_not_is_said_and_the_chips_lead_out_of_it() -> None:
    invoke(DELAY)
    browser = client("viewer")
    odd = read(browser.get("/logs/?status=foo"))
    assert odd.one(".empty").text == "There is no status “foo”. Clear all filters"
    assert odd.one("#chip-waiting")["href"] == "/logs/?status=waiting"
    assert odd.one("#chip-all")["href"] == "/logs/"
    # Not what was counted in the odd one.
    assert read(browser.get("/logs/")).one("#chip-waiting").text == "Waiting 1"
    assert read(browser.get("/logs/?cursor=zz")).all("[data-row]") == []
