"""Schedules: when a function shall run by itself; checked now, fired by a service later."""

from __future__ import annotations

import datetime
import math
import warnings
import zoneinfo
from typing import Any

from cronsim import CronSim, CronSimError

from modalnb.exception import InvalidError, UnsupportedWarning

#: A crontab is checked from here on.
_SOME_DAY = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)


class Cron:
    """Times on the clock, in the form of a crontab.

    Parameters
    ----------
    cron_string : str
        Minute, hour, day of the month, month, day of the week.
    timezone : str, default "UTC"
        A name such as ``"Europe/Berlin"``.

    Raises
    ------
    InvalidError
        If the text is no crontab, or there is no such time zone.

    Examples
    --------
    >>> import modalnb as modal
    >>> modal.Cron("0 9 * * 1", timezone="America/New_York")
    Cron('0 9 * * 1', timezone='America/New_York')
    """

    def __init__(self, cron_string: str, timezone: str = "UTC") -> None:
        for name, value in (("cron_string", cron_string), ("timezone", timezone)):
            if not isinstance(value, str):
                raise InvalidError(f"`{name}` must be a str; got {value!r}.")
        try:
            # Cronsim also knows a sixth field for seconds, which Modal does not.
            if len(cron_string.split()) != 5:
                raise CronSimError("there must be five fields")
            CronSim(cron_string, _SOME_DAY)
        except CronSimError as error:
            raise InvalidError(
                f"`cron_string` must be a crontab such as '0 9 * * 1'; got {cron_string!r} "
                f"({error})."
            ) from None
        try:
            zoneinfo.ZoneInfo(timezone)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            raise InvalidError(
                f"`timezone` must be one such as 'Europe/Berlin'; got {timezone!r}."
            ) from None
        self.cron_string = cron_string
        self.timezone = timezone

    def __repr__(self) -> str:
        return f"Cron({self.cron_string!r}, timezone={self.timezone!r})"


class Period:
    """A span of time from one run to the next; the first begins with each deploy.

    Parameters
    ----------
    years, months, weeks, days, hours, minutes : int, default 0
    seconds : float, default 0

    Raises
    ------
    InvalidError
        If a part is of the wrong type or negative, or all are zero.

    Examples
    --------
    >>> import modalnb as modal
    >>> modal.Period(hours=4)
    Period(hours=4)
    """

    def __init__(
        self,
        *,
        years: int = 0,
        months: int = 0,
        weeks: int = 0,
        days: int = 0,
        hours: int = 0,
        minutes: int = 0,
        seconds: float = 0,
    ) -> None:
        self.parts: dict[str, float] = {
            "years": years,
            "months": months,
            "weeks": weeks,
            "days": days,
            "hours": hours,
            "minutes": minutes,
            "seconds": seconds,
        }
        for name, value in self.parts.items():
            kinds = int | float if name == "seconds" else int
            if isinstance(value, bool) or not isinstance(value, kinds):
                kind = "a number" if name == "seconds" else "an int"
                raise InvalidError(f"`{name}` must be {kind}; got {value!r}.")
            if not 0 <= value < math.inf:
                raise InvalidError(f"`{name}` must be at least 0; got {value}.")
        if not any(self.parts.values()):
            raise InvalidError("A `Period` must be longer than nothing. Give one of its parts.")

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={value}" for name, value in self.parts.items() if value)
        return f"Period({given})"


Schedule = Cron | Period


def check_schedule(value: Any, *, stacklevel: int) -> Schedule:
    """Return `value` if it is a schedule, and say once a decorator that nothing fires yet."""
    if not isinstance(value, Schedule):
        raise InvalidError(f"`schedule` must be a `Cron` or a `Period`; got {value!r}.")
    warnings.warn(
        f"`schedule={value!r}` is accepted, but nothing runs by itself yet.",
        UnsupportedWarning,
        stacklevel=stacklevel,
    )
    return value
