"""The named places in the code are those that tests may wait for."""

from __future__ import annotations

import re
from pathlib import Path

from automations import testpoints

CODE = Path(testpoints.__file__).parent


def test_every_name_is_passed_somewhere_and_no_other() -> None:
    called = {
        name
        for file in CODE.rglob("*.py")
        for name in re.findall(r'\btestpoint\("(.+?)"\)', file.read_text())
    }
    assert called == set(testpoints.NAMES)


def test_a_watcher_hears_of_the_places_passed_in_its_block_alone() -> None:
    heard: list[str] = []
    with testpoints.watched(heard.append):
        testpoints.testpoint("start.moved")
    testpoints.testpoint("start.committed")
    assert heard == ["start.moved"]
