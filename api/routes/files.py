"""Files: send one in, fetch one by its content or by the task whose program left it."""

import asyncio
import mimetypes
from collections.abc import Iterator
from pathlib import Path as FilePath
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.requests import ClientDisconnect

from api.house import House, OurHouse, OurTaskId, OurTenant
from holdfast import filenames
from holdfast.contracts.base import Sha256
from holdfast.contracts.file import File, FileName, Uploaded
from holdfast.errors import InvalidRequest, NotFound, TooLarge, shown

router = APIRouter(tags=["files"])

_ANY = "application/octet-stream"
_PIECE_BYTES = 256 << 10
_BODY = {"requestBody": {"required": True, "content": {_ANY: {"schema": {"type": "string", "format": "binary"}}}}}
_SENT: dict[int | str, dict[str, Any]] = {
    200: {"description": "The file", "content": {_ANY: {"schema": {"type": "string", "format": "binary"}}}},
}


@router.post("/files", status_code=201, operation_id="upload_file", openapi_extra=_BODY)
async def upload(request: Request, house: OurHouse, name: Annotated[FileName, Query()] = "file") -> Uploaded:
    """Keep the body, whatever it is, as a file: `curl --data-binary @data.csv '…/files?name=data.csv'`."""
    if wrong := filenames.fault(name):
        raise InvalidRequest(f"name: {wrong}")
    ref, size = await _received(request, house)
    return Uploaded(ref=ref, name=name, size_bytes=size, media_type=_media_type(name))


async def _received(request: Request, house: House) -> tuple[str, int]:
    limit = house.settings.max_file_bytes
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > limit:
        raise _too_large(limit)
    with house.blobs.incoming() as file:
        try:
            async for piece in request.stream():
                await asyncio.to_thread(file.write, piece)
                if file.size_bytes > limit:
                    raise _too_large(limit)
        except ClientDisconnect as exc:
            raise InvalidRequest(f"the upload broke off after {file.size_bytes} bytes; nothing was kept") from exc
        return await asyncio.to_thread(file.keep), file.size_bytes


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"the file is larger than {limit} bytes (setting max_file_bytes); split it, or raise the setting")


@router.get("/files/{ref}", operation_id="download_file", response_class=StreamingResponse, responses=_SENT)
async def download(ref: Sha256, house: OurHouse) -> Response:
    """The bytes of a file, for whoever knows its sha256."""
    return _sent(house, ref, ref)


@router.get("/tasks/{task_id}/files", operation_id="list_files")
async def left(task_id: OurTaskId, house: OurHouse, tenant: OurTenant) -> list[File]:
    """What the task's program left in /ws/out, by name; nothing before the task is DONE."""
    row = await house.records.get(tenant, task_id)
    return await asyncio.to_thread(filenames.read, house.blobs, row.files_ref)


@router.get(
    "/tasks/{task_id}/files/{name:path}", operation_id="get_file", response_class=StreamingResponse, responses=_SENT
)
async def one(
    task_id: OurTaskId,
    name: Annotated[str, Path(description="as listed; it may hold '/'")],
    house: OurHouse,
    tenant: OurTenant,
) -> Response:
    """The bytes of a file that the task's program left."""
    files = {file.name: file for file in await left(task_id, house, tenant)}
    if name not in files:
        raise NotFound(f"task {task_id!r} left no file {shown(name)}; GET /tasks/{task_id}/files lists {len(files)}")
    return _sent(house, files[name].ref, name.rpartition("/")[2])


def _sent(house: House, ref: str, name: str) -> StreamingResponse:
    """As an attachment: a page that a program wrote must not run as one of this API's."""
    path = house.blobs.path(ref)
    headers = {
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}",
        "Content-Length": str(path.stat().st_size),
    }
    return StreamingResponse(_pieces(path), media_type=_ANY, headers=headers)


def _pieces(path: FilePath) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            yield piece


def _media_type(name: str) -> str:
    return mimetypes.guess_type(name)[0] or _ANY
