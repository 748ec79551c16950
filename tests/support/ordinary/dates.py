import calendar
from datetime import UTC, date, datetime, time, timedelta, timezone
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError
when = datetime(2024, 3, 31, 1, 30, tzinfo=ZoneInfo("Europe/Berlin"))
later = (when.astimezone(UTC) + timedelta(hours=1)).astimezone(ZoneInfo("Europe/Berlin"))
print(when.isoformat(), later.isoformat(), later.utcoffset(), later.tzname(), when.astimezone(ZoneInfo("Asia/Tokyo")))
print(date(2024, 2, 29).replace(year=2028), date.fromisocalendar(2024, 1, 1), date(2024, 12, 30).isocalendar(), (date(2025, 1, 1) - date(2024, 1, 1)).days)
print(datetime.strptime("05 Jan 2024 07:08 +0200", "%d %b %Y %H:%M %z"), datetime.fromisoformat("2024-01-05T07:08:09.123456"), time(7, 8).strftime("%I:%M %p"))
print(repr(datetime(2024, 1, 5)), repr(timedelta(days=-1, seconds=5)), datetime.fromtimestamp(1_700_000_000, timezone(timedelta(hours=-3))), datetime(2024, 1, 5) in {datetime(2024, 1, 5)})
print(calendar.month(2024, 2), calendar.monthrange(2023, 2), [d.strftime("%a") for d in calendar.Calendar().itermonthdates(2024, 5)][:3])
try:
    ZoneInfo("Mars/Base")
except ZoneInfoNotFoundError as exc:
    print(type(exc).__name__)
print(isinstance(when, datetime), type(when + timedelta(1)) is datetime, max(datetime(2024, 1, d) for d in (3, 9, 4)), datetime.min, datetime.max)
result = [f"{datetime(2024, m, 1):%B %d %j %U}" for m in range(1, 13)]
