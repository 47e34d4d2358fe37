"""The error of wrong settings, apart from what reads them: not every command needs to import pydantic."""

from __future__ import annotations


class SettingsInvalid(Exception):
    """The environment does not make sense; the message lists each variable and what is wrong with it."""

    says_nothing_of_people = True
