"""On PostgreSQL tags are found through an index, of runs and invocations that have some: the others pay nothing."""

from typing import Any

from django.db import migrations

FORWARD = """
CREATE INDEX live_run_tags ON automations_liverun USING gin (tags) WHERE tags IS NOT NULL;
CREATE INDEX invocation_tags ON automations_invocation USING gin (tags) WHERE tags <> '[]';
"""
BACKWARD = "DROP INDEX live_run_tags; DROP INDEX invocation_tags;"


def on_postgresql(statements: str) -> Any:
    def execute(apps: Any, schema_editor: Any) -> None:
        if schema_editor.connection.vendor == "postgresql":
            schema_editor.execute(statements)

    return execute


class Migration(migrations.Migration):
    dependencies = [("automations", "0007_vendors")]
    operations = [migrations.RunPython(on_postgresql(FORWARD), on_postgresql(BACKWARD))]
