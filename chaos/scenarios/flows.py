"""A declared flow: two steps side by side, a join, and a flow within the flow."""

from chaos.scenario import Scenario

SCENARIO = Scenario(
    name="flow",
    about="a graph of steps, and a flow in it",
    body={"type": "workflow:chaos_graph", "input": {"n": 3}, "limits": {"task_seconds": 600}},
    output={
        "status": "completed",
        "step_outputs": {
            "left": 3,
            "right": 6,
            "join": 9,
            "inner": {"status": "completed", "step_outputs": [9, 10], "final_output": 10},
        },
    },
    calls=14,
)
