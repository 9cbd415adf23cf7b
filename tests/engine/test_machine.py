"""Memory that is left, under the limits of containers and batch systems too."""

import pytest

from common.engine import machine

GB = 10**9


def group(folder, names, limit, used, **stat):
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in zip(names, (limit, used), strict=True):
        (folder / f"memory.{name}").write_text(f"{value}\n")
    lines = "".join(f"{key} {value}\n" for key, value in stat.items())
    (folder / "memory.stat").write_text(lines)


V1, V2 = ("limit_in_bytes", "usage_in_bytes"), ("max", "current")


def test_version_1(tmp_path):
    cached = {"total_inactive_file": GB, "total_active_file": GB}
    group(tmp_path / "memory/a/b", V1, 8 * GB, 5 * GB, **cached)
    group(tmp_path / "memory", V1, 2**63 - 4096, 9 * GB)
    (tmp_path / "own").write_text("5:cpu,cpuacct:/x\n4:memory:/a/b\n0::/\n")
    left = machine._left_of_cgroups(tmp_path, tmp_path / "own")
    assert min(left) == 5 * GB  # files in memory are given up


@pytest.mark.parametrize("own", ["/job/step", "/", "/../outside"])
def test_version_2(own, tmp_path):
    """The smallest limit on the way counts; in a container its own is at the top."""
    tight = tmp_path / "job" if own == "/job/step" else tmp_path
    group(tmp_path / "job/step", V2, "max", GB)
    group(tight, V2, 3 * GB, 2 * GB, inactive_file=GB // 2)
    (tmp_path / "own").write_text(f"0::{own}\n")
    left = list(machine._left_of_cgroups(tmp_path, tmp_path / "own"))
    assert left == [3 * GB // 2]


def test_no_groups(tmp_path):
    assert not list(machine._left_of_cgroups(tmp_path, tmp_path / "own"))
    (tmp_path / "own").write_text("0::/a\n")
    assert not list(machine._left_of_cgroups(tmp_path, tmp_path / "own"))


def test_the_smallest_counts(monkeypatch):
    free = machine.available_memory()
    assert 0 < free < 2**50
    for left, expected in (([GB], min(GB, free)), ([-GB], 0)):
        monkeypatch.setattr(machine, "_left_of_cgroups", lambda left=left: left)
        assert machine.available_memory() == expected
