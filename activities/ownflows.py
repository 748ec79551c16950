"""Activities of a project's own workflows: JSON values in and out of blobs."""

from temporalio import activity

from activities.alive import beating
from activities.values import loaded, stored
from holdfast.blobs import BlobStore
from holdfast.contracts.base import INLINE_ANSWER_BYTES
from holdfast.contracts.own import VALUE_KEEP, VALUE_READ, KeepValue, ReadJson, ReadValue


class OwnFlows:
    """Values of tasks for code that wants them as they are."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs

    @activity.defn(name=VALUE_READ.name)
    async def read(self, request: ReadValue) -> ReadJson:
        """The JSON of a value, wherever it is."""
        async with beating():
            return ReadJson(json_=await loaded(self._blobs, request.value))

    @activity.defn(name=VALUE_KEEP.name)
    async def keep(self, request: KeepValue) -> ReadValue:
        """A value as it travels: by reference above 256 bytes."""
        async with beating():
            return ReadValue(value=await stored(self._blobs, request.json_, INLINE_ANSWER_BYTES))
