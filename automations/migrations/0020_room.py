"""Room for a second version of every unfinished run in the page of its first, on PostgreSQL."""

from __future__ import annotations

from typing import Any

from django.db import migrations

# Many that were accepted together start, or are called off, together: with 70 half of them found no room, and were
# written into every index again (docs/performance.md).
FILLED = "ALTER TABLE automations_liverun SET (fillfactor = {})"


def filled(percent: int) -> Any:
    def execute(apps: Any, schema_editor: Any) -> None:
        if schema_editor.connection.vendor == "postgresql":
            schema_editor.execute(FILLED.format(percent))

    return execute


class Migration(migrations.Migration):
    dependencies = [("automations", "0019_distinct_labels")]
    operations = [migrations.RunPython(filled(45), filled(70))]
