"""Django's settings, all read from the process environment; each default serves a newcomer."""

from __future__ import annotations

import secrets
from base64 import urlsafe_b64encode
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from csp.constants import NONE, SELF

from config import env
from config.env import BadSetting

BASE_DIR = Path(__file__).resolve().parent.parent
COUNTERMAND_DATA = env.folder("COUNTERMAND_DATA", BASE_DIR / "var")
SITE_URL = env.address("SITE_URL", "http://127.0.0.1:8000")
_site = urlsplit(SITE_URL)


def _kept(variable: str, made: str) -> str:
    """The variable, else what was made on first start and is kept readable by its owner alone."""
    if given := env.text(variable):
        return given
    file = COUNTERMAND_DATA / variable.lower()
    try:
        if not file.exists():
            _keep(file, made)
        return file.read_text().strip()
    except OSError as error:
        wanted = f"a folder to read and write in ({error.strerror})"
        raise BadSetting("COUNTERMAND_DATA", str(COUNTERMAND_DATA), wanted) from None


def _keep(file: Path, made: str) -> None:
    """Writes it, unless another process that starts at the same time was faster."""
    COUNTERMAND_DATA.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = file.with_suffix(f".{secrets.token_hex(4)}")
    draft.touch(mode=0o600)
    draft.write_text(made)
    with suppress(FileExistsError):  # two processes starting at once: the first link wins
        file.hardlink_to(draft)
    draft.unlink()


SECRET_KEY = _kept("SECRET_KEY", secrets.token_urlsafe(48))
FIELD_KEYS = env.keys("FIELD_KEYS", _kept("FIELD_KEYS", urlsafe_b64encode(secrets.token_bytes(32)).decode()))
DEBUG = False
ALLOWED_HOSTS = [
    "localhost",
    "127.0.0.1",
    "[::1]",
    _site.hostname or "localhost",
    *env.words("ALLOWED_HOSTS"),
]
TRUSTED_PROXIES = env.number("TRUSTED_PROXIES", 0, least=0, most=10)
CSRF_TRUSTED_ORIGINS = [SITE_URL]
_https = _site.scheme == "https"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = _https
SESSION_COOKIE_AGE = 12 * 3600
SECURE_HSTS_SECONDS = 31_536_000 if _https else 0
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if _https else None
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

INSTALLED_APPS = [
    "automations",
    "logs",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular_sidecar",  # the files of Swagger UI
    "django_htmx",
    "django_q",
    "axes",
    "csp",
]
MIDDLEWARE = [
    "automations.middleware.SqueezeMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "automations.api.middleware.SharedPathsMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "automations.middleware.PageMiddleware",
    "axes.middleware.AxesMiddleware",
]
ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
APPEND_SLASH = False  # a redirect would turn an SDK's POST into a GET
TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

DATABASE_URL = env.text("DATABASE_URL", f"sqlite:///{COUNTERMAND_DATA / 'countermand.sqlite3'}")
DATABASES: dict[str, Any] = {"default": env.database("DATABASE_URL", DATABASE_URL)}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    DATABASES["default"]["ENGINE"] = "config.sqlite"
    # A transaction that begins as a reader and then writes is refused at once when another writer was
    # faster, whatever the timeout; beginning as the writer makes it wait its turn instead.
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-16000;",
    }
    DATABASES["default"]["TEST"] = {"NAME": str(COUNTERMAND_DATA / "test.sqlite3")}
# A connection keeps plans and cursors, unless each of its transactions may be another's: behind a pooler.
PREPARED_STATEMENTS = env.flag("PREPARED_STATEMENTS", default=True)
DATABASES["default"]["DISABLE_SERVER_SIDE_CURSORS"] = not PREPARED_STATEMENTS

CACHES = {  # shared by the web server's processes; what stands in it lives for seconds
    "default": {
        "BACKEND": "django.core.cache.backends.filebased.FileBasedCache",
        "LOCATION": COUNTERMAND_DATA / "cache",
    }
}

DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_USER_MODEL = "automations.User"
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "django.contrib.auth.backends.ModelBackend"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 12},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "logs:overview"
LOGOUT_REDIRECT_URL = "login"
AXES_FAILURE_LIMIT = 10
AXES_COOLOFF_TIME = 0.25  # hours
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
AXES_ENABLE_ADMIN = False
AXES_VERBOSE = False
AXES_LOCKOUT_TEMPLATE = "429.html"

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False

STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_USE_FINDERS = True
DATA_UPLOAD_MAX_MEMORY_SIZE = 11 * 1024 * 1024  # the APIs have tighter limits of their own

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF],
        "object-src": [NONE],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
        "form-action": [SELF],
    }
}

EMAIL_HOST = env.text("EMAIL_HOST")
EMAIL_PORT = env.number("EMAIL_PORT", 25, least=1, most=65535)
EMAIL_HOST_USER = env.text("EMAIL_HOST_USER")
EMAIL_HOST_PASSWORD = env.text("EMAIL_HOST_PASSWORD")
EMAIL_USE_TLS = env.flag("EMAIL_USE_TLS")
DEFAULT_FROM_EMAIL = env.text("DEFAULT_FROM_EMAIL", "countermand@localhost")

WORKERS = env.number("WORKERS", 2, least=1, most=64)
SLOTS = env.number("SLOTS", 64, least=1, most=1024)
LEASE_SECONDS = env.number("LEASE_SECONDS", 15, least=1, most=3600)
CATCH_UP_PER_SECOND = env.number("CATCH_UP_PER_SECOND", 250, least=1, most=100_000)
INVOKES_PER_SECOND = env.number("INVOKES_PER_SECOND", 1000, least=0, most=1_000_000)
CANCELS_PER_SECOND = env.number("CANCELS_PER_SECOND", 1000, least=0, most=1_000_000)
REQUESTS_PER_SECOND = env.number("REQUESTS_PER_SECOND", 1000, least=0, most=1_000_000)
INVOKES_AT_ONCE = env.number("INVOKES_AT_ONCE", 12, least=0, most=256)
ALLOW_PRIVATE_NETWORKS = env.hosts("ALLOW_PRIVATE_NETWORKS")

Q_CLUSTER: dict[str, Any] = {
    "name": "countermand",
    "broker_class": "automations.cluster.broker.DueWork",
    "orm": "default",
    "workers": WORKERS,
    "queue_limit": 1,  # nothing is prefetched beyond the next hint
    "bulk": 1,
    "timeout": 60,
    "retry": 90,
    "max_attempts": 1,
    "ack_failures": True,
    "save_limit": -1,
    "scheduler": False,  # runs' due times live in LiveRun alone
    "guard_cycle": 1,
    "catch_up": False,
    "log_level": "WARNING",
    "ALT_CLUSTERS": {},
}

LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
    "loggers": {
        "automations": {"level": "INFO"},
        "logs": {"level": "INFO"},
        "django": {"handlers": [], "level": "WARNING", "propagate": True},
        "django.request": {"level": "ERROR"},  # a client's mistake is the client's to read, in its answer
        "django.security.DisallowedHost": {"level": "CRITICAL"},  # said in one line by who answers it
    },
}

SPECTACULAR_SETTINGS = {"OAS_VERSION": "3.1.0", "SORT_OPERATIONS": False, "POSTPROCESSING_HOOKS": []}
REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": [],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": [],
    "UNAUTHENTICATED_USER": None,
}
