"""The product's settings, with a data folder that goes when the tests end."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

if "COUNTERMAND_DATA" not in os.environ:
    _folder = tempfile.mkdtemp(prefix="countermand-")
    os.environ["COUNTERMAND_DATA"] = _folder
    atexit.register(shutil.rmtree, _folder, ignore_errors=True)

# Playwright's synchronous interface keeps an event loop in the main thread, and Django would then refuse the
# queries of every test that runs after the first browser test.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"

from config.settings import *  # noqa: F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # Argon2 is slow on purpose

# Every `Client()` has a middleware of its own, which would list all static files: two thirds of the time of a short
# test. So they are looked up when asked for.
WHITENOISE_AUTOREFRESH = True
