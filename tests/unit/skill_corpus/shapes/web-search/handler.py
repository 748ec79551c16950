from typing import Any


async def execute(input_data: dict[str, Any]) -> dict[str, Any]:
    return {"results": [], "total": 0, "query": input_data["query"]}
