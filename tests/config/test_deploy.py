"""What config/deploy/ and docs/deploying.md name is there: commands, variables, files."""

from __future__ import annotations

import re
from configparser import RawConfigParser
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import get_commands, load_command_class

ROOT = Path(__file__).resolve().parent.parent.parent
DEPLOY = ROOT / "config" / "deploy"
FILES = [*sorted(file for file in DEPLOY.iterdir() if file.name != ".env"), ROOT / "docs" / "deploying.md"]
UNITS = sorted(DEPLOY.glob("*.service"))
# Read by something else than our settings: the bootstrap, Python, and the database's image.
OTHERS = {"NO_BOOTSTRAP", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE"}
OF_POSTGRES = {"POSTGRES_PASSWORD", "POSTGRES_USER", "POSTGRES_DB"}
WEB = "--config config/gunicorn.py --bind {} config.wsgi:application"


def settings() -> set[str]:
    """The variables that config/settings.py reads."""
    text = (ROOT / "config" / "settings.py").read_text()
    return set(re.findall(r"(?:env\.\w+|_kept)\(\"([A-Z_]+)\"", text))


def compose() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return document


def unit(file: Path) -> dict[str, dict[str, str]]:
    parser = RawConfigParser(strict=True)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(file.read_text())
    return {name: dict(parser[name]) for name in parser.sections()}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_command_is_one(file: Path) -> None:
    named = set(re.findall(r"manage\.py\"?,? +\"?([a-z_]+)", file.read_text()))
    assert named - set(get_commands()) - {"up"} == set()


def test_every_variable_is_read_and_every_one_that_is_read_is_told_of() -> None:
    assert settings() >= {"SITE_URL", "SECRET_KEY", "TRUSTED_PROXIES", "EMAIL_USE_TLS"}
    told = re.findall(r"^#?([A-Z_]+)=", (DEPLOY / "env.example").read_text(), re.MULTILINE)
    assert set(told) - settings() == {"POSTGRES_PASSWORD"}
    image = (DEPLOY / "Dockerfile").read_text()
    services = compose()["services"].values()
    given = {name for service in services for name in service["environment"]}
    given |= set(re.findall(r"([A-Z_]+)=", image))
    given |= set(re.findall(r"([A-Z_]+)=", " ".join(unit(file)["Service"]["Environment"] for file in UNITS)))
    given |= set(re.findall(r"--setenv=([A-Z_]+)=", (ROOT / "docs" / "deploying.md").read_text()))
    assert given - settings() == OTHERS | OF_POSTGRES
    document = (ROOT / "docs" / "settings.md").read_text()
    assert [name for name in sorted(settings()) if f"`{name}`" not in document] == []


def test_the_image_is_made_of_what_there_is() -> None:
    image = (DEPLOY / "Dockerfile").read_text()
    copied = [path for line in re.findall(r"^COPY (.+) \S+$", image, re.MULTILINE) for path in line.split()]
    assert {"manage.py", "automations", "config", "logs", "static", "templates", "docs"} <= set(copied)
    assert [path for path in copied if not (ROOT / path).exists()] == []
    left_out = (DEPLOY / "Dockerfile.dockerignore").read_text().split()
    assert set(copied) & set(left_out) == set()
    web = WEB.format("0.0.0.0:8000").split()
    assert image.splitlines()[-1] == "CMD " + str(["python", "-m", "gunicorn", *web]).replace("'", '"')
    needed = float(re.search(r"FROM python:3\.(\d+)-", image)[1])  # type: ignore[index]
    assert needed >= 11


def test_the_services_of_compose_are_whole() -> None:
    document = compose()
    services = document["services"]
    assert set(services) == {"postgres", "migrate", "web", "worker"}
    assert all("healthcheck" in services[name] for name in ("postgres", "web", "worker"))
    assert {name: services[name].get("command") for name in ("migrate", "web", "worker")} == {
        "migrate": ["python", "manage.py", "migrate", "--no-input"], "web": None,
        "worker": ["python", "manage.py", "cluster"],
    }  # fmt: skip
    build = services["web"]["build"]
    assert ((DEPLOY / build["context"]).resolve(), (ROOT / build["dockerfile"]).exists()) == (ROOT, True)
    volumes = [volume.partition(":")[0] for service in services.values() for volume in service["volumes"]]
    assert set(volumes) == set(document["volumes"])
    for service in services.values():
        assert set(service.get("depends_on", {})) <= set(services)


def test_the_units_start_what_the_documents_say_they_start() -> None:
    started = {file.name: unit(file)["Service"] for file in UNITS}
    python = "/opt/countermand/.venv/bin/python"
    assert {name: service["ExecStart"] for name, service in started.items()} == {
        "countermand-web.service": f"{python} -m gunicorn {WEB.format('127.0.0.1:8000')}",
        "countermand-cluster.service": f"{python} manage.py cluster",
    }
    # The watchdog, and gunicorn's master, stop their own; a signal to all of the workers makes them hang.
    assert {service["KillMode"] for service in started.values()} == {"mixed"}
    assert (
        f"`python -m gunicorn {WEB.format('127.0.0.1:8000')}`" in (ROOT / "docs" / "deploying.md").read_text()
    )
    for path in ("config/gunicorn.py", "config/wsgi.py", "docs/deploying.md"):
        assert (ROOT / path).exists()


def test_migrations_are_made_by_our_own_command() -> None:
    assert get_commands()["migrate"] == "automations"
    assert (
        load_command_class("automations", "migrate").__module__ == "automations.management.commands.migrate"
    )
