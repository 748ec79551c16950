"""Adds up sales by region, one file a month, all read at once. A month that cannot be read costs only its own row."""

import asyncio
import csv
from collections import Counter
from io import StringIO


async def month(path):
    try:
        text = (await skills.read_file(path=path))["text"]
        return path, [(row["region"], float(row["amount"])) for row in csv.DictReader(StringIO(text))]
    except (SkillError, ValueError, KeyError) as error:
        return path, str(error)


found = await skills.list_files(path=(inputs or {}).get("path", "data"), pattern="*.csv")
months = await asyncio.gather(*(month(file["path"]) for file in found["files"]))

totals, unread = Counter(), {}
for path, rows in months:
    if isinstance(rows, str):
        unread[path] = rows
        continue
    for region, amount in rows:
        totals[region] += amount

result = {
    "months": len(months) - len(unread),
    "totals": {k: round(v, 2) for k, v in totals.most_common()},
    "unread": unread,
}
