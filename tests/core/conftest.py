"""Properties are tried on the same examples in every run, however slow the machine."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("modalnb", deadline=None, derandomize=True, database=None)
settings.load_profile("modalnb")
