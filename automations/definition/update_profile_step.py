"""Reads the `update-profile` step, and lays a profile over another as it says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from automations.definition.fields import Fields
from automations.definition.shape import UpdateProfile

Profile = Mapping[str, Any]
OVERWRITE = "overwrite"
_MERGES: Mapping[str, Callable[[Profile, Profile], Profile]] = {
    OVERWRITE: lambda profile, said: {**profile, **said},
    "soft-merge": lambda profile, said: {**said, **profile},
    "replace": lambda profile, said: said,
    "none": lambda profile, said: profile or said,
}
MERGES = tuple(_MERGES)


def merged(profile: Profile, said: Profile, *, how: str = OVERWRITE) -> dict[str, Any]:
    """The profile with what was said of its recipient, member by member; a null takes its member away.

    With `overwrite` what was said wins, with `soft-merge` what was known; `replace` keeps nothing that was known, and
    `none` says something only of whom nothing was known.
    """
    return {name: value for name, value in _MERGES[how](profile, said).items() if value is not None}


def read_update_profile(fields: Fields, common: Mapping[str, Any]) -> UpdateProfile:
    """The step, in Courier's words."""
    profile = fields.take("profile")
    if not isinstance(profile, dict) or not profile:
        code = "required" if profile is None else "invalid"
        fields.refuse("profile", code, "“profile” must be an object with what is to be said")
        profile = {}
    recipient = fields.expression("recipient_id")
    merge = fields.choice("merge", MERGES, OVERWRITE)
    fields.close()
    return UpdateProfile(profile=profile, recipient=recipient, merge=merge, **common)
