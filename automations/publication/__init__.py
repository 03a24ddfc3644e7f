"""The verb *publish*: automations are drafted, published, disabled and enabled here."""

from automations.publication.counting import Impact, impact
from automations.publication.disabling import Disabled, archive, disable, enable, resume
from automations.publication.editing import apply, create, find, load_samples, samples, save_draft
from automations.publication.publishing import publish, publish_and_cancel, would_publish
from automations.publication.reading import misspelt

__all__ = [
    "Disabled",
    "Impact",
    "apply",
    "archive",
    "create",
    "disable",
    "enable",
    "find",
    "impact",
    "load_samples",
    "misspelt",
    "publish",
    "publish_and_cancel",
    "resume",
    "samples",
    "save_draft",
    "would_publish",
]
