"""What karn archive refuses and says, and what collectors and readers say of archived and damaged runs."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from archive_support import RESUMED, archive, event_files, every_kind_of_run
from esper.karn.collector import TelemetryCollector
from esper.karn.store import segments
from esper.karn.store.archive import archive_run, candidate, restore_run
from esper.leyline.errors import TelemetryFileError, TelemetryUsageError
from segment_support import sealed
from store_support import SteppedTraining, level_change, open_store, write_lines
from support import write_run
from test_cli import ENVIRONMENT, error_of, karn
from test_upkeep import doctor


@pytest.fixture
def telemetry(tmp_path: Path) -> Path:
    return every_kind_of_run(tmp_path)


class TestRefusals:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        write_run(tmp_path / "telemetry", "run")
        return tmp_path / "telemetry"

    def refused(self, folder: Path) -> str:
        before = event_files(folder)
        with open_store(folder) as store, pytest.raises(TelemetryFileError) as caught:
            archive_run(store, "run")
        assert event_files(folder) == before
        assert list(folder.glob("*/*.gz")) == []
        return str(caught.value)

    def test_a_run_that_is_written(self, folder):
        with TelemetryCollector(folder, "run"):
            assert self.refused(folder) == "events.jsonl is open for writing"

    def test_a_copy_of_which_events_were_written_just_now(self, folder):
        with TelemetryCollector(folder, "live") as live:
            SteppedTraining(live, epochs=2, n_envs=1).start()
            shutil.copytree(folder / "live", folder / "copied")
        with open_store(folder) as store:
            assert candidate(store, "copied").refusal == "it is running"

    def test_a_segment_whose_rows_differ(self, folder):
        with open_store(folder) as store:
            store.seal_all()
            (segment,) = store.event_files()[0].segments
            path = segment.file("epoch_completed")
            store._connection.execute(
                f"COPY (SELECT * REPLACE (replace(data, '1', '2') AS data) FROM read_parquet('{path}')) "
                f"TO '{path}' (FORMAT parquet, COMPRESSION zstd)"
            )
        self.as_if_written(segment.folder, files={"epoch_completed": path.stat().st_size})
        reason = self.refused(folder)
        assert reason.startswith(
            f"run/segments/{segment.folder.name} differs from the event file in epoch_completed"
        )
        shutil.rmtree(segment.folder)
        archive(folder, "run")

    def test_a_segment_that_lost_a_row(self, folder):
        with open_store(folder) as store:
            store.seal_all()
            (segment,) = store.event_files()[0].segments
            path = segment.file("epoch_completed")
            store._connection.execute(
                f"COPY (FROM read_parquet('{path}') WHERE epoch > 1) TO '{path}' (FORMAT parquet)"
            )
        self.as_if_written(segment.folder, files={"epoch_completed": path.stat().st_size})
        assert "in epoch_completed" in self.refused(folder)

    @pytest.mark.parametrize(
        ("field", "value", "named"),
        [
            ("lines", 1, "its lines"),
            ("resume_points", [[2, 0, 0, 1, None]], "where the training was resumed"),
            ("state", {}, "what was seen in it"),
        ],
    )
    def test_a_segment_that_tells_something_else_of_the_file(self, folder, field, value, named):
        with open_store(folder) as store:
            store.seal_all()
        self.as_if_written(sealed(folder)[0], **{field: value})
        assert f"in {named}:" in self.refused(folder)

    def as_if_written(self, segment: Path, **fields: object) -> None:
        about = segment / segments.META
        meta = json.loads(about.read_text())
        if isinstance(files := fields.pop("files", None), dict):
            meta["files"] |= files
        about.write_text(json.dumps(meta | fields))

    def test_a_run_whose_segments_lie_in_the_cache(self, folder, tmp_path, monkeypatch):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        (folder / "run/segments").write_text("")
        assert "can't be written beside it, only into the cache: is the disk full" in self.refused(folder)

    def test_a_link_to_another_file(self, folder):
        path = folder / "run/events.jsonl"
        path.rename(folder / "elsewhere")
        path.symlink_to(folder / "elsewhere")
        assert "is a link" in self.refused(folder)

    def test_a_folder_that_is_a_link(self, folder, tmp_path):
        (folder / "run").rename(tmp_path / "elsewhere")
        (folder / "run").symlink_to(tmp_path / "elsewhere")
        assert "its folder is a link" in self.refused(folder)

    def test_a_disk_without_room(self, folder, monkeypatch):
        monkeypatch.setattr(
            "esper.karn.jsonl.packing._create", lambda path: os.open("/dev/full", os.O_RDWR | os.O_CLOEXEC)
        )
        assert self.refused(folder) == "its archive can't be written: the disk is full"


class TestCollector:
    def test_does_not_write_an_archived_run(self, telemetry):
        archive(telemetry, "real")
        with pytest.raises(
            TelemetryUsageError, match=r"real/events.jsonl is archived .*karn archive --restore real"
        ):
            TelemetryCollector(telemetry, "real")
        assert not (telemetry / "real/events.jsonl").exists()
        restore_run(telemetry, "real")
        TelemetryCollector(telemetry, "real").close()

    def test_does_not_write_a_file_that_was_removed_since_it_was_opened(self, telemetry, monkeypatch):
        path = telemetry / "real/events.jsonl"
        lock = "esper.karn.jsonl.writer.take_write_lock"
        monkeypatch.setattr(lock, lambda fd: archive(telemetry, "real") or True)
        with pytest.raises(TelemetryUsageError, match="is archived"):
            TelemetryCollector(telemetry, "real")
        # And one that is made anew in the place of an archive goes again.
        monkeypatch.setattr("esper.karn.jsonl.writer.is_archived", lambda path: False)
        monkeypatch.setattr(lock, lambda fd: True)
        with pytest.raises(TelemetryUsageError, match="is archived"):
            TelemetryCollector(telemetry, "real")
        assert not path.exists()


class TestCommand:
    @pytest.fixture
    def folder(self, telemetry: Path) -> Path:
        shutil.rmtree(telemetry / RESUMED)
        return telemetry

    def test_says_what_it_freed(self, folder):
        size = (folder / "real/events.jsonl").stat().st_size
        done = karn("archive", "real", "-d", folder, "--yes")
        assert done.returncode == 0
        freed = size - (folder / "real/events.jsonl.gz").stat().st_size
        assert done.stdout.startswith(f"real: {freed:,} bytes freed ({size:,} of events, ")
        assert done.stdout.endswith(f"\n{freed:,} bytes freed in all\n")
        assert karn("archive", "real", "-d", folder, "--yes").stdout == "real: nothing to archive\n"
        assert ", 1 file archived" in doctor(folder)
        back = karn("archive", "--restore", "real", "-d", folder)
        assert back.stdout.startswith(f"real: {freed:,} bytes taken")

    def test_takes_all_finished_runs(self, folder):
        write_lines(folder / "open/events.jsonl", level_change(0, 0, 1))
        done = karn("archive", "--all-finished", "-d", folder, "--yes")
        assert [line.split(":")[0] for line in done.stdout.splitlines()[:2]] == ["real", "ranks"]
        assert event_files(folder).keys() == {"open/events.jsonl"}
        again = karn("archive", "--all-finished", "-d", folder, "--yes")
        assert (again.returncode, again.stdout) == (0, "no finished run that is not archived\n")

    def test_a_dry_run_removes_nothing(self, folder):
        before = event_files(folder)
        done = karn("archive", "--all-finished", "-d", folder, "--dry-run")
        size = (folder / "real/events.jsonl").stat().st_size
        assert f"real: {size:,} bytes of event files would be packed and removed" in done.stdout
        assert event_files(folder) == before

    def test_without_a_terminal_it_asks_for_yes(self, folder):
        assert "pass --yes" in error_of("archive", "real", "-d", folder)

    @pytest.mark.parametrize("answer", ["y", "n"])
    def test_on_a_terminal_it_asks(self, folder, answer):
        ours, theirs = pty.openpty()
        os.write(ours, f"{answer}\n".encode())
        done = subprocess.run(
            [sys.executable, "-m", "esper", "archive", "real", "-d", folder],
            env=ENVIRONMENT,
            stdin=theirs,
            capture_output=True,
            text=True,
            timeout=60,
        )
        os.close(ours)
        os.close(theirs)
        assert "bytes of event files would be packed and removed\npack and remove them?" in done.stdout
        assert (folder / "real/events.jsonl").exists() == (answer == "n")

    def test_a_name_cannot_move_the_cursor(self, folder):
        name = "red\x1b[31m"
        (folder / "real").rename(folder / name)
        done = [
            karn("archive", name, "-d", folder, "--dry-run"),
            karn("archive", name, "-d", folder, "--yes"),
            karn("archive", "--restore", name, "-d", folder),
            karn("archive", "--restore", "red", "-d", folder),
        ]
        assert [each.returncode for each in done] == [0, 0, 0, 1]
        assert "\x1b" not in "".join(each.stdout + each.stderr for each in done)

    def test_ctrl_c_while_the_database_works_ends_it_without_words(self, folder):
        script = (
            "import os, pathlib, signal, threading, typer; from esper.terminal import open_store, run_app\n"
            # Whoever started the tests in the background may have had Ctrl-C ignored.
            "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
            "app = typer.Typer()\n"
            "@app.command()\n"
            "def work(folder: pathlib.Path):\n"
            "    with open_store(folder) as store:\n"
            "        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
            "        store.select('SELECT count(*) FROM range(1000000000000) WHERE random() < 0')\n"
            "run_app(app)"
        )
        done = subprocess.run(
            [sys.executable, "-c", script, str(folder)], capture_output=True, text=True, timeout=60
        )
        assert (done.returncode, done.stdout, done.stderr) == (130, "", "")

    def test_a_run_that_packed_would_take_as_much_room_is_left(self, folder):
        write_lines(folder / "tiny/events.jsonl", level_change(0, 0, 1))
        done = karn("archive", "tiny", "-d", folder, "--yes")
        assert done.stdout == (
            "tiny: left as it is: packed it would take no less room\n0 bytes freed in all\n"
        )
        assert [path.name for path in (folder / "tiny").iterdir() if path.is_file()] == ["events.jsonl"]

    def test_a_name_that_is_unknown(self, folder):
        assert "did you mean real?" in error_of("archive", "rael", "-d", folder, "--yes")
        assert "did you mean real?" in error_of("archive", "--restore", "rael", "-d", folder)

    def test_runs_or_all_of_them(self, folder):
        assert "or --all-finished" in error_of("archive", "-d", folder)
        assert "or --all-finished" in error_of("archive", "real", "--all-finished", "-d", folder)
        assert "--restore needs" in error_of("archive", "--restore", "-d", folder)

    def test_one_that_is_refused_does_not_keep_the_others(self, folder):
        with TelemetryCollector(folder, "ranks", rank=1, world_size=2, envs_per_rank=2):
            done = karn("archive", "ranks", "real", "-d", folder, "--yes")
        assert done.returncode == 1
        assert done.stderr == "karn: ranks is left as it is: events.rank00001.jsonl is open for writing\n"
        assert done.stdout.startswith("real: ")
        assert not (folder / "real/events.jsonl").exists()
