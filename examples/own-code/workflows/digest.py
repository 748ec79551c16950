from temporalio import workflow

from holdfast.temporal.own import run_agent, run_skill


@workflow.defn(name="Digest")
class DigestWorkflow:
    """Summarizes texts one after the other, and counts all their words."""

    @workflow.run
    async def run(self, given: dict) -> dict:
        summaries = [(await run_agent("summarizer", {"text": text}))["summary"] for text in given["texts"]]
        words = await run_skill("word_counter", text=" ".join(given["texts"]))
        return {"summaries": summaries, "words": words}
