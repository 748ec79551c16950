"""One error body for every way in which a request can fail: RFC 9457, plus the members that older clients read."""

from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from holdfast.errors import Forbidden, HoldfastError, InvalidRequest, TooManyTasks, UserError, shown
from holdfast.log import get_logger

MEDIA_TYPE = "application/problem+json"
_DECLARED = (400, 401, 403, 404, 405, 409, 413, 415, 422, 429, 500, 503)

log = get_logger(__name__)


class Unauthorized(Forbidden):
    """A key is needed, and none was sent."""

    code = "UNAUTHORIZED"
    status = 401


class WrongMediaType(UserError):
    code = "UNSUPPORTED_MEDIA_TYPE"
    status = 415


class ErrorDetail(BaseModel):
    """The part that `error` holds (R-43)."""

    code: str
    message: str
    details: dict[str, Any]
    timestamp: datetime
    trace_id: str


class ErrorBody(BaseModel):
    """Body of every answer from 400 on. `detail` and `message` are one text; programs branch on `error.code`."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    message: str
    error: ErrorDetail


def answer(
    scope: Mapping[str, Any],
    status: int,
    code: str,
    message: str,
    details: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """The error as a response to the request of an ASGI scope."""
    detail = ErrorDetail(
        code=code,
        message=message,
        details=dict(details or {}),
        timestamp=datetime.now(UTC),
        trace_id=scope.get("state", {}).get("trace_id", ""),
    )
    body = ErrorBody(
        type=f"urn:holdfast:error:{code}",
        title=HTTPStatus(status).phrase,
        status=status,
        detail=message,
        instance=scope["path"],
        message=message,
        error=detail,
    )
    return JSONResponse(body.model_dump(mode="json"), status, dict(headers or {}), MEDIA_TYPE)


def of(scope: Mapping[str, Any], exc: HoldfastError) -> JSONResponse:
    headers = {"WWW-Authenticate": "Bearer"} if exc.status == HTTPStatus.UNAUTHORIZED else {}
    if exc.status == HTTPStatus.SERVICE_UNAVAILABLE and exc.retryable:
        headers["Retry-After"] = "2"
    if isinstance(exc, TooManyTasks):
        headers["Retry-After"] = str(exc.retry_after)
    return answer(scope, exc.status, exc.code, str(exc), exc.details, headers)


def unexpected(scope: Mapping[str, Any]) -> JSONResponse:
    """A fault of ours: nothing of its inside is told; the log has it under the same trace id."""
    message = "an unexpected fault in holdfast; its log has the cause under this trace id"
    return answer(scope, HTTPStatus.INTERNAL_SERVER_ERROR, "INTERNAL", message)


def install(app: FastAPI) -> None:
    """Give an app the handlers and the OpenAPI entries of this body."""
    app.add_exception_handler(HoldfastError, _holdfast)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]  # the way that FastAPI documents


async def _holdfast(request: Request, exc: Exception) -> JSONResponse:
    assert isinstance(exc, HoldfastError)
    if exc.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.warning("http.unavailable", code=exc.code, reason=str(exc))
    return of(request.scope, exc)


async def _invalid(request: Request, exc: Exception) -> JSONResponse:
    assert isinstance(exc, RequestValidationError)
    return invalid(request, exc, InvalidRequest)


def invalid(request: Request, exc: RequestValidationError, kind: type[UserError]) -> JSONResponse:
    """What is wrong with a request, field by field, as an error of this kind."""
    if isinstance(exc.body, bytes):
        found = request.headers.get("content-type")
        return of(request.scope, WrongMediaType(f"Content-Type is {shown(found)}; allowed: application/json"))
    faults = [_fault(error) for error in exc.errors()]
    message = "; ".join(f"{fault['field']}: {fault['message']}" for fault in faults)
    return of(request.scope, kind(message, fields=faults))


def _fault(error: Mapping[str, Any]) -> dict[str, Any]:
    where, *path = error["loc"]
    if error["type"] == "json_invalid":
        message = f"not JSON: {error['ctx']['error']} at character {path[0]}"
        return {"field": where, "message": message, "found": None}
    field = ".".join(map(str, path)) or where
    if error["type"] == "missing":
        place = f" in the {where}" if path else ""
        return {"field": field, "message": f"is missing{place}; it is required", "found": None}
    if error["type"] == "extra_forbidden":
        return {"field": field, "message": "no such field; see /docs for those there are", "found": None}
    found = shown(error["input"])
    return {"field": field, "message": f"found {found}; {_lowered(error['msg'])}", "found": found}


def _lowered(text: str) -> str:
    text = text.removeprefix("Value error, ")
    return text[:1].lower() + text[1:]


async def _http(request: Request, exc: Exception) -> JSONResponse:
    assert isinstance(exc, HTTPException)
    path, headers = request.url.path, dict(exc.headers or {})
    code, message = HTTPStatus(exc.status_code).name, str(exc.detail)
    match exc.status_code:
        case HTTPStatus.NOT_FOUND:
            message = f"nothing at {path!r}; /docs lists what there is"
        case HTTPStatus.METHOD_NOT_ALLOWED:
            headers["Allow"] = ", ".join(_methods(request.app, path))
            message = f"{request.method} is not possible on {path!r}; allowed: {headers['Allow']}"
        case HTTPStatus.BAD_REQUEST:
            message = "the body could not be read as JSON in UTF-8"
    return answer(request.scope, exc.status_code, code, message, headers=headers)


def _methods(app: FastAPI, path: str) -> list[str]:
    """All methods of a path: Starlette names only those of the first route that fits. A path that stands in a route as
    it is, such as `/tasks/agent`, is none that a parameter stands for."""
    fitting = [route for route in iter_route_contexts(app.routes) if route.path_regex.match(path)]
    own = [route for route in fitting if route.path == path]
    told = [route for route in own if getattr(route, "include_in_schema", True)]
    return sorted({method for route in told or own or fitting for method in route.methods or ()})


def _openapi(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        problem = ErrorBody.model_json_schema(ref_template="#/components/schemas/{model}")
        schema["components"]["schemas"] |= problem.pop("$defs") | {"ErrorBody": problem}
        app.openapi_schema = schema
    return app.openapi_schema


def _declared(status: int) -> dict[str, Any]:
    reference = {"schema": {"$ref": "#/components/schemas/ErrorBody"}}
    return {"description": HTTPStatus(status).phrase, "content": {MEDIA_TYPE: reference}}


DECLARED: dict[int | str, dict[str, Any]] = {status: _declared(status) for status in _DECLARED}
"""For `responses=`: FastAPI by itself would document these as application/json."""
