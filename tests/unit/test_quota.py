"""The bound of a workspace."""

from pathlib import Path

import pytest

from holdfast.errors import SkillRefused
from skills.quota import Quota


def test_a_full_workspace_is_refused_with_what_to_do_and_taken_again_when_it_is_emptied(tmp_path: Path) -> None:
    quota = Quota(1000)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a").write_bytes(b"x" * 950)
    quota.check(tmp_path)
    (tmp_path / "b").write_bytes(b"x" * 60)
    with pytest.raises(SkillRefused, match=r"holds 1010 bytes; 1000 are allowed"):
        quota.check(tmp_path)
    (tmp_path / "b").unlink()
    quota.check(tmp_path)


def test_a_link_out_of_the_workspace_counts_only_itself(tmp_path: Path) -> None:
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    outside.mkdir()
    inside.mkdir()
    (outside / "large").write_bytes(b"x" * 5000)
    (inside / "link").symlink_to(outside)
    Quota(1000).check(inside)


def test_each_workspace_has_its_own_bound(tmp_path: Path) -> None:
    quota = Quota(1000)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    (tmp_path / "a" / "file").write_bytes(b"x" * 1000)
    with pytest.raises(SkillRefused):
        quota.check(tmp_path / "a")
    quota.check(tmp_path / "b")
