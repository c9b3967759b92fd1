"""What karn archive does to the files of a run's folder: nothing of anybody's is written over or removed."""

from __future__ import annotations

import gzip
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from archive_support import archive, checkup
from esper.karn.jsonl.packing import temporary_of
from esper.karn.settings import archive_of
from esper.karn.store.archive import archive_run, candidate, restore_run
from esper.karn.store.verify import verify_segments
from esper.leyline.errors import TelemetryFileError
from store_support import level_change, open_store, write_lines
from support import write_run


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The event file of a run."""
    return write_run(tmp_path / "telemetry", "run", rank=0, world_size=1)


@pytest.fixture
def folder(path: Path) -> Path:
    """Its telemetry folder."""
    return path.parent.parent


def refused(folder: Path) -> str:
    """What archiving says; a dry run that could know it says the same."""
    with open_store(folder) as store:
        seen = candidate(store, "run").refusal
        with pytest.raises(TelemetryFileError) as caught:
            archive_run(store, "run")
    assert seen in (None, str(caught.value))
    return str(caught.value)


class TestReplacedMeanwhile:
    """Whoever renames another file to the event file's name takes no lock."""

    @pytest.mark.parametrize("step", ["verify_segments", "pack"])
    @pytest.mark.parametrize("replaced_before", [True, False])
    def test_an_event_file_stays(self, folder, path, monkeypatch, step, replaced_before):
        others = path.read_bytes() + b"\n" + path.read_bytes()

        def replace() -> None:
            new = path.with_name("new")
            new.write_bytes(others)
            new.rename(path)

        at_step(monkeypatch, step, replace, before=replaced_before)
        assert "was replaced or written meanwhile" in refused(folder)
        assert path.read_bytes() == others
        assert not archive_of(path).exists()

    def test_by_a_writer_without_locks_it_stays(self, folder, path, monkeypatch):
        at_step(monkeypatch, "pack", lambda: write_lines(path, level_change(9, 0, 1)), before=False)
        assert "was replaced or written meanwhile" in refused(folder)
        assert path.exists()
        assert not archive_of(path).exists()

    def test_by_a_quicker_archiver_without_locks_its_archive_stays(self, folder, path, monkeypatch):
        whole = path.read_bytes()
        at_step(monkeypatch, "pack", path.unlink, before=False)
        refused(folder)
        assert gzip.decompress(archive_of(path).read_bytes()) == whole

    def test_by_a_slower_archiver_without_locks_its_half_is_not_taken(self, folder, path, monkeypatch):
        whole, temporary = path.read_bytes(), temporary_of(archive_of(path))

        def begin_anew(*args: object) -> None:
            temporary.unlink()
            temporary.write_text("half")

        monkeypatch.setattr("esper.karn.jsonl.packing.conflict", begin_anew)
        assert "another process archives it too" in refused(folder)
        assert path.read_bytes() == whole
        assert not archive_of(path).exists()

    def test_an_archive_that_is_restored_stays(self, folder, path, monkeypatch):
        archive(folder, "run")
        packed = archive_of(path)
        shutil.copy(packed, packed.with_name("new"))
        at_step(monkeypatch, "unpack", lambda: packed.with_name("new").rename(packed), before=False)
        with pytest.raises(TelemetryFileError, match="was replaced or written meanwhile"):
            restore_run(folder, "run")
        assert packed.exists()

    def test_verified_is_what_is_packed(self, folder, path):
        with open_store(folder) as store:
            store.seal_all()
            (file,) = store.event_files()
        with path.open("rb") as opened:
            path.unlink()
            write_lines(path, level_change(9, 0, 1))
            verify_segments(file, opened.fileno(), folder.absolute())


def at_step(monkeypatch: pytest.MonkeyPatch, name: str, act: Callable[[], object], *, before: bool) -> None:
    """Act right before or after a step of archiving or restoring."""
    from esper.karn.store import archive as module

    step = getattr(module, name)

    def around(*args: object) -> object:
        if before:
            act()
        done = step(*args)
        if not before:
            act()
        return done

    monkeypatch.setattr(module, name, around)


class TestBothThere:
    def test_an_unpacking_that_was_cut_off_does_not_replace_its_archive(self, folder, path):
        whole = self.archived(folder, path)
        for size in (0, 100):  # with more of it, it would look like a run that goes on
            path.write_bytes(whole[:size])
            said = f"events.jsonl holds only {size} of the {len(whole)} bytes of events.jsonl.gz and hides"
            assert said in refused(folder)
            assert said in checkup(folder)
            with pytest.raises(TelemetryFileError, match="holds only"):
                restore_run(folder, "run")
        path.unlink()
        restore_run(folder, "run")
        assert path.read_bytes() == whole

    def test_an_archive_of_other_events_is_kept(self, folder, path):
        whole = self.archived(folder, path)
        path.write_bytes(whole[:-2].replace(b"EPOCH", b"POCHE") + b"}\n" + whole)
        packed = archive_of(path).read_bytes()
        assert "hold different events" in refused(folder)
        assert "hold different events" in checkup(folder)
        assert archive_of(path).read_bytes() == packed

    @pytest.mark.parametrize(
        "data",
        [b"my own", gzip.compress(b"my own"), gzip.compress(bytes(1 << 20))],
        ids=["text", "short", "long"],
    )
    def test_a_file_that_is_no_archive_is_kept(self, folder, path, data):
        archive_of(path).write_bytes(data)
        assert "has a file beside it that can't be its archive" in refused(folder)
        assert "has a file beside it that can't be its archive" in checkup(folder)
        assert archive_of(path).read_bytes() == data

    def test_a_pipe_keeps_nobody_waiting(self, folder, path):
        os.mkfifo(archive_of(path))
        assert "can't be its archive" in refused(folder)
        archive_of(path).unlink()
        self.archived(folder, path)
        os.mkfifo(path)
        assert "can't be compared with its archive" in refused(folder)
        assert "can't be compared with its archive" in checkup(folder)

    @pytest.mark.parametrize("grown", [b"", b'{"event_type": "X"}\n'])
    def test_what_a_killed_archiver_left_is_replaced(self, folder, path, grown):
        whole = self.archived(folder, path) + grown
        path.write_bytes(whole)
        assert "are both there, and the first is read" in checkup(folder)
        archive(folder, "run")
        assert "both there" not in checkup(folder)
        assert gzip.decompress(archive_of(path).read_bytes()) == whole

    def archived(self, folder: Path, path: Path) -> bytes:
        whole = path.read_bytes()
        archive(folder, "run")
        return whole


class TestTemporaryNames:
    def test_lead_to_nobody_elses_file(self, folder, path, tmp_path):
        victim = tmp_path / "victim"
        victim.write_text("precious")
        temporary_of(archive_of(path)).symlink_to(victim)
        archive(folder, "run")
        temporary_of(path).symlink_to(victim)
        restore_run(folder, "run")
        assert victim.read_text() == "precious"
        assert path.is_file()
        assert not path.is_symlink()

    def test_keep_nobody_waiting(self, folder, path):
        os.mkfifo(temporary_of(archive_of(path)))
        archive(folder, "run")
        os.mkfifo(temporary_of(path))
        restore_run(folder, "run")
        assert path.is_file()

    def test_that_a_killed_process_left_are_said_and_removed(self, folder, path):
        left = [temporary_of(path), temporary_of(archive_of(path))]
        for each in left:
            each.write_text("half")
        text = checkup(folder)
        assert all(f"{each.name} is left of a killed `karn archive`" in text for each in left)
        archive(folder, "run")
        assert not any(each.exists() for each in left)


class TestAccess:
    @pytest.mark.parametrize("mode", [0o600, 0o640, 0o664])
    def test_is_kept_both_ways(self, folder, path, mode):
        path.chmod(mode)
        if os.geteuid() == 0:
            os.chown(path, 1234, 5678)
        expected = self.access(path)
        archive(folder, "run")
        assert self.access(archive_of(path)) == expected
        restore_run(folder, "run")
        assert self.access(path) == expected

    def test_to_segments_has_nobody_who_cannot_read_the_events(self, folder, path):
        path.chmod(0o600)
        archive(folder, "run")
        (segment,) = path.parent.glob("segments/*")
        assert segment.stat().st_mode & 0o077 == 0

    def access(self, path: Path) -> tuple[int, int, int]:
        now = path.stat()
        return now.st_mode, now.st_uid, now.st_gid
