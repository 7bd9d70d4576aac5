"""When budgets begin anew: with a day, a week (on Monday) or a month of UTC."""

from typing import Final

DAY_S: Final = 86400.0
_WEEK_S: Final = 7 * DAY_S
_MONDAY_S: Final = 4 * DAY_S  # 1970-01-05
_ERA_DAYS: Final = 146_097  # 400 years of the Gregorian calendar
_MARCH_0000: Final = 719_468  # days from 0000-03-01 to 1970-01-01
PERIODS_S: Final[dict[str, float]] = {
    "second": 1.0,
    "minute": 60.0,
    "hour": 3600.0,
    "day": DAY_S,
}


def window_start(per: str, wall_s: float) -> float:
    """When the window that holds this time began, in seconds since 1970; 0.0: it is the only
    one."""
    if per == "day":
        return wall_s // DAY_S * DAY_S
    if per == "week":
        return (wall_s - _MONDAY_S) // _WEEK_S * _WEEK_S + _MONDAY_S
    if per == "month":
        year, month, _ = date_of(wall_s)
        return _days_until(year, month) * DAY_S
    return 0.0


def window_end(per: str, start: float) -> float:
    """When it ends; infinite for one without an end."""
    if per == "day":
        return start + DAY_S
    if per == "week":
        return start + _WEEK_S
    if per == "month":
        year, month, _ = date_of(start)
        following = _days_until(year, month + 1) if month < 12 else _days_until(year + 1, 1)
        return following * DAY_S
    return float("inf")


def date_of(wall_s: float) -> tuple[int, int, int]:
    """Year, month and day of a time, in UTC.

    Years are counted from March on, so that the day that some have more is their last (H. Hinnant,
    "chrono-compatible low-level date algorithms").
    """
    days = int(wall_s // DAY_S) + _MARCH_0000
    era, of_era = divmod(days, _ERA_DAYS)
    year = (of_era - of_era // 1460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    from_march = (5 * of_year + 2) // 153
    day = of_year - (153 * from_march + 2) // 5 + 1
    month = from_march + 3 if from_march < 10 else from_march - 9
    return era * 400 + year + (1 if month <= 2 else 0), month, day


def _days_until(year: int, month: int) -> int:
    """From 1970-01-01 to the first of that month."""
    if month <= 2:
        year -= 1
    era, of_era = divmod(year, 400)
    of_year = (153 * (month - 3 if month > 2 else month + 9) + 2) // 5
    return era * _ERA_DAYS + of_era * 365 + of_era // 4 - of_era // 100 + of_year - _MARCH_0000
