"""The rules of the house that no linter knows, each with a snippet that breaks it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = {"automations", "config", "docs", "logs", "static", "templates", "tests"}
NOT_OURS = {"__pycache__", "test-results", "var"}
VAGUE = {
    "common",
    "core",
    "helper",
    "helpers",
    "manager",
    "managers",
    "misc",
    "service",
    "services",
    "util",
    "utils",
}
LONGEST_MODULE, LONGEST_FUNCTION = 400, 40

# The one door.
DOOR = ("automations/models/live_run",)
WRITES = {
    *(
        "update",
        "save",
        "delete",
        "create",
        "bulk_create",
        "bulk_update",
        "get_or_create",
        "update_or_create",
    ),
    *("asave", "adelete", "acreate", "aupdate", "abulk_create", "abulk_update"),
}
STATE_OF_A_RUN = {"status", "status_reason", "finished_at"}
STATE_OF_A_LIVE_RUN = {"state", "fence", "lease_until", "unsettled", "position"}
# The verbs own the transactions; the gate is how they open them.
TRANSACTIONS = (
    *(
        "automations/publication",
        "automations/invocation",
        "automations/cancellation",
        "automations/undo",
        "automations/scheduled",
        "automations/occurrence",
        "automations/execution",
        "automations/notices",
        "automations/directory",
        "automations/admission",
    ),
    *("automations/models/gate", "automations/views/setup"),
)
# Edges read the clock, and pass it on.
CLOCK = (
    *("automations/models/gate", "automations/models/api_key", "automations/api/", "automations/views/"),
    *(
        "automations/cluster/",
        "automations/management/",
        "logs/views",
        "logs/templatetags/",
        "config/bootstrap",
    ),
)
# Courier spells it with one l: its words stay at the edge, in what definitions accept, and where both are
# tested or told.
ONE_L = re.compile(r"cancel(?:ed|ing|er|ation|able)", re.IGNORECASE)
ONE_L_ALLOWED = (
    *("automations/api/", "automations/definition", "tests/api/", "tests/definition", "tests/sdk/"),
    *(
        "automations/management/commands/import_courier",
        "automations/views/snippets",
        "tests/bench/dialects.py",
    ),
    *("README.md", "docs/", "CHANGELOG.md", "tests/test_docs.py"),
)
MACHINE_PATH = re.compile(r"(?<![\w.~}])/(?:work|root|farm|home/\w+|Users/\w+)/")
INLINE = re.compile(
    r"<script(?![^>]*\bsrc=)|<style|\s(?:on\w+|style|hx-on[\w:-]*)\s*=|javascript:", re.IGNORECASE
)
JSON_SCRIPT = re.compile(r"""<script[^>]*type=["']application/json["'][^>]*>""", re.IGNORECASE)


@cache
def _files(*suffixes: str) -> list[Path]:
    """The project's own files with these endings."""
    top = [path for path in ROOT.iterdir() if path.is_file() or path.name in FOLDERS]
    found = [file for path in top for file in ([path] if path.is_file() else path.rglob("*"))]
    return sorted(
        file
        for file in found
        if file.suffix in suffixes and file.is_file() and not NOT_OURS & set(file.parts)
    )


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def _modules() -> dict[str, ast.Module]:
    """Every Python module but migrations, as a syntax tree under its path."""
    paths = [path for path in _files(".py") if "migrations" not in path.parts]
    return {_name(path): ast.parse(path.read_text()) for path in paths}


def _product() -> Iterator[tuple[str, ast.Module]]:
    return ((name, tree) for name, tree in _modules().items() if not name.startswith("tests/"))


def _calls(tree: ast.AST) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def _chain(node: ast.AST) -> list[str]:
    """`a.b(c).d[0]` as [a, b, d]."""
    names: list[str] = []
    while True:
        if isinstance(node, ast.Attribute):
            names.append(node.attr)
            node = node.value
        elif isinstance(node, ast.Call):
            node = node.func
        elif isinstance(node, ast.Subscript):
            node = node.value
        else:
            return [*([node.id] if isinstance(node, ast.Name) else []), *reversed(names)]


# -- one door -------------------------------------------------------------------------------------------


def _named_after(tree: ast.AST, model: str) -> set[str]:
    """The model's name, and every local name that was made from it: `rows = LiveRun.objects...`, `for row in
    rows`, and parameters annotated with it."""
    names = {model}
    while True:
        found = set(names)
        for node in ast.walk(tree):
            pairs: list[tuple[ast.expr, ast.expr | None]] = []
            if isinstance(node, ast.Assign):
                pairs = [(target, node.value) for target in node.targets]
            elif isinstance(node, ast.For | ast.comprehension):
                pairs = [(node.target, node.iter)]
            elif isinstance(node, ast.AnnAssign | ast.NamedExpr):
                pairs = [(node.target, node.value)]
            elif isinstance(node, ast.arg) and model in _words(node.annotation):
                found.add(node.arg)
            for target, value in pairs:
                chain = _chain(value) if value is not None else []
                if chain and chain[0] in names and isinstance(target, ast.Name):
                    found.add(target.id)
        if found == names:
            return names
        names = found


def _words(annotation: ast.expr | None) -> set[str]:
    return {node.id for node in ast.walk(annotation) if isinstance(node, ast.Name)} if annotation else set()


def beside_the_door(name: str, tree: ast.AST) -> list[str]:
    """Writes to a run's state elsewhere than at the one door."""
    if name.startswith(DOOR):
        return []
    live, cold = _named_after(tree, "LiveRun"), _named_after(tree, "Run")
    found = []
    for call in _calls(tree):
        chain = _chain(call.func)
        if len(chain) < 2 or chain[-1] not in WRITES:
            continue
        keywords = {keyword.arg for keyword in call.keywords}
        to_live = chain[0] in live or "live" in chain[:-1]
        to_cold = chain[0] in cold and (keywords & STATE_OF_A_RUN or chain[-1] not in {"update", "create"})
        if to_live or to_cold:
            found.append(f"{name}:{call.lineno} {'.'.join(chain)}()")
    for node in ast.walk(tree):
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        for target in targets:
            if not isinstance(target, ast.Attribute) or not isinstance(target.value, ast.Name):
                continue
            owner, attribute = target.value.id, target.attr
            if (owner in live and attribute in STATE_OF_A_LIVE_RUN) or (
                owner in cold and attribute in STATE_OF_A_RUN
            ):
                found.append(f"{name}:{target.lineno} {owner}.{attribute} = ...")
    return found


def test_only_the_one_door_changes_the_state_of_a_run() -> None:
    assert [fault for name, tree in _product() for fault in beside_the_door(name, tree)] == []


@pytest.mark.parametrize(
    "code",
    [
        "LiveRun.objects.filter(pk=1).update(state='waiting')",
        "rows = LiveRun.objects.within(1)\nrows.filter(pk=1).delete()",
        "for row in LiveRun.objects.all():\n    row.save()",
        "def f(row: LiveRun) -> None:\n    row.state = 'cancelled'",
        "run.live.delete()",
        "LiveRun.objects.create(pk=1)",
        "Run.objects.filter(pk=1).update(status='completed')",
        "def f(run: Run) -> None:\n    run.status = 'completed'\n",
        "run = Run.objects.get(pk=1)\nrun.save()",
    ],
)
def test_a_write_beside_the_one_door_is_found(code: str) -> None:
    assert len(beside_the_door("automations/execution/work.py", ast.parse(code))) == 1
    assert beside_the_door("automations/models/live_run.py", ast.parse(code)) == []


def raw_writes(name: str, tree: ast.AST) -> list[str]:
    """SQL that writes to the tables of runs, elsewhere than at the one door."""
    if name.startswith(DOOR):
        return []
    pattern = re.compile(r"(?:UPDATE|DELETE FROM|INSERT INTO)\s+\W?automations_(?:live)?run\b", re.IGNORECASE)
    return [
        f"{name}:{node.lineno}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and pattern.search(node.value)
    ]


def test_no_other_sql_writes_to_the_tables_of_runs() -> None:
    assert [fault for name, tree in _product() for fault in raw_writes(name, tree)] == []
    assert raw_writes("x.py", ast.parse("c.execute('update automations_liverun set state = 1')")) == [
        "x.py:1"
    ]


# -- owners of transactions and of the clock ---------------------------------------------------------------


def transactions(name: str, tree: ast.AST) -> list[str]:
    """Where a transaction is opened, whether by `with`, by a decorator or by a call."""
    named = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute | ast.Name)]
    opened = [node for node in named if _chain(node)[-1] in ("atomic", "set_autocommit")]
    gates = [call for call in _calls(tree) if _chain(call.func)[-1:] == ["gate"]]
    return [f"{name}:{node.lineno}" for node in (*opened, *gates)]


def test_only_the_verbs_open_transactions() -> None:
    everywhere = [fault for name, tree in _product() for fault in transactions(name, tree)]
    assert [place for place in everywhere if not place.startswith(TRANSACTIONS)] == []


@pytest.mark.parametrize(
    "code",
    [
        "with transaction.atomic(): pass",
        "@transaction.atomic\ndef f(): pass",
        "with atomic(): pass",
        "with gate(environment_id=1): pass",
        "with models.gate(environment_id=1): pass",
    ],
)
def test_an_opened_transaction_is_found(code: str) -> None:
    assert len(transactions("logs/views.py", ast.parse(code))) == 1


def clock_readings(name: str, tree: ast.AST) -> list[str]:
    readings = {
        ("timezone", "now"),
        ("datetime", "now"),
        ("datetime", "utcnow"),
        ("date", "today"),
        ("time", "time"),
    }
    return [f"{name}:{call.lineno}" for call in _calls(tree) if tuple(_chain(call.func)[-2:]) in readings]


def test_only_the_edges_read_the_clock() -> None:
    everywhere = [fault for name, tree in _product() for fault in clock_readings(name, tree)]
    assert [place for place in everywhere if not place.startswith(CLOCK)] == []


@pytest.mark.parametrize(
    "code", ["timezone.now()", "datetime.now(UTC)", "datetime.datetime.now()", "time.time()"]
)
def test_a_reading_of_the_clock_is_found(code: str) -> None:
    assert clock_readings("automations/machine.py", ast.parse(code)) == ["automations/machine.py:1"]


# -- size, names, words ---------------------------------------------------------------------------------


def test_no_module_is_longer_than_400_lines() -> None:
    lengths = {_name(path): len(path.read_text().splitlines()) for path in _files(".py")}
    assert {name: n for name, n in lengths.items() if n > LONGEST_MODULE and "migrations" not in name} == {}


def long_functions(name: str, tree: ast.AST) -> list[str]:
    return [
        f"{name}:{node.lineno} {node.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno + 1 > LONGEST_FUNCTION
    ]


def test_no_function_is_longer_than_40_lines() -> None:
    assert [fault for name, tree in _modules().items() for fault in long_functions(name, tree)] == []
    assert long_functions("x.py", ast.parse("def f():\n" + "    1\n" * 39)) == []
    assert long_functions("x.py", ast.parse("def f():\n" + "    1\n" * 40)) == ["x.py:1 f"]


def test_every_module_says_its_one_job() -> None:
    assert [name for name, tree in _modules().items() if tree.body and not ast.get_docstring(tree)] == []


def test_the_folders_at_the_top_are_fixed() -> None:
    seen = {path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")}
    assert seen - NOT_OURS - FOLDERS == set()


def test_nothing_has_a_name_that_says_nothing() -> None:
    words = {
        part.partition(".")[0]
        for path in _files(".py", ".html", ".css", ".js")
        for part in _name(path).split("/")
    }
    assert words & VAGUE == set()


def test_cancelled_has_two_ls() -> None:
    texts = _files(".py", ".html", ".css", ".js", ".json", ".md", ".toml", ".txt", ".yaml", ".svg")
    found = [_name(path) for path in texts if ONE_L.search(path.read_text())]
    assert [name for name in found if not name.startswith(ONE_L_ALLOWED)] == []


# -- what a clone must not hold ---------------------------------------------------------------------------


def test_no_file_knows_the_machine_it_was_written_on() -> None:
    texts = _files(".py", ".html", ".css", ".js", ".json", ".md", ".toml", ".txt", ".yaml", ".svg", "")
    found = [_name(path) for path in texts if MACHINE_PATH.search(path.read_text())]
    assert [name for name in found if name != ".git"] == []  # in a worktree, git notes there where it belongs
    assert MACHINE_PATH.search('open("/ro' + 'ot/x")')


def test_no_template_holds_a_script_or_a_style() -> None:
    pages = {_name(path): JSON_SCRIPT.sub("", path.read_text()) for path in _files(".html")}
    assert [name for name, text in pages.items() if INLINE.search(text)] == []


@pytest.mark.parametrize(
    "markup",
    [
        "<script>x()</script>",
        '<a onclick="x()">',
        '<p style="color:red">',
        '<a hx-on:click="x">',
        "<style>p{}</style>",
    ],
)
def test_an_inline_script_or_style_is_found(markup: str) -> None:
    assert INLINE.search(markup)
    assert not INLINE.search('<script src="/static/js/app.js" defer></script><option value="on">')


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_requirements_are_pins_with_hashes_and_name_no_address(name: str) -> None:
    pin = re.compile(r"[a-z0-9-]+==[\w.]+(?: ; [\w\s.<>='!]+)? \\")
    digest = re.compile(r"    --hash=sha256:[0-9a-f]{64}(?: \\)?")
    lines = (ROOT / "config" / name).read_text().splitlines()
    assert [line for line in lines if not pin.fullmatch(line) and not digest.fullmatch(line)] == []


def test_the_development_requirements_hold_the_pins_of_the_runtime() -> None:
    def pins(name: str) -> set[str]:
        return set(re.findall(r"^\S+==\S+", (ROOT / "config" / name).read_text(), re.MULTILINE))

    assert pins("requirements.txt") - pins("requirements-dev.txt") == set()
