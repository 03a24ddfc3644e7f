#!/usr/bin/env python3
"""The one way in: makes the environment where needed (config/bootstrap.py), then hands over to Django."""

import os
import sys

from config import bootstrap  # must come before anything that an older Python cannot read


def main() -> None:
    bootstrap.ensure(sys.argv)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    from django.core.management import execute_from_command_line

    from config.env import BadSetting

    try:
        execute_from_command_line(sys.argv)
    except BadSetting as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
