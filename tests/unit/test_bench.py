"""The figures of the bench: what is computed from times, sizes and kills, and what is said of them."""

import math

import pytest

from bench import goals, marks, report
from bench.engines import Stored
from bench.growth import Growth
from bench.measure import Measured, Row
from bench.recovery import Kill, Recovery
from bench.replies import decide, program
from bench.stats import Ratio, exponent, ratio
from bench.stub import Asked
from bench.task import Task, value
from bench.workloads import Workload


def row(times: list[float]) -> Row:
    stored = Stored(1650, 11)
    return Row(dict(enumerate(times)), [15.0], [40.0], Asked(1, 400), stored, 0, 100.0)


def table(name: str, n: int, latency_ms: int, **times: list[float]) -> Measured:
    return Measured(Workload(name, "a title", n, latency_ms, 5), {engine: row(all_) for engine, all_ in times.items()})


class TestRatio:
    def test_same_figures_give_one_without_a_width(self) -> None:
        times = {one: 100.0 + one for one in range(10)}
        assert ratio(times, times) == Ratio(1.0, 1.0, 1.0)

    def test_what_slows_a_whole_round_cancels_out(self) -> None:
        base = {one: 100.0 * 1.7**one for one in range(10)}
        found = ratio({one: 1.5 * time for one, time in base.items()}, base)
        assert (found.value, found.low, found.high) == pytest.approx((1.5, 1.5, 1.5))

    def test_interval_holds_the_ratio_and_is_the_same_each_time(self) -> None:
        ours = {one: 150.0 + one * 7 % 11 for one in range(12)}
        base = {one: 100.0 + one * 5 % 13 for one in range(12)}
        found = ratio(ours, base)
        assert found.low is not None
        assert found.low <= found.value <= found.upper
        assert found == ratio(ours, base)

    def test_only_rounds_that_both_have_count(self) -> None:
        assert ratio({0: 10.0, 1: 900.0}, {0: 5.0, 2: 1.0}).value == 2

    def test_few_rounds_have_no_interval_and_meet_no_goal(self) -> None:
        found = ratio({0: 1.0}, {0: 2.0})
        assert str(found) == "0.50"
        assert found.upper == found.half_width == math.inf

    def test_no_common_round_is_refused(self) -> None:
        with pytest.raises(ValueError, match="no round has both figures"):
            ratio({0: 1.0}, {1: 1.0})


@pytest.mark.parametrize("power", [0.5, 1, 2])
def test_exponent_is_that_of_the_power(power: float) -> None:
    assert exponent({n: 3 * n**power for n in (10, 100, 1000)}) == pytest.approx(power)


def test_exponent_of_one_size_is_refused() -> None:
    with pytest.raises(ValueError, match="two sizes or more"):
        exponent({10: 5.0})


def test_growth_tells_what_a_call_adds() -> None:
    grown = Growth("holdfast, in gathers", {10: Stored(9_000, 90), 110: Stored(109_000, 790)}, {10: 500.0, 110: 1500.0})
    assert (grown.added("records"), grown.added("size_bytes"), grown.ms_a_call) == (7, 1000, 10)
    assert [goal.is_met for goal in goals.of_growth([grown])] == [True, True, True]


def test_goal_is_judged_by_the_upper_end() -> None:
    noisy = [100.0, 100.0, 100.0, 100.0, 190.0, 190.0, 190.0]
    [wall] = [
        g for g in goals.of_walls([table("W1", 1, 0, raw=[100.0] * 7, holdfast=noisy)]) if g.text.startswith("W1")
    ]
    assert wall.measured.startswith("1.00 [1.00, 1.90]")
    assert not wall.is_met


def test_a_noisy_run_cannot_meet_the_goal_beside_the_noise() -> None:
    calm, wild = [200.0] * 8, [180.0, 220.0] * 4
    calm_goals = list(goals.of_walls([table("W1", 1, 200, raw=calm, raw_again=calm, holdfast=calm)]))
    wild_goals = list(goals.of_walls([table("W1", 1, 200, raw=calm, raw_again=wild, holdfast=calm)]))
    assert calm_goals[0].is_met
    assert not wild_goals[0].is_met


def test_one_kill_that_is_not_survived_misses_the_goal() -> None:
    fine = Kill(is_complete=True, boot_s=1.0, lost_s=2.0, lookups_repeated=1, requests_repeated=0)
    found = Recovery("holdfast", 1.5, [fine, fine, Kill(is_complete=False)])
    met = {goal.text: goal.is_met for goal in goals.of_recovery([found])}
    assert not met.pop("kills of the worker, holdfast: all complete")
    assert all(met.values())
    assert "2 of 3" in report.recovery([found])


def test_tables_have_as_many_cells_in_each_line() -> None:
    tables = [table("W4", 10, 0, raw=[1.0] * 5, raw_again=[2.0] * 5, holdfast=[3.0] * 5)]
    for text in (report.wall(tables[0]), report.goals(list(goals.of_walls(tables)))):
        lines = [line for line in text.splitlines() if line.startswith("|")]
        assert len(lines) >= 3
        assert len({line.count("|") for line in lines}) == 1


def test_template_names_only_parts_that_there_are() -> None:
    parts = dict.fromkeys(("walls", "growth", "recovery", "profile", "channels", "goals", "machine", "minutes"), "*")
    assert "{{" not in report.filled(report.TEMPLATE.read_text(), parts)
    with pytest.raises(KeyError):
        report.filled("{{unknown}}", parts)


class TestStub:
    def test_task_is_found_in_its_prompt(self) -> None:
        task = Task("run1", "W4", 10, 200, 5, "gather", "lookup_activity")
        assert Task.found_in(f'{{"content": "{task.prompt}"}}') == task

    def test_sum_is_made_of_the_answers_that_came_back(self) -> None:
        task = Task("run1", "W4", 2)
        answers = [{"role": "tool", "content": f'{{"value": {value(i)}}}'} for i in range(task.n)]
        tools = [{"function": {"name": "lookup"}}]
        assert decide({"messages": answers, "tools": tools}, task).text == task.expected
        [call] = decide({"messages": answers[:1], "tools": tools}, task).calls
        assert call.arguments == {"key": "run1/1/0"}

    def test_twenty_calls_come_in_one_reply(self) -> None:
        task = Task("run1", "W3", 20)
        asked = decide({"messages": [{"role": "user", "content": task.prompt}]}, task)
        assert [call.arguments["key"] for call in asked.calls] == [task.key(i) for i in range(20)]
        answers = [{"role": "tool", "content": f'{{"value": {value(i)}}}'} for i in range(20)]
        assert decide({"messages": answers}, task).text == task.expected

    @pytest.mark.parametrize("dialect", ["plain", "gather", "monty", "smol"])
    def test_programs_are_python(self, dialect: str) -> None:
        import ast

        task = Task("run1", "W4", 3, dialect=dialect)  # type: ignore[arg-type]
        compile(program(task), "<program>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


def test_marks_keep_first_and_last_of_what_repeats() -> None:
    found = marks.first_and_last([("a", 1.0), ("b", 2.0), ("a", 3.0), ("a", 2.5)])
    assert found == {"a: first": 1.0, "a: last of 3": 3.0, "b": 2.0}
