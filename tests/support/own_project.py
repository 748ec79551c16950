"""A project with agents and tools in Python, as files by their paths."""

SUMMARIZER = '''
from holdfast import Agent

class SummarizerAgent(Agent):
    """Says it shorter."""

    def __init__(self):
        super().__init__(
            agent_type="summarizer",
            tools=[]
        )

    def execute(self, input_data, user_id_hash=None):
        text = input_data.get("text")
        summary = self._call_llm(f"Summarize: {text}")

        return {
            "summary": summary,
            "usage": {"input_tokens": 100, "output_tokens": 50}
        }
'''
"""The old platform's own example, but for its line of import."""

BILLING = '''
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ApplicationError

from holdfast.temporal.own import run_agent, run_skill

from .rates import RATE


@workflow.defn(name="Billing")
class BillingWorkflow:
    """Bills what was said."""

    @workflow.run
    async def run(self, given: dict) -> dict:
        if given.get("wrong"):
            raise ApplicationError("nothing to bill", type="Unbillable", non_retryable=True)
        summary = await run_agent("summarizer", {"text": given["text"]})
        loud = await run_skill("shout", text=summary["summary"])
        await workflow.sleep(timedelta(milliseconds=10))
        again = [await run_skill("adder", a=n) for n in (1, 2)]
        try:
            await run_skill("shout", text="mumble")
        except ApplicationError as exc:
            refused = exc.message
        return {"loud": loud, "again": again, "rate": RATE, "refused": refused}
'''

FILES: dict[str, str | bytes] = {
    "holdfast.yaml": "own_workflows: [billing, broken]\n",
    "workflows/billing.py": BILLING,
    "workflows/broken.py": "import nothing_there\n",
    "workflows/rates.py": "RATE = 7\n",
    "agents/summarizer_agent.py": SUMMARIZER,
    "agents/clerk_agent.py": '''
import os
from agents.words import SHOUTED
from holdfast import Agent, ToolError

class ClerkAgent(Agent):
    """Uses tools, and asks twice."""

    def __init__(self):
        super().__init__(agent_type="clerk", tools=["shout", "adder", "echo"])
        self.served = 0

    async def execute(self, input_data, user_id_hash=None):
        self.served += 1
        loud = self.tools["shout"].execute(text=input_data["text"])
        total = self.call_tool("adder", a=40)
        first = self._call_llm("first")
        second = await self._call_llm("second", system="Be brief")
        wrong = self.tools["shout"].execute(text=7)
        return {"output": {"loud": loud, "total": total, "llm": [first, second], "wrong": wrong["error"],
                           "served": self.served, "pid": os.getpid(), "word": SHOUTED,
                           "home": sorted(k for k in os.environ if "KEY" in k)}}
''',
    "agents/words.py": "SHOUTED = 'LOUD'\n",
    "agents/thief_agent.py": """
from holdfast import Agent

class ThiefAgent(Agent):
    def __init__(self):
        super().__init__("thief", tools=["shout"])

    def execute(self, input_data, user_id_hash=None):
        return {"found": self.tools["echo"].execute(i=1)}
""",
    "agents/crash_agent.py": """
import os, sys, time
from holdfast import Agent

class CrashAgent(Agent):
    def execute(self, input_data, user_id_hash=None):
        match input_data["how"]:
            case "exit":
                os._exit(3)
            case "raise":
                raise ValueError("no such luck")
            case "loop":
                time.sleep(60)
            case "set":
                return {"found": {1, 2}}
            case "tool":
                return self.call_tool("nothing-there", a=1)
            case "cost":
                usage = {"model_used": "openai:gpt-0", "input_tokens": 100, "output_tokens": 50, "total_cost": 0.5}
                return {"found": 1, "usage": usage}
            case "usage":
                return {"found": 1, "usage": "a lot"}
""",
    "tools/shout_tool.py": """
from holdfast import Tool

class ShoutTool(Tool):
    effect = "pure"

    def __init__(self):
        super().__init__(tool_name="shout", description="Makes a text loud")

    def get_schema(self):
        return {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}

    def execute(self, **kw):
        self.validate_params(**kw)
        if kw["text"] == "mumble":
            return {"success": False, "result": None, "error": "that cannot be shouted", "metadata": {}}
        return {"success": True, "result": kw["text"].upper(), "error": None, "metadata": {"took_ms": 1}}
""",
    "tools/adder.py": """
from holdfast import BaseTool

class Adder(BaseTool):
    name = "adder"
    description = "Adds two numbers"

    def execute(self, a: int, b: int = 2) -> int:
        return a + b
""",
}
