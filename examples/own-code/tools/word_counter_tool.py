from holdfast import Tool


class WordCounterTool(Tool):
    effect = "pure"

    def __init__(self):
        super().__init__(tool_name="word_counter", description="Counts the words of a text")

    def get_schema(self):
        return {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}

    def execute(self, **kwargs):
        return {"success": True, "result": len(kwargs["text"].split()), "error": None, "metadata": {}}
