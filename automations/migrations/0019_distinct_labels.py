"""PostgreSQL is told that tokens and keys are many, whatever it finds when it looks. A plan that is kept is made for
any token: where half of all runs share one, it would otherwise look for each through all the runs."""

from typing import Any

from django.db import migrations

COLUMNS = [(table, column) for table in ("liverun", "run") for column in ("token", "key")]
ALTER = "ALTER TABLE automations_{} ALTER COLUMN {} {}"


def on_postgresql(what: str) -> Any:
    def execute(apps: Any, schema_editor: Any) -> None:
        if schema_editor.connection.vendor == "postgresql":
            for table, column in COLUMNS:
                schema_editor.execute(ALTER.format(table, column, what))

    return execute


class Migration(migrations.Migration):
    dependencies = [("automations", "0018_proxies")]
    operations = [
        migrations.RunPython(on_postgresql("SET (n_distinct = -0.5)"), on_postgresql("RESET (n_distinct)"))
    ]
