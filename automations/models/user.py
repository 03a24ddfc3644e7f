"""A person who may log in, with one role over all environments."""

from __future__ import annotations

from typing import ClassVar

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager
from django.contrib.auth.validators import UnicodeUsernameValidator
from django.db import models


class Role(models.TextChoices):
    """What a person may do; each includes what stands before it."""

    VIEWER = "viewer", "Viewer"
    OPERATOR = "operator", "Operator"
    ADMIN = "admin", "Admin"


ALLOWED: dict[str, frozenset[str]] = {
    Role.VIEWER: frozenset({"read"}),
    Role.OPERATOR: frozenset({"read", "invoke", "cancel"}),
    Role.ADMIN: frozenset({"read", "invoke", "cancel", "write", "admin"}),
}


class UserManager(BaseUserManager["User"]):
    def create_user(self, *, username: str, password: str, role: str = Role.VIEWER) -> User:
        """A stored user with that password; the caller has validated both."""
        user = self.model(username=self.model.normalize_username(username), role=role)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def invite(self, *, username: str, role: str) -> User:
        """A stored user who cannot log in before choosing a password."""
        user = self.model(username=self.model.normalize_username(username), role=role)
        user.set_unusable_password()
        user.save(using=self._db)
        return user

    def change(self, user: User, *, role: str, is_active: bool) -> User | None:
        """Gives the user that role, and lets in or sends away, which ends sessions. The user as it was before; None,
        and nothing is changed, when no active admin would be left.

        Inside a transaction, which holds all admins, in the order of their keys, until it ends: of two who send each
        other away the second finds one admin less, and neither waits for what the other holds.
        """
        admins = self.filter(role=Role.ADMIN, is_active=True).select_for_update().order_by("pk")
        others = [one for one in admins.values_list("pk", flat=True) if one != user.pk]
        stays = role == Role.ADMIN and is_active
        if not stays and not others:
            return None
        was = self.get(pk=user.pk)
        user.role, user.is_active = role, is_active
        user.save(update_fields=["role", "is_active"])
        return was


class User(AbstractBaseUser):
    """Our AUTH_USER_MODEL from the first migration on."""

    username = models.CharField(max_length=150, unique=True, validators=[UnicodeUsernameValidator()])
    role = models.CharField(max_length=10, choices=Role, default=Role.VIEWER)
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = UserManager()

    USERNAME_FIELD = "username"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta:
        ordering = ["username"]
        constraints = [
            models.CheckConstraint(condition=models.Q(role__in=tuple(Role.values)), name="user_role_known"),
        ]

    @property
    def actor(self) -> str:
        """The name under which records tell what this person did."""
        return f"user/{self.username}"

    def can(self, action: str) -> bool:
        """Whether the role allows one of: read, invoke, cancel, write, admin."""
        return self.is_active and action in ALLOWED.get(self.role, frozenset())
