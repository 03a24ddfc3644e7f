"""Judges a finished chaos run from what the client was told, what the sink received and what the database holds."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, NamedTuple

from tests.chaos import holds
from tests.chaos.evidence import Entry, Evidence, entries
from tests.chaos.families import actions_of, beneath, escaped, misborn
from tests.chaos.figures import figures_of
from tests.chaos.undone import released, repeated, undone

UNLISTED = "unlisted effects after an acknowledged cancel"
FINAL = frozenset({"completed", "failed", "cancelled", "skipped"})
CALLED_OFF = frozenset({"cancelling", "cancelled"})
# What a live row may become; None is a row not yet, or no more, there.
TRANSITIONS = frozenset({
    (None, "waiting"), ("waiting", "running"), ("running", "waiting"), ("running", None),
    ("waiting", "cancelled"), ("waiting", "cancelling"), ("running", "cancelling"),
    ("cancelling", "cancelled"), ("cancelled", None),
})  # fmt: skip
# The same of a run whose cancel was undone.
UNDONE = frozenset({("cancelled", "waiting"), ("cancelling", "waiting"), ("cancelling", "running")})
SETTLE_GRACE = 5.0  # seconds beyond a step's hard deadline after which a lost attempt counts as settled
HELD = "held"  # key of the automation that the driver holds and enables
LATE_REQUEST = 30.0  # seconds within which the server carries out a request that its sender gave up
MOST_SENDS = 2  # in one attempt: a connection found closed is replaced once, under the same idempotency key


@dataclass(frozen=True, kw_only=True)
class Ack:
    """A cancel from the moment somebody knew of it: `listed` holds (run, step, attempt)."""

    t: float
    runs: frozenset[str]
    listed: frozenset[tuple[str, str, int]]
    settled: bool = False
    until: float = inf  # when somebody asked for it to be undone


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """`faults` must all be empty lists; `figures` are for people to read."""

    faults: Mapping[str, Sequence[Any]]
    figures: Mapping[str, Any]

    @property
    def counts(self) -> dict[str, int]:
        """How many of each kind of fault; 0 is right."""
        return {name: len(found) for name, found in self.faults.items()}

    @property
    def holds(self) -> bool:
        return not any(self.faults.values())


def check(evidence: Evidence) -> Verdict:
    """Whether the promise held, and the figures."""
    acks = [*_told(evidence), *_inferred(evidence)]
    after = list(_after_acks(evidence, acks))
    frozen = _freezes(evidence.history)
    within = [(ack, receipt) for ack, receipt in after if not _is_past_deadline(receipt, frozen)]
    listed = [receipt for ack, receipt in within if _attempt(receipt) in ack.listed]
    faults: dict[str, list[Any]] = {
        UNLISTED: [receipt for ack, receipt in within if _attempt(receipt) not in ack.listed],
        "effects after a settled acknowledgement": [receipt for ack, receipt in within if ack.settled],
        "effects while their automation was held": [
            receipt for receipt in _while_held(evidence) if not _is_past_deadline(receipt, frozen)
        ],
        "runs lost": list(_lost(evidence)),
        "forbidden changes of a state": list(_forbidden(evidence)),
        "cancelled runs not reported by exactly one cancellation": list(_misreported(evidence)),
        "runs that a cancel missed": list(_missed(evidence)),
        "steps in flight at a cancel, repeated after its undo": list(repeated(evidence)),
        "runs cancelled that the filter does not match": list(_strangers(evidence)),
        "runs that passed a hold": list(holds.escaped(evidence.history, evidence.runs, evidence.receipts)),
        "runs held wrongly": list(
            holds.wrongly_held(evidence.runs, evidence.cancellations, evidence.receipts)
        ),
        "duplicates with another idempotency key": list(_other_keys(evidence.receipts)),
        "steps out of order": list(_out_of_order(evidence)),
        "children not born once": list(misborn(evidence.runs, let_go=released(evidence))),
        "effects of unknown runs": list(_unknown(evidence)),
        "attempts that sent more than twice": list(_too_often(evidence.receipts)),
        "requests refused": [entry for entry in evidence.history if entry["phase"] == "refused"],
    }
    return Verdict(
        faults=faults, figures=figures_of(evidence, listed=len(listed), apart=len(after) - len(within))
    )


def _attempt(receipt: Entry) -> tuple[str, str, int]:
    return receipt["run"], receipt["step"], receipt["attempt"]


# -- cancels and what came after them -----------------------------------------------------------------------


def _told(evidence: Evidence) -> Iterator[Ack]:
    """What the client was told."""
    asked = undone(evidence)
    for entry in entries(evidence.history, "cancel", "ack"):
        listed = frozenset((run, step, attempt) for run, step, attempt in entry["in_flight"])
        until, runs = asked.get(entry["cancellation"], inf), frozenset(entry["runs"])
        yield Ack(t=entry["t"], runs=runs, listed=listed, settled=entry["settled"], until=until)


def _inferred(evidence: Evidence) -> Iterator[Ack]:
    """Cancel steps: known from the acknowledgement of the invoke that folded them, or from the first effect of
    a later step of their own run. A bar of a step lists what is in flight after its commit, when that later step may
    have begun: it is known by an invoke that was answered at the first try alone."""
    invoked = {
        run["id"]: _Answer(entry["t"], entry["op"])
        for entry in entries(evidence.history, "invoke", "ack")
        for run in entry["runs"]
    }
    repeated = {entry["op"] for entry in entries(evidence.history, "invoke", "unknown")}
    actions = {run["id"]: actions_of(run) for run in evidence.runs}
    receipts = _by_run(evidence.receipts)
    for row in evidence.cancellations:
        run = row["actor"].removeprefix("run/")
        if run not in actions or "cancel" not in actions[run]:
            continue
        place = actions[run].index("cancel")
        known = [receipt["t"] for receipt in receipts[run] if _place(receipt) > place and not row.get("bar")]
        if place == 0 and run in invoked and not (row.get("bar") and invoked[run].op in repeated):
            known.append(invoked[run].t)
        if known:
            listed = frozenset((one["run"], one["step"], one["attempt"]) for one in row["in_flight"])
            yield Ack(t=min(known), runs=frozenset(row["runs"]), listed=listed)


class _Answer(NamedTuple):
    """When the invoke of that number was acknowledged."""

    t: float
    op: int


def _after_acks(evidence: Evidence, acks: Iterable[Ack]) -> Iterator[tuple[Ack, Entry]]:
    receipts = _by_run(evidence.receipts)
    for ack in acks:
        for run in ack.runs | escaped(ack.runs, evidence.runs):
            for receipt in receipts[run]:
                if ack.t < receipt["t"] < ack.until:
                    yield ack, receipt


def _while_held(evidence: Evidence) -> Iterator[Entry]:
    """From the acknowledgement of a hold to the next request to enable, the effects that it did not name. An enabling
    whose outcome is not known may still come; what is held shortly after one is not judged."""
    held = {run["id"] for run in evidence.runs if run.get("automation") == HELD}
    receipts = [receipt for receipt in evidence.receipts if receipt["run"] in held]
    ends = [entry["t"] for entry in entries(evidence.history, "enable", "begin")]
    unknown = [entry["t"] for entry in entries(evidence.history, "enable", "unknown")]
    for ack in entries(evidence.history, "hold", "ack"):
        if any(t < ack["t"] < t + LATE_REQUEST for t in unknown):
            continue
        named = {tuple(attempt) for attempt in ack["in_flight"]}
        until = min((t for t in ends if t > ack["t"]), default=float("inf"))
        yield from (
            receipt
            for receipt in receipts
            if ack["t"] < receipt["t"] < until and _attempt(receipt) not in named
        )


def _freezes(history: Sequence[Entry]) -> list[tuple[float, float]]:
    """From when to when some process was frozen."""
    frozen: list[tuple[float, float]] = []
    for entry in history:
        if entry["what"] == "fault" and entry["kind"].startswith("freeze"):
            if entry["phase"] == "inject":
                frozen.append((entry["t"], float("inf")))
            elif frozen:
                frozen[-1] = (frozen[-1][0], entry["t"])
    return frozen


def _is_past_deadline(receipt: Entry, frozen: Sequence[tuple[float, float]]) -> bool:
    """A process frozen past its step's hard deadline, which woke and sent: outside anybody's promise."""
    deadline = receipt["deadline"]
    return receipt["t"] > deadline + SETTLE_GRACE and any(
        begun <= deadline <= ended for begun, ended in frozen
    )


# -- what must not be --------------------------------------------------------------------------------------


def _lost(evidence: Evidence) -> Iterator[Entry]:
    """Acknowledged runs that are not there, and any that did not come to an end."""
    known = {run["id"] for run in evidence.runs}
    for entry in entries(evidence.history, "invoke", "ack"):
        yield from (run for run in entry["runs"] if run["id"] not in known)
    yield from (run for run in evidence.runs if run["status"] not in FINAL or run["live"] is not None)


def _forbidden(evidence: Evidence) -> Iterator[Entry]:
    status = {run["id"]: run["status"] for run in evidence.runs}
    let_go, called_off = released(evidence), set[str]()
    states: dict[str, str | None] = {}
    for row in evidence.audit:
        run, old, new = row["run"], row["old"], row["new"]
        if row["table"] == "run":
            if (old is not None or new not in FINAL) and not (run in let_go and old == "cancelled"):
                yield row
            continue
        born_again = old is None and run in states and run not in let_go
        allowed = TRANSITIONS | UNDONE if run in let_go else TRANSITIONS
        if (old, new) not in allowed or born_again or states.get(run) != old:
            yield row
        states[run] = new
        if new in CALLED_OFF and run not in called_off:
            called_off.add(run)
            if status.get(run) != "cancelled" and run not in let_go:
                yield {**row, "status": status.get(run)}


def _misreported(evidence: Evidence) -> Iterator[Entry]:
    reported, is_undone, let_go = defaultdict(list), undone(evidence), released(evidence)
    bars = {row["id"] for row in evidence.cancellations if row.get("bar")}
    for row in evidence.cancellations:
        for run in row["runs"]:
            if row["id"] not in is_undone:
                reported[run].append(row["id"])
    for run in evidence.runs:
        is_reported = run["status"] == "cancelled" and run.get("reason") != holds.HELD
        wanted = [run["cancellation"]] if is_reported else []
        found = reported.pop(run["id"], [])
        fell = run["id"] in let_go and not found and run["cancellation"] in bars  # to one that stood over it
        if found != wanted and not fell:
            yield run
    yield from ({"run": run, "reported by": rows} for run, rows in reported.items())
    stored = {row["id"]: row for row in evidence.cancellations}
    for ack in entries(evidence.history, "cancel", "ack"):
        kept = stored.get(ack["cancellation"])
        if kept is None or sorted(kept["runs"]) != sorted(ack["runs"]):
            yield ack


def _missed(evidence: Evidence) -> Iterator[Entry]:
    """Runs acknowledged before a cancel began, that match it, and still went on to an end of their own."""
    born = {
        run["id"]: entry["t"] for entry in entries(evidence.history, "invoke", "ack") for run in entry["runs"]
    }
    begun: dict[int, float] = {}
    for entry in entries(evidence.history, "cancel", "begin"):
        begun.setdefault(entry["op"], entry["t"])
    labelled, let_go = defaultdict(list), released(evidence)
    for run in evidence.runs:
        for label in {run["id"], run["token"], run["key"]}:
            labelled[label].append(run)
    for ack in entries(evidence.history, "cancel", "ack"):
        ((_, label),) = ack["filter"].items()
        for run in labelled[label]:
            if (
                run["status"] != "cancelled"
                and run["id"] not in let_go  # it was called off, or counted as called off by another
                and born.get(run["id"], float("inf")) < begun[ack["op"]]
                and _matches(run, ack["filter"])
                and (run["finished"] is None or run["finished"] > ack["wall"])
            ):
                yield {"run": run, "cancel": ack}


def _strangers(evidence: Evidence) -> Iterator[Entry]:
    runs = {run["id"]: run for run in evidence.runs}
    for ack in entries(evidence.history, "cancel", "ack"):
        named = {run for run in ack["runs"] if run in runs and _matches(runs[run], ack["filter"])}
        for run in set(ack["runs"]) & runs.keys() - beneath(named, evidence.runs):
            yield {"run": runs[run], "cancel": ack}


def _matches(run: Entry, asked: Entry) -> bool:
    ((name, value),) = asked.items()
    if name == "token":
        return value in (run["token"], run["key"])
    return bool(run["key" if name == "key" else "id"] == value)


def _other_keys(receipts: Sequence[Entry]) -> Iterator[Entry]:
    return (receipt for receipt in receipts if receipt["key"] != f"{receipt['run']}:{receipt['step']}")


def _out_of_order(evidence: Evidence) -> Iterator[Entry]:
    """The first effect of a step before that of an earlier step."""
    actions, let_go = {run["id"]: actions_of(run) for run in evidence.runs}, released(evidence)
    for run, receipts in _by_run(evidence.receipts).items():
        sends = [place for place, action in enumerate(actions.get(run, [])) if action == "send"]
        firsts = list(dict.fromkeys(_place(receipt) for receipt in receipts))
        if run in let_go:  # an undo passes over the step that was in flight, which may still send
            continue
        if run in actions and firsts != sends[: len(firsts)]:
            yield {"run": run, "steps": firsts, "of": sends}


def _unknown(evidence: Evidence) -> Iterator[Entry]:
    known = {run["id"] for run in evidence.runs}
    return (receipt for receipt in evidence.receipts if receipt["run"] not in known)


def _too_often(receipts: Sequence[Entry]) -> Iterator[tuple[str, str, int]]:
    sends = Counter(map(_attempt, receipts))
    return (attempt for attempt, times in sends.items() if times > MOST_SENDS)


# -- reading -----------------------------------------------------------------------------------------------


def _by_run(receipts: Sequence[Entry]) -> defaultdict[str, list[Entry]]:
    found: defaultdict[str, list[Entry]] = defaultdict(list)
    for receipt in sorted(receipts, key=lambda receipt: float(receipt["t"])):
        found[receipt["run"]].append(receipt)
    return found


def _place(receipt: Entry) -> int:
    """A step's place in its definition: its id is an s and that number."""
    return int(receipt["step"].removeprefix("s"))
