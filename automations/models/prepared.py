"""Says which database this is, and whether it has our tables."""

from __future__ import annotations

from django.db import connection

from automations.models.live_run import LiveRun


def database_name() -> str:
    """The database as an operator knows it: its file, or host and name; never a password."""
    known = connection.settings_dict
    if connection.vendor == "sqlite":
        return str(known["NAME"])
    port = f":{known['PORT']}" if known["PORT"] else ""
    return f"{known['NAME']} at {known['HOST'] or 'localhost'}{port}"


def is_prepared() -> bool:
    """Whether `migrate` has made the tables. OperationalError when the database does not answer."""
    with connection.cursor() as cursor:
        return LiveRun._meta.db_table in connection.introspection.table_names(cursor)


def unprepared() -> str:
    """What is said of a database without our tables."""
    return (
        f"The database ({database_name()}) is not prepared: run `manage.py up` or `manage.py migrate`; "
        "is COUNTERMAND_DATA or DATABASE_URL set?"
    )
