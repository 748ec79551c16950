"""What a workflow can be searched by, in the Temporal UI and by `temporal workflow list`."""

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.client import Client
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes
from temporalio.service import RPCError, RPCStatusCode

from holdfast.errors import NoTemporal, SettingsInvalid

TENANT_ID = SearchAttributeKey.for_keyword("TenantId")
USER_HASH = SearchAttributeKey.for_keyword("UserHash")
TASK_TYPE = SearchAttributeKey.for_keyword("TaskType")
TASK_NAME = SearchAttributeKey.for_keyword("TaskName")
SESSION_ID = SearchAttributeKey.for_keyword("SessionId")
TRACE_ID = SearchAttributeKey.for_keyword("TraceId")
ALL = (TENANT_ID, USER_HASH, TASK_TYPE, TASK_NAME, SESSION_ID, TRACE_ID)

_KEYWORD = IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD


def pairs(
    *,
    tenant: str,
    task_type: str,
    trace_id: str,
    task_name: str | None = None,
    user_hash: str | None = None,
    session_id: str | None = None,
) -> TypedSearchAttributes:
    """Search attributes of one task; what is None is left out. Never a raw e-mail address or a prompt."""
    values = {
        TENANT_ID: tenant,
        USER_HASH: user_hash,
        TASK_TYPE: task_type,
        TASK_NAME: task_name,
        SESSION_ID: session_id,
        TRACE_ID: trace_id,
    }
    return TypedSearchAttributes(
        [SearchAttributePair(key, value) for key, value in values.items() if value is not None]
    )


async def ensure(client: Client) -> None:
    """Register those that the client's namespace lacks. Safe to repeat, and by many processes at once.

    Raises:
        SettingsInvalid: one of the names is there with another type than Keyword.
        NoTemporal: the server cannot be asked, or does not let us register.
    """
    try:
        known = await _known(client)
        _refuse_other_types(known)
        missing = [key.name for key in ALL if key.name not in known]
        if missing:
            await _add(client, missing)
    except RPCError as exc:
        raise NoTemporal(f"cannot register search attributes in namespace {client.namespace!r}: {exc.message}") from exc


async def _known(client: Client) -> dict[str, IndexedValueType.ValueType]:
    request = ListSearchAttributesRequest(namespace=client.namespace)
    return dict((await client.operator_service.list_search_attributes(request)).custom_attributes)


def _refuse_other_types(known: dict[str, IndexedValueType.ValueType]) -> None:
    wrong = [key.name for key in ALL if known.get(key.name, _KEYWORD) != _KEYWORD]
    if wrong:
        raise SettingsInvalid(
            f"search attributes {wrong} exist in this namespace with another type than Keyword; "
            "use a namespace of holdfast's own (TEMPORAL_NAMESPACE)"
        )


async def _add(client: Client, names: list[str]) -> None:
    request = AddSearchAttributesRequest(namespace=client.namespace, search_attributes=dict.fromkeys(names, _KEYWORD))
    try:
        await client.operator_service.add_search_attributes(request)
    except RPCError as exc:
        if exc.status != RPCStatusCode.ALREADY_EXISTS:
            raise
