"""Makes docs/screenshots/ anew, every page in light and in dark: `python -m tests.screenshots [--into FOLDER]`."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Literal

import django

ROOT = Path(__file__).resolve().parent.parent
SIZE = (1120, 680)
NARROW = (390, 844)
LOOKS: dict[str, Literal["light", "dark"]] = {"light": "light", "dark": "dark"}


def main() -> int:
    """0 when every page was photographed."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    django.setup()
    parser = argparse.ArgumentParser(prog="python -m tests.screenshots", description=__doc__)
    parser.add_argument("--into", type=Path, default=ROOT / "docs" / "screenshots")
    parser.add_argument("--narrow", action="store_true", help="as on a telephone, whole pages")
    parser.add_argument("pages", nargs="*", help="names of pages; all by default")
    options = parser.parse_args()
    options.into.mkdir(parents=True, exist_ok=True)
    _photograph(options.into, options.pages, narrow=options.narrow)
    return 0


def _photograph(folder: Path, wanted: list[str], *, narrow: bool) -> None:
    from playwright.sync_api import sync_playwright

    from tests import chromium
    from tests.browser.visitors import enter, make_people
    from tests.live import started
    from tests.palette import shrunk

    width, height = NARROW if narrow else SIZE
    with started() as product, sync_playwright() as playwright:
        make_people(product)
        product.manage("shell", "--no-imports", "-c", "from tests.scenery import furnish; furnish()")
        time.sleep(3)  # until the workers have sent what is due
        browser = playwright.chromium.launch(executable_path=chromium.find())
        for look in LOOKS:
            context = browser.new_context(
                base_url=product.url, color_scheme=LOOKS[look], viewport={"width": width, "height": height},
                reduced_motion="reduce",
            )  # fmt: skip
            page = context.new_page()
            for name, (role, address, *clicks) in PAGES.items():
                if wanted and name not in wanted:
                    continue
                page.goto("about:blank")  # which polls no more, and is led nowhere
                context.clear_cookies()
                if role:
                    enter(page, product, role)
                page.goto(address)
                for selector in clicks:
                    page.locator(selector).first.click()
                    page.wait_for_timeout(250)
                picture = page.screenshot(full_page=narrow)
                (folder / f"{name}-{look}.png").write_bytes(shrunk(picture))
        browser.close()


PAGES: dict[str, tuple[str, ...]] = {
    "login": ("", "/login/"),
    "overview": ("operator", "/?span=day"),
    "logs": ("operator", "/logs/"),
    "run": ("operator", "/logs/?status=waiting", ".run"),
    "cancel": ("operator", "/logs/?status=waiting", ".run", "#cancel-run"),
    "cancelled": ("viewer", "/logs/?status=cancelled", ".run"),
    "cancellations": ("operator", "/bulk/"),
    "cancellation": ("operator", "/bulk/", ".run"),
    "bulk": ("operator", "/bulk/new/?automation=trial-expiry"),
    "automations": ("admin", "/templates/"),
    "automation": ("admin", "/templates/onboarding-reminder/"),
    "automation-settings": ("admin", "/templates/onboarding-reminder/settings"),
    "automation-step": ("admin", "/templates/onboarding-reminder/steps/1"),
    "automation-runs": ("admin", "/templates/onboarding-reminder/runs"),
    "messages": ("admin", "/messages/"),
    "message": ("admin", "/messages/welcome/", "#try"),
    "recipients": ("operator", "/recipients/"),
    "recipient": ("admin", "/recipients/?q=ada", ".run"),
    "lists": ("admin", "/recipients/lists/"),
    "list": ("admin", "/recipients/lists/team/"),
    "webhooks": ("admin", "/webhooks/"),
    "webhook": ("admin", "/webhooks/", "tr:last-child .run"),
    "providers": ("admin", "/providers/"),
    "keys": ("admin", "/keys/"),
    "users": ("admin", "/users/"),
    "environments": ("admin", "/environments/"),
    "audit": ("admin", "/audit/"),
    "docs": ("viewer", "/docs/"),
    "document": ("viewer", "/docs/steps/"),
    "shortcuts": ("operator", "/logs/", "#person-name", "[data-open]"),
}

if __name__ == "__main__":
    sys.exit(main())
