"""Who is on duty: people, shifts and the weeks in which they take turns."""

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Annotated, Final, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, model_validator

from trunkline.config.channels import Mail, Phone
from trunkline.config.tags import Identifier, Model
from trunkline.config.zones import check_zone
from trunkline.model import times

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
_DAY_MINUTES: Final = 24 * 60


def _clock(text: str) -> str:
    found = re.fullmatch(r"([01]\d|2[0-3]):([0-5]\d)", text)
    if found is None:
        raise ValueError(f"{text!r} is no time of day: write 'HH:MM', in quotes, such as '06:00'")
    return text


Clock = Annotated[str, AfterValidator(_clock), Field(examples=["06:00"])]


def minutes(clock: str) -> int:
    """Return the minute of the day of 'HH:MM'."""
    hour, minute = clock.split(":")
    return 60 * int(hour) + int(minute)


class Hours(Model):
    """A part of the week, by the clock on the wall. It may pass midnight: it then belongs to the day on which it begins."""

    start: Clock = Field("00:00", description="time of day at which it begins")
    end: Clock = Field("00:00", description="time of day at which it ends, itself not included; the same as 'start' is a whole day")
    days: tuple[Day, ...] = Field(DAYS, min_length=1, description="days on which it begins")

    def day_of(self, local: datetime) -> date | None:
        """Return the day on which the part began that `local` lies in; None when it lies outside."""
        now, start, end = 60 * local.hour + local.minute, minutes(self.start), minutes(self.end)
        if now >= start and (now < end or end <= start):
            began = local.date()
        elif now < end <= start:
            began = local.date() - timedelta(days=1)
        else:
            return None
        return began if DAYS[began.weekday()] in self.days else None

    @property
    def length(self) -> int:
        """Minutes by the clock."""
        return (minutes(self.end) - minutes(self.start)) % _DAY_MINUTES or _DAY_MINUTES


class Shift(Hours):
    """A shift, and when it is."""

    name: Identifier = Field(description="name of the shift, unique within the rota")


class Person(Model):
    """Somebody, or a desk, that can be told."""

    id: Identifier = Field(description="name in rotas and rules")
    name: str = Field("", max_length=128, description="name shown to people")
    email: Mail | None = Field(None, description="for channels of type email")
    phone: Phone | None = Field(None, description="for channels of type sms and voice")


class Override(Model):
    """A time in which others are on duty than the weeks say: holidays, a swap."""

    start: datetime = Field(description="first moment, for example 2026-12-24T06:00; without an offset, in the rota's zone")
    end: datetime = Field(description="first moment after it")
    people: tuple[Identifier, ...] = Field(min_length=1, description="who is on duty instead")

    @model_validator(mode="after")
    def _order(self) -> "Override":
        if (self.start.tzinfo is None) != (self.end.tzinfo is None):
            raise ValueError("'start' has an offset and 'end' has none, or the other way round: write both alike")
        if self.start >= self.end:
            raise ValueError("'start' must be before 'end': give the first moment after it as the end")
        return self

    def covers(self, moment: datetime, zone: tzinfo) -> bool:
        """Return whether an aware moment lies in it."""
        start, end = (each if each.tzinfo is not None else each.replace(tzinfo=zone) for each in (self.start, self.end))
        return start.astimezone(UTC) <= moment.astimezone(UTC) < end.astimezone(UTC)


class Rota(Model):
    """Who is on duty by week and shift. After the last of the weeks comes the first again."""

    id: Identifier = Field(description="name of the rota")
    timezone: str = Field("", description="IANA zone of its clock; empty for the site's")
    start: date = Field(description="first day of the first of the weeks, usually a Monday", examples=["2026-01-05"])
    shifts: tuple[Shift, ...] = Field((Shift(name="all"),), min_length=1, description="shifts; without any, one a day called 'all'")
    weeks: tuple[dict[Identifier, tuple[Identifier, ...]], ...] = Field(
        min_length=1, description="for each week, by shift, the people on duty", examples=[[{"all": ["north"]}, {"all": ["south"]}]]
    )
    overrides: tuple[Override, ...] = Field((), description="times in which others are on duty; of those that overlap, the first counts")
    handover_minutes: int = Field(0, ge=0, le=240, description="for so long those of the shift before are told as well")

    @model_validator(mode="after")
    def _named(self) -> "Rota":
        if self.timezone:
            check_zone(self.timezone)
        names = [shift.name for shift in self.shifts]
        if len(set(names)) < len(names):
            raise ValueError("two shifts have the same name: give each one of its own")
        if unknown := sorted({name for week in self.weeks for name in week} - set(names)):
            raise ValueError(f"there is no shift {unknown[0]!r}: use {', '.join(names)}")
        return self

    def on_duty(self, moment: int, zone: str) -> tuple[str, ...]:
        """Return the ids of people on duty, those who hand over after those who took over.

        Args:
            moment: µs UTC.
            zone: the site's, for a rota that has none of its own.
        """
        own = ZoneInfo(self.timezone or zone)
        now = self._at(moment, own)
        before = self._at(moment - self.handover_minutes * times.MINUTE, own) if self.handover_minutes else ()
        return tuple(dict.fromkeys((*now, *before)))

    def _at(self, moment: int, zone: tzinfo) -> tuple[str, ...]:
        local = times.to_datetime(moment).astimezone(zone)
        override = next((one for one in self.overrides if one.covers(local, zone)), None)
        return override.people if override is not None else tuple(self._turns(local))

    def _turns(self, local: datetime) -> Iterator[str]:
        for shift in self.shifts:
            began = shift.day_of(local)
            if began is not None:
                yield from self.weeks[(began - self.start).days // 7 % len(self.weeks)].get(shift.name, ())
