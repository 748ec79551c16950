"""Which provider, where it is reached, and with which key: from the environment given, and nothing else."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from holdfast.contracts.model import ModelSettings
from holdfast.errors import ModelRefused, NoModel, SettingsInvalid
from providers.endpoint import Endpoint, endpoint, is_own, without_password
from providers.rows import Row, named, rows
from providers.table import Models

TABLE = rows()
ALL_KEYS = {
    "ANTHROPIC_API_KEY": "a",
    "OPENAI_API_KEY": "b",
    "OPENROUTER_API_KEY": "c",
    "ZHIPUAI_API_KEY": "d",
    "GEMINI_API_KEY": "e",
    "AWS_ACCESS_KEY_ID": "f",
    "AWS_SECRET_ACCESS_KEY": "g",
    "AWS_REGION": "eu-central-1",
}


def found(provider: str, environ: dict[str, str], *, is_default: bool = False, **settings: Any) -> Endpoint:
    return endpoint(provider, TABLE[provider], ModelSettings(**settings), environ, is_default=is_default)


@pytest.mark.parametrize(
    ("provider", "given", "expected"),
    [
        ("ollama", "http://localhost:11434", "http://localhost:11434/v1"),
        ("ollama", "http://localhost:11434/", "http://localhost:11434/v1"),
        ("ollama", "http://localhost:11434/v1", "http://localhost:11434/v1"),
        ("ollama", "gpu-box:11434", "http://gpu-box:11434/v1"),
        ("ollama", "0.0.0.0:11434", "http://127.0.0.1:11434/v1"),
        ("openai-compatible", "https://open.bigmodel.cn/api/paas/v4/", "https://open.bigmodel.cn/api/paas/v4"),
        ("anthropic", "https://api.anthropic.com/v1/", "https://api.anthropic.com"),
        ("anthropic", "https://open.bigmodel.cn/api/anthropic", "https://open.bigmodel.cn/api/anthropic"),
    ],
)
def test_base_url_is_taken_as_people_write_it(provider: str, given: str, expected: str) -> None:
    environ = {"ANTHROPIC_API_KEY": "k"}
    assert found(provider, environ, api_base=given).base_url == expected
    assert found(provider, environ, host=given).base_url == expected


@pytest.mark.parametrize(
    ("provider", "expected"),
    [
        ("anthropic", "https://api.anthropic.com"),
        ("openai", "https://api.openai.com/v1"),
        ("openrouter", "https://openrouter.ai/api/v1"),
        ("glm", "https://open.bigmodel.cn/api/paas/v4"),
        ("glm-anthropic", "https://open.bigmodel.cn/api/anthropic"),
        ("gemini", "https://generativelanguage.googleapis.com/v1beta/openai"),
        ("bedrock", "https://bedrock-runtime.eu-central-1.amazonaws.com"),
        ("ollama", "http://localhost:11434/v1"),
        ("vllm", "http://localhost:8000/v1"),
        ("lmstudio", "http://localhost:1234/v1"),
    ],
)
def test_row_knows_its_own_address(provider: str, expected: str) -> None:
    assert found(provider, ALL_KEYS).base_url == expected


@pytest.mark.parametrize("given", ["ftp://somewhere", "http://", "file:///etc/passwd", "http://box:port/v1"])
def test_base_url_that_is_none_is_refused(given: str) -> None:
    with pytest.raises(ModelRefused, match="no http or https URL"):
        found("ollama", {}, api_base=given)


def test_general_base_url_speaks_of_the_default_provider_alone() -> None:
    environ = ALL_KEYS | {"LLM_BASE_URL": "http://gpu-box:9000/v1"}
    assert found("vllm", environ, is_default=True).base_url == "http://gpu-box:9000/v1"
    assert found("glm", environ, is_default=True).base_url == "http://gpu-box:9000/v1"
    assert found("vllm", environ).base_url == "http://localhost:8000/v1"
    assert found("anthropic", environ, is_default=True).base_url == "https://api.anthropic.com"
    assert found("openai-compatible", environ).base_url == "http://gpu-box:9000/v1"


def test_variables_of_openai_belong_to_openrouter_only_without_a_key_of_openai() -> None:
    environ = {"OPENROUTER_API_KEY": "r", "OPENAI_API_BASE_URL": "http://proxy/v1"}
    assert found("openrouter", environ).base_url == "http://proxy/v1"
    assert found("openrouter", environ | {"OPENAI_API_KEY": "o"}).base_url == "https://openrouter.ai/api/v1"
    assert found("openai", environ | {"OPENAI_API_KEY": "o"}).base_url == "http://proxy/v1"


@pytest.mark.parametrize("own", ["sk-ant-api03-x", "sk-proj-x", "sk-or-v1-x"])
def test_key_that_is_plainly_another_vendors_goes_to_no_compatible_server(own: str) -> None:
    environ = {"LLM_BASE_URL": "http://somewhere/v1", "ANTHROPIC_API_KEY": own, "OPENAI_API_KEY": own}
    assert found("openai-compatible", environ).key == ""
    assert found("openai-compatible", environ | {"ANTHROPIC_API_KEY": "of-zhipu"}).key == "of-zhipu"
    assert found("openai-compatible", environ | {"LLM_API_KEY": "mine"}).key == "mine"


@pytest.mark.parametrize(
    ("environ", "missing"),
    [
        ({}, "AWS_REGION"),
        ({"AWS_REGION": "r"}, "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
        ({"AWS_REGION": "r", "AWS_ACCESS_KEY_ID": "i"}, "set AWS_SECRET_ACCESS_KEY"),
    ],
)
def test_what_bedrock_misses_is_named(environ: dict[str, str], missing: str) -> None:
    with pytest.raises(NoModel, match=missing):
        found("bedrock", environ)


def test_endpoint_shows_no_secret() -> None:
    environ = ALL_KEYS | {
        "ANTHROPIC_API_KEY": "hush-1",
        "AWS_SECRET_ACCESS_KEY": "hush-2",
        "AWS_SESSION_TOKEN": "hush-3",
    }
    shown = repr(found("anthropic", environ)) + repr(found("bedrock", environ))
    assert "hush" not in shown
    assert found("bedrock", environ).secrets == ("hush-2", "hush-3")
    assert found("ollama", {}, host="http://me:hush-4@box:1").secrets == ("hush-4",)
    assert without_password("http://me:hush-4@box:1/v1") == "http://box:1/v1"


@pytest.mark.parametrize(
    ("url", "own"),
    [
        ("http://localhost:8000/v1", True),
        ("http://127.0.0.1:8000", True),
        ("http://127.0.0.2:8000", True),
        ("http://[::1]:8000/v1", True),
        ("http://LOCALHOST:8000/v1", True),
        ("http://localhost:8001/v1", False),
        ("http://gpu-box:8000/v1", False),
        ("http://localhost/v1", False),
    ],
)
def test_all_names_of_loopback_are_our_own_address(url: str, own: bool) -> None:
    assert is_own(url, "http://127.0.0.1:8000") is own
    assert not is_own(url, None)


# -- which provider


def test_first_key_in_the_order_of_the_table_decides() -> None:
    environ = dict(ALL_KEYS)
    order = []
    for variable in ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "OPENROUTER_API_KEY", "ZHIPUAI_API_KEY", "GEMINI_API_KEY"):
        order.append(Models(environ, ModelSettings()).default().provider)
        del environ[variable]
    order.append(Models(environ, ModelSettings()).default().provider)
    del environ["AWS_SECRET_ACCESS_KEY"]
    order.append(Models(environ, ModelSettings()).default().provider)
    assert order == ["anthropic", "openai", "openrouter", "glm", "gemini", "bedrock", "offline"]


def test_default_model_is_of_the_row_or_its_variable_or_asked_for() -> None:
    assert Models({"ANTHROPIC_API_KEY": "k"}, ModelSettings()).default().model == "claude-sonnet-5-5"
    assert Models({"OPENAI_API_KEY": "k", "OPENAI_MODEL": "o9"}, ModelSettings()).default().model == "o9"
    asked = ModelSettings(provider="zhipu", model="glm-4")
    assert Models({}, asked).default() == ModelSettings(provider="glm", model="glm-4")
    assert Models({}, ModelSettings(model="glm-4")).default().model == "offline"


def test_available_are_rows_that_something_names() -> None:
    assert Models({}, ModelSettings()).available() == ["offline"]
    assert Models({"OLLAMA_HOST": "gpu-box"}, ModelSettings()).available() == ["ollama", "offline"]
    assert Models({"LLM_BASE_URL": "http://x"}, ModelSettings()).available() == ["openai-compatible", "offline"]
    assert Models({}, ModelSettings(provider="vllm")).available() == ["vllm", "offline"]
    assert Models({"GLM_API_KEY": "k"}, ModelSettings()).available() == ["glm", "glm-anthropic", "offline"]
    gateway = {"gateway": {"wire": "openai", "base_url": "http://x", "key_needed": False}}
    assert Models({}, ModelSettings(), gateway).available() == ["gateway", "offline"]
    assert Models({}, ModelSettings(), {"ollama": {"concurrency": 1}}).available() == ["offline"]


@pytest.mark.parametrize(
    ("alias", "name"),
    [("aws_bedrock", "bedrock"), ("GLM-4", "glm"), ("zhipu", "glm"), (" OpenAI ", "openai"), ("lm-studio", "lmstudio")],
)
def test_alias_finds_its_row(alias: str, name: str) -> None:
    assert named(TABLE, alias) == name


def test_default_provider_that_is_none_is_told_when_it_is_asked() -> None:
    models = Models({"OPENAI_API_KEY": "k"}, ModelSettings(provider="opnai"))
    assert models.available() == ["openai", "offline"]
    with pytest.raises(NoModel, match="did you mean 'openai'"):
        models.default()


def test_unknown_provider_gets_a_guess_and_the_list() -> None:
    with pytest.raises(NoModel, match=r"'antropic'; did you mean 'anthropic'\? Known: anthropic, openai"):
        named(TABLE, "antropic")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"openai": {"prise": "x"}}, r"providers\.openai\.prise: found 'x'"),
        ({"mine": {"base_url": "http://x"}}, r"providers\.mine\.wire"),
        ({"openai": "http://x"}, r"providers\.openai: found 'http://x'; a mapping"),
        ({"openai": {"prices": {"m": {"input": -1, "output": 1}}}}, r"providers\.openai\.prices\.m\.input: found -1"),
    ],
)
def test_wrong_row_of_the_project_is_named(overrides: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsInvalid, match=message):
        Models({}, ModelSettings(), overrides)


def test_project_changes_a_field_and_keeps_the_others() -> None:
    changed = rows({"openai": {"model": "house"}, "zhipu": {"price": "zai"}})
    assert (changed["openai"].model, changed["openai"].keys) == ("house", ["OPENAI_API_KEY"])
    assert (changed["glm"].price, "zhipu" in changed) == ("zai", False)


# -- the page that documents it

PAGE = (Path(__file__).parents[2] / "docs" / "models.md").read_text()


@pytest.mark.parametrize("provider", TABLE)
def test_page_documents_the_row_as_it_is(provider: str) -> None:
    row = TABLE[provider]
    (line,) = [line for line in PAGE.splitlines() if line.startswith(f"| `{provider}` |")]
    base_url = row.base_url.replace("{region}", "<region>")
    keys = row.keys if row.key_needed and row.wire != "bedrock" and provider != "glm-anthropic" else []
    for word in (*row.aliases, *keys, *row.base_env, base_url, row.model, row.model_env):
        assert not word or f"`{word}`" in line, word


def test_rows_and_agents_on_the_page_are_valid() -> None:
    blocks = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]
    tables = [rows(block["providers"]) for block in blocks if "providers" in block]
    assert tables[0]["gateway"].prices["house-model"].output == 10
    for block in blocks:
        if "llm_config" in block:
            named(TABLE, block["llm_config"]["provider"])
    fields = set(re.findall(r"`(\w+)`", PAGE[PAGE.index("Other fields:") : PAGE.index("## When")]))
    assert fields - {"free", "native", "prompt"} <= set(Row.model_fields)
