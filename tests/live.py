"""Fixtures that start the real product: web server, workers, and a database like the one under test."""

from __future__ import annotations

import atexit
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import cache, cached_property

import httpx
import pytest
from django.conf import settings

from automations.management.trial import Trial, running
from tests.ground import Ground, migrated

_kept = ExitStack()  # what is there until this process ends
atexit.register(_kept.close)


class Product:
    """The running product as a client sees it."""

    def __init__(self, trial: Trial) -> None:
        self.url = trial.url  # without a slash at the end
        self.folder = trial.folder
        self.pid = trial.process.pid
        self.manage = trial.manage
        self.environment = trial.environment  # the variables it was started with
        self._trial = trial
        # A key is as good the second time, and making one starts a Python.
        self.key: Callable[[str], str] = cache(self._make_key)

    @property
    def log(self) -> str:
        """All that the product printed."""
        return self._trial.log

    @cached_property
    def http(self) -> httpx.Client:
        """A client of the native API with a key of every scope but admin, closed with the product."""
        return self.client("read,invoke,cancel,write")

    def client(self, scopes: str) -> httpx.Client:
        """A client of the native API with a key of these scopes; paths are relative to /api/v1/.

        More patient than a writer on SQLite, who waits up to 20 seconds for the one lock.
        """
        headers = {"Authorization": f"Bearer {self.key(scopes)}"}
        return httpx.Client(base_url=f"{self.url}/api/v1/", headers=headers, timeout=30)

    def close(self) -> None:
        """Closes what the client keeps open."""
        if "http" in self.__dict__:
            self.http.close()

    def _make_key(self, scopes: str) -> str:
        return self._trial.key(name=f"tests {scopes}", scopes=scopes)


@contextmanager
def started(**variables: str) -> Iterator[Product]:
    """A product of one's own, for tests that stop, kill or configure it, with a fresh database."""
    with (
        database_url() as url,
        running(settings_given={"DATABASE_URL": url} | variables) as trial,
        closing(Product(trial)) as product,
    ):
        yield product


@contextmanager
def database_url() -> Iterator[str]:
    """DATABASE_URL of a fresh, migrated database of the kind under test."""
    with _ground().lent() as url:
        yield url


@cache
def _ground() -> Ground:
    on_postgresql = settings.DATABASES["default"]["ENGINE"] == "django.db.backends.postgresql"
    return _kept.enter_context(migrated(settings.DATABASE_URL if on_postgresql else ""))


@pytest.fixture(scope="session")
def product() -> Iterator[Product]:
    """The one that most tests share. They leave the settings and the processes alone."""
    with started() as product:
        yield product
