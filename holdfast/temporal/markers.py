"""What a history says of local activities: each leaves one event, a marker, at its end."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from temporalio.api.history.v1 import HistoryEvent

_NAME = "core_local_activity"
"""The name of these markers in all of Temporal's SDKs. Their `data` is the SDK's own JSON."""


@dataclass(frozen=True)
class LocalActivity:
    """`kind` is the activity's name. Times are UTC seconds since 1970, by the worker's clock."""

    kind: str
    id: str
    attempt: int
    began: float
    ended: float


def local_activity(event: HistoryEvent) -> LocalActivity | None:
    """The local activity that a marker's event tells of; None if the marker is another one."""
    marker = event.marker_recorded_event_attributes
    if marker.marker_name != _NAME:
        return None
    ran = json.loads(marker.details["data"].payloads[0].data)
    return LocalActivity(
        kind=ran["activity_type"],
        id=ran["activity_id"],
        attempt=ran["attempt"],
        began=_seconds(ran["original_schedule_time"]),
        ended=_seconds(ran["complete_time"]),
    )


def _seconds(at: Any) -> float:
    """Of a timestamp as the core writes it: `{"seconds": …, "nanos": …}`, or a text of ISO 8601."""
    if isinstance(at, str):
        return datetime.fromisoformat(at).timestamp()
    return float(at["seconds"] + at["nanos"] / 1e9)
