"""Amazon Bedrock: Claude speaks Anthropic's Messages there, every other model (Llama, Titan, …) Converse."""

import anthropic
from botocore.eventstream import ParserError
from botocore.exceptions import BotoCoreError

from providers.anthropic import ask
from providers.base import ModelReply, ModelRequest, OnDelta
from providers.converse import Converse
from providers.endpoint import Endpoint
from providers.faults import Asked


class Bedrock:
    """Both ways to one endpoint; each is opened when a model first needs it."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._claude: anthropic.AsyncAnthropicBedrock | None = None
        self._converse: Converse | None = None

    async def complete(self, request: ModelRequest, on_delta: OnDelta | None = None) -> ModelReply:
        model = request.settings.model or ""
        if "anthropic." not in model:
            self._converse = self._converse or Converse(self._endpoint)
            return await self._converse.complete(request, on_delta)
        self._claude = self._claude or _claude(self._endpoint)
        try:
            return await ask(self._claude, self._endpoint, request, on_delta)
        except BotoCoreError as exc:
            raise Asked(self._endpoint, model).refused(f"the request cannot be signed: {exc}") from None
        except ParserError as exc:
            raise Asked(self._endpoint, model).failed(f"its stream is not in Bedrock's frames: {exc}") from None

    async def close(self) -> None:
        if self._claude is not None:
            await self._claude.close()
        if self._converse is not None:
            self._converse.close()


def _claude(endpoint: Endpoint) -> anthropic.AsyncAnthropicBedrock:
    aws = endpoint.aws
    return anthropic.AsyncAnthropicBedrock(
        api_key=endpoint.key or None,
        aws_access_key=aws.access_key or None,
        aws_secret_key=aws.secret_key or None,
        aws_session_token=aws.session_token or None,
        aws_region=aws.region,
        base_url=endpoint.base_url,
        max_retries=0,
        open_telemetry=False,
    )
