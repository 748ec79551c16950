from holdfast import Agent


class SummarizerAgent(Agent):
    """Says a text in fewer words, and counts them."""

    def __init__(self):
        super().__init__(agent_type="summarizer", tools=["word_counter"])

    def execute(self, input_data, user_id_hash=None):
        text = input_data.get("text")
        summary = self._call_llm(f"Summarize: {text}")
        counted = self.tools["word_counter"].execute(text=text)
        return {"summary": summary, "words": counted["result"]}
