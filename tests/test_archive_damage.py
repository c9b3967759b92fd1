"""Archives that are damaged, forged or another program's: said wherever they are met, and never believed."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import tracemalloc
from contextlib import closing
from pathlib import Path

import pytest

from archive_support import archive, checkup, forge
from esper.karn.collector import TelemetryCollector
from esper.karn.jsonl.packed import MEMBER_BYTES, DamagedArchiveError, pack_member
from esper.karn.jsonl.source import open_archive
from esper.karn.store.archive import candidate, restore_run
from esper.karn.validate import validate_file
from esper.leyline.errors import TelemetryFileError, TelemetryUsageError
from store_support import open_store
from support import ROOT
from test_cli import karn


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A telemetry folder with one run that is not archived."""
    shutil.copytree(ROOT / "examples/telemetry/oscillate", tmp_path / "telemetry/real")
    return tmp_path / "telemetry"


@pytest.fixture
def packed(folder: Path) -> Path:
    """Its archive."""
    archive(folder, "real")
    return folder / "real/events.jsonl.gz"


def spoil(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(bytes(20))


class TestDamage:
    def test_whose_segments_are_whole_costs_nothing_but_the_restore(self, folder, packed):
        spoil(packed, 1000)
        assert karn("runs", "-d", folder).stderr == ""
        done = karn("archive", "--restore", "real", "-d", folder)
        assert done.returncode == 1
        assert "real/events.jsonl.gz: member 0 can't be unpacked" in done.stderr
        assert packed.exists()
        assert not list(folder.glob("real/*events.jsonl*tmp"))

    def test_whose_segments_are_gone_is_said_everywhere(self, folder, packed):
        spoil(packed, 1000)
        shutil.rmtree(folder / "real/segments")
        said = "events can't be read: real/events.jsonl.gz: member 0 can't be unpacked"
        assert said in checkup(folder)
        assert said in karn("runs", "-d", folder).stderr

    @pytest.mark.parametrize("size", [0, 10, 1000])
    def test_of_one_that_was_cut_off_is_said(self, folder, packed, size):
        os.truncate(packed, size)
        assert "real/events.jsonl.gz: it is cut off" in checkup(folder)

    def test_is_found_by_validate_under_both_names(self, packed):
        assert validate_file(packed) == validate_file(packed.with_suffix(""))
        spoil(packed, packed.stat().st_size // 2)
        done = karn("validate", packed, packed.with_suffix(""))
        assert done.returncode == 1
        assert done.stdout.count("events can't be read: real/events.jsonl.gz: member") == 2
        assert "unfinished" not in done.stdout

    def test_that_no_member_shows_is_found_by_validate(self, packed):
        forge(packed, digest="0" * 64)
        assert "does not hold what was archived" in str(validate_file(packed).damage)

    def test_is_no_matter_of_an_event_file_that_is_there_too(self, folder, packed):
        shutil.copytree(ROOT / "examples/telemetry/oscillate", folder / "real", dirs_exist_ok=True)
        spoil(packed, 1000)
        assert validate_file(packed.with_suffix("")).damage is None
        assert validate_file(packed).damage is not None


class TestForgedIndex:
    """An archive may come from anybody: what it says is bounded before it is used."""

    TOTAL = 40_000

    @pytest.mark.parametrize(
        "fields",
        [
            {"size": -1},
            {"size": -1, "members": []},
            {"size": 10**30},
            {"size": 2 * MEMBER_BYTES, "members": [-5, TOTAL + 5]},
            {"size": 2 * MEMBER_BYTES, "members": [0, TOTAL]},
            {"size": TOTAL * MEMBER_BYTES, "members": [1] * TOTAL},
            {"size": 2 * MEMBER_BYTES, "members": [TOTAL // 2, TOTAL // 2 + 1]},
            {"mtime_ns": 2**63},
        ],
    )
    def test_is_damage(self, packed, fields):
        index = {"size": 1, "members": [self.TOTAL], **fields}
        forge(packed, bytes(self.TOTAL) if index["members"] else b"", **index)
        with pytest.raises(DamagedArchiveError, match=r"real/events.jsonl.gz: its "):
            open_archive(packed)

    @pytest.mark.parametrize("digits", [b"+", b"-", b" ", b"f", b"_"])
    def test_with_another_length_is_damage(self, packed, digits):
        data = bytearray(packed.read_bytes())
        data[-19:-18] = digits
        packed.write_bytes(data)
        with pytest.raises(DamagedArchiveError, match="its index can't be read"):
            open_archive(packed)

    def test_is_said_everywhere(self, folder, packed):
        shutil.rmtree(folder / "real/segments")
        forge(packed, bytes(self.TOTAL), size=2 * MEMBER_BYTES, members=[-5, self.TOTAL + 5])
        said = "events can't be read: real/events.jsonl.gz: its index can't be read"
        assert said in checkup(folder)
        assert said in karn("runs", "-d", folder).stderr
        assert validate_file(packed).damage is not None

    def test_of_a_few_bytes_that_stand_for_many_takes_no_memory(self, packed):
        bomb = pack_member(bytes(100 << 20))
        forge(packed, bomb, size=100, members=[len(bomb)])
        tracemalloc.start()
        with (
            closing(open_archive(packed)) as file,
            pytest.raises(DamagedArchiveError, match="another length"),
        ):
            file.read_at(100, 0)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 4 << 20


class TestGzipOfAnotherProgram:
    @pytest.fixture(params=[[], ["-n"]], ids=["gzip", "gzip -n"])
    def theirs(self, folder: Path, request: pytest.FixtureRequest) -> Path:
        path = folder / "real/events.jsonl"
        subprocess.run(["gzip", *request.param, path], check=True)
        return path.with_suffix(".jsonl.gz")

    def test_is_said_wherever_it_is_met(self, folder, theirs):
        said = "real/events.jsonl.gz: it was not written by karn archive: run gunzip on it"
        text = checkup(folder)
        assert f"events can't be read: {said}" in text
        assert " archived" not in text
        assert validate_file(theirs).damage == validate_file(theirs.with_suffix("")).damage == said

    def test_is_neither_archived_nor_restored_nor_written(self, folder, theirs):
        with open_store(folder) as store:
            assert "run gunzip" in str(candidate(store, "real").refusal)
        with pytest.raises(TelemetryFileError, match="not written by karn archive: run gunzip"):
            restore_run(folder, "real")
        with pytest.raises(
            TelemetryUsageError, match="not written by karn archive: bring them back with `gunzip"
        ):
            TelemetryCollector(folder, "real")
        data = gzip.decompress(theirs.read_bytes())
        subprocess.run(["gunzip", theirs], check=True)
        assert (folder / "real/events.jsonl").read_bytes() == data
