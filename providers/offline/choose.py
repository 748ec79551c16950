"""From a task's words to the skills that do it, or to the word that this needs a model."""

from collections.abc import Sequence
from dataclasses import dataclass

from holdfast.contracts.base import Json
from holdfast.snapshot import CatalogueSkill
from providers.offline.arguments import Filled
from providers.offline.match import hits
from providers.offline.offers import FINDS, LISTS, READS, WRITES, Task, offer
from providers.offline.places import ends, is_file, of_kind
from providers.offline.recipes import recipe
from providers.offline.task import Place, Said, read, split
from providers.offline.words import NEEDS_MODEL, WEAK

_MOST_STEPS = 6
_NO_USE_OF_FILES = 1.5
"""What it costs a skill that the task names files, and it takes none."""
_QUOTED_COUNTS = 2.0
"""A quoted text makes a search of files as likely as two more words do."""


@dataclass(frozen=True)
class Step:
    """One skill, what it is called with, and the words of the task that chose it."""

    skill: CatalogueSkill
    filled: Filled
    words: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.skill.name


@dataclass(frozen=True)
class Choice:
    """No `steps`: it is not possible without a model; or `lacking` lacks an argument, which can be asked for.
    `helpers` are the skills that find and read the files; `unmatched` are words that nothing was done for."""

    said: Said
    places: tuple[Place, ...] = ()
    steps: tuple[Step, ...] = ()
    helpers: tuple[str, ...] = ()
    unmatched: tuple[str, ...] = ()
    lacking: Step | None = None

    @property
    def names(self) -> list[str]:
        """All skills that a program for it calls."""
        return list(dict.fromkeys([*(step.name for step in self.steps), *self.helpers]))


def choose(text: str, skills: Sequence[CatalogueSkill], answers: tuple[str, ...] = ()) -> Choice:
    """The skills for a task. The same task and skills give the same choice. Skills of kind `engine` are about the
    conversation: words such as `add` do not lead to them."""
    said, skills = read(text), [skill for skill in skills if skill.spec.kind != "engine"]
    found = hits(said.words, skills)
    saves = any(WRITES in found[word] and found[word][WRITES].strong for word in said.words)
    places = of_kind(said, said.places if saves and said.targets else said.all_places)
    return _Choosing(Task(said, {skill.name: skill for skill in skills}, found, places, answers), saves).choice()


def looks_at_files(step: Step) -> bool:
    """Whether its section is about the files that were found."""
    how = recipe(step.skill)
    return bool(step.filled.text_parameter) if how is None else how.function not in ("save", "find_text")


class _Choosing:
    def __init__(self, task: Task, saves: bool) -> None:
        self.task, self.saves, self.words = task, saves, task.said.words
        self.offers = {name: offer(task, skill) for name, skill in task.skills.items() if name != WRITES}

    def choice(self) -> Choice:
        steps = self._greedy()
        if self.saves and (step := self._saving(steps)):
            steps.append(step)
        used = {word for step in steps for word in step.filled.words}
        content = [word for word in self.words if word not in WEAK | used]
        missed = [word for word in content if not any(self.task.is_strong(word, step.name) for step in steps)]
        lacking = self._lacking(steps)
        if not steps or lacking or self._is_too_much(missed, content):
            return Choice(self.task.said, lacking=lacking)
        ordered = sorted(steps, key=lambda step: self._position(step, steps))
        return Choice(self.task.said, self.task.places, tuple(ordered), self._helpers(steps), tuple(missed))

    def _is_too_much(self, missed: list[str], content: list[str]) -> bool:
        """Whether too many words mean nothing to the skills: half of them when the task names files or quotes a text,
        else a quarter; or the first one, when it is one such as `explain`."""
        first = next(iter(self.words), "")
        is_known = any(self.task.is_strong(first, name) for name in self.task.skills) if first else False
        needs_thought = first in NEEDS_MODEL and not is_known
        return needs_thought or len(missed) > len(content) / (2 if self.task.places or self.task.said.quoted else 4)

    def _greedy(self) -> list[Step]:
        """The skill that has most of the words, then the one that has most of those that are left, and so on."""
        steps: list[Step] = []
        left = list(self.words)
        able = [name for name, offered in self.offers.items() if not offered.missing and self._takes_the_files(name)]
        while able and len(steps) < _MOST_STEPS:
            best = max(able, key=lambda name: (self._fit(name, left), name))
            if not self._is_reason(best, left, is_first=not steps):
                break
            step = self._step(best, left)
            steps.append(step)
            if step.filled.program:
                break
            left = [word for word in left if word not in step.words and word not in step.filled.words]
            able = [name for name in able if name != best and not self.offers[name].program]
        return steps

    def _step(self, name: str, words: list[str]) -> Step:
        own = tuple(word for word in words if name in self.task.hits[word])
        return Step(self.task.skills[name], self.offers[name], own)

    def _fit(self, name: str, words: list[str]) -> tuple[float, ...]:
        """How much of the words a skill has: first those that mean something, then those that many tasks have."""
        found = {word: hit for word in words if (hit := self.task.hits[word].get(name))}
        good = [hit for word, hit in found.items() if word not in WEAK]
        weak = [hit for word, hit in found.items() if word in WEAK and hit.strong]
        finds = name == FINDS and bool(self.offers[name].quotes) and any(hit.strong for hit in found.values())
        count = sum(1.0 if hit.strong else 0.5 for hit in good) + self._has_endings(name) + finds * _QUOTED_COUNTS
        count -= _NO_USE_OF_FILES * (bool(self.task.places) and not self._uses_files(name))
        return count, sum(hit.score for hit in good), len(weak), sum(hit.score for hit in weak)

    def _is_reason(self, name: str, words: list[str], is_first: bool) -> bool:
        strong = [word for word in words if self.task.is_strong(word, name)]
        if is_first:
            return bool(strong)
        return any(word not in WEAK for word in strong)

    def _uses_files(self, name: str) -> bool:
        """Whether the files that the task names go into what it is called with."""
        skill, filled = self.task.skills[name], self.offers[name]
        paths = {place.path for place in self.task.places}
        is_given = any(isinstance(value, str) and value in paths for value in filled.arguments.values())
        return recipe(skill) is not None or bool(filled.text_parameter) or is_given

    def _has_endings(self, name: str) -> bool:
        """Whether the task names a file of a kind that this skill is for."""
        how = recipe(self.task.skills[name])
        return how is not None and bool(how.endings) and any(ends(place, how.endings) for place in self.task.places)

    def _takes_the_files(self, name: str) -> bool:
        """Not when all that the task names are files, and none is of the kind that this skill takes."""
        how, places = recipe(self.task.skills[name]), self.task.places
        if how is None or not how.endings or not places:
            return True
        return any(ends(place, how.endings) or not is_file(place) for place in places)

    def _saving(self, steps: list[Step]) -> Step | None:
        """The step that writes: what is quoted, if no other step took it, else the report of the other steps."""
        said = self.task.said
        target = next(reversed(said.targets or [place.path for place in said.all_places if place.pattern == "**"]), "")
        is_report = bool(steps)
        if not target or any(symbol in target for symbol in "*?{") or (is_report and not said.targets):
            return None
        quoted = () if any(step.filled.quotes for step in steps) else said.quoted[:1]
        if not quoted and not is_report:
            return None
        arguments: dict[str, Json] = {"path": target, **({"content": quoted[0]} if quoted else {})}
        words = tuple(word for word in self.words if WRITES in self.task.hits[word])
        return Step(self.task.skills[WRITES], Filled(arguments), words)

    def _position(self, step: Step, steps: list[Step]) -> int:
        """Where the first word stands that chose this step and no other; what writes comes last."""
        others = {
            word for each in steps if each is not step for word in self.words if each.name in self.task.hits[word]
        }
        own = [place for place, word in enumerate(self.words) if word in step.words and word not in others]
        return len(self.words) + 1 if step.name == WRITES else min(own, default=len(self.words))

    def _helpers(self, steps: list[Step]) -> tuple[str, ...]:
        looks = LISTS in self.task.skills and any(map(looks_at_files, steps))
        reads = any(step.filled.text_parameter for step in steps)
        return (*([LISTS] if looks else []), *([READS] if reads else []))

    def _lacking(self, steps: list[Step]) -> Step | None:
        """The skill that has all the words, more than any step, one of them in its name, and lacks one argument."""
        content = [word for word in self.words if word not in WEAK] or list(self.words)
        most = sum(self.task.is_strong(word, steps[0].name) for word in self.words) if steps else 0
        for name, offered in self.offers.items():
            fits = content and all(self.task.is_strong(word, name) for word in content)
            if fits and len(offered.missing) == 1 and len(content) > most and set(split(name)) & set(content):
                return Step(self.task.skills[name], offered, tuple(content))
        return None
