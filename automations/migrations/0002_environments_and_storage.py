"""The environments every installation has, and how PostgreSQL stores the busy tables."""

from __future__ import annotations

from typing import Any

from django.db import migrations

ENVIRONMENTS = ("production", "test")

# A row of LiveRun is rewritten several times in its short life: room in its page keeps those rewrites
# heap-only, and early vacuuming keeps the table small. Measured figures: docs/decisions/0002.
STORAGE = """
ALTER TABLE automations_liverun SET (
    fillfactor = 70,
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_analyze_scale_factor = 0.02,
    autovacuum_vacuum_cost_delay = 0
)
"""


def create_environments(apps: Any, schema_editor: Any) -> None:
    environments = apps.get_model("automations", "Environment").objects
    for key in ENVIRONMENTS:
        environments.get_or_create(key=key)


def set_storage(apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(STORAGE)


class Migration(migrations.Migration):
    dependencies = [("automations", "0001_records")]
    operations = [
        migrations.RunPython(create_environments, migrations.RunPython.noop),
        migrations.RunPython(set_storage, migrations.RunPython.noop),
    ]
