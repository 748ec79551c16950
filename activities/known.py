"""What is known before a box starts: the journal of earlier generations, read from its segments."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from holdfast.blobs import BlobStore
from holdfast.contracts.journal import Entry, stands
from holdfast.contracts.program import Answered, HelloReply, ProgramJob, Segment
from holdfast.contracts.skill import SkillFacts


@dataclass
class Known:
    """Answers by call id, and the deliveries that the same version of the program made before."""

    answers: dict[str, Answered] = field(default_factory=dict)
    seen: list[int] = field(default_factory=list)

    @classmethod
    def read(cls, job: ProgramJob, blobs: BlobStore, facts: dict[str, SkillFacts]) -> "Known":
        known = cls()
        for ref in job.segments:
            segment = Segment.model_validate(blobs.get_json(ref))
            known._take(segment.entries, job, facts)
            if segment.seen_version == job.version:
                known.seen += segment.seen
        return known

    def hear(self, reply: HelloReply) -> None:
        """What was recorded since this generation began, told by `hello`."""
        self.answers.update((one.id, one) for one in reply.answers)
        self.seen += reply.seen

    def _take(self, entries: Iterable[Entry], job: ProgramJob, facts: dict[str, SkillFacts]) -> None:
        for entry in (one for one in entries if one.scope in ("", job.scope)):
            max_age = facts[entry.skill].max_age_seconds if entry.skill in facts else None
            if stands(entry, job.version, job.version_began_at, max_age):
                self.answers[entry.id] = Answered.of(entry)
            else:
                self.answers.pop(entry.id, None)
