"""What the screen looks like in every state: text pictures that somebody has looked at."""

from __future__ import annotations

import json
import os
from datetime import timedelta
from pathlib import Path

import pytest
from sanctum_screens import look, viewer
from sanctum_support import START, FixedSink, fixed_recorder, play, thrashing_run, zigzag

from esper.karn.sanctum.glyphs import ASCII
from esper.leyline import EventSink
from esper.simic.training.recorder import InternalOpRecorder

THREE_SIZES = [(140, 40), (80, 24), (20, 5)]


def size_of(size) -> str:
    return f"{size[0]}x{size[1]}"


@pytest.fixture
def folder(tmp_path):
    thrashing_run(fixed_recorder(tmp_path, "oscillate"))
    return tmp_path


def one_slot(telemetry_dir, name, levels, *, finished=True):
    recorder = fixed_recorder(telemetry_dir, name)
    recorder.training_started()
    recorder.seed_added(0, "r0c0", levels[0], 4, blueprint="conv")
    play(recorder, 0, "r0c0", levels)
    if finished:
        recorder.training_finished()


class TestThrash:
    @pytest.mark.parametrize("size", [*THREE_SIZES, (200, 50), (110, 32), (45, 16)], ids=size_of)
    async def test_screen(self, folder, size):
        await look(f"thrashing_{size_of(size)}", viewer(folder), size)

    async def test_light(self, folder):
        await look("thrashing_light", viewer(folder), (80, 24), "t")

    @pytest.mark.parametrize("size", [(80, 24), (20, 5)], ids=size_of)
    async def test_ascii(self, folder, size):
        app = viewer(folder, glyphs=ASCII)
        await look(f"thrashing_ascii_{size_of(size)}", app, size)

    @pytest.mark.parametrize("colors", ["none", "16"])
    async def test_reads_the_same_without_colours(self, folder, colors):
        app = viewer(folder, colors=colors)
        await look("thrashing_80x24", app, (80, 24))

    async def test_history(self, folder):
        await look("thrashing_history", viewer(folder), (80, 24), "left_curly_bracket")


class TestOtherVerdicts:
    async def test_healthy(self, tmp_path):
        one_slot(tmp_path, "healthy", [1, 2, 3, 4, 3, 2, 1, 0, 1, 2, 3, 4, 3, 2])
        await look("healthy", viewer(tmp_path), (80, 24))

    async def test_caution(self, tmp_path):
        one_slot(tmp_path, "caution", [1, 2, 3, 2, 1, 2, 3, 2, 3, 2, 1, 0, 1, 0, 1, 2])
        await look("caution", viewer(tmp_path), (80, 24))

    async def test_insufficient_data(self, tmp_path):
        one_slot(tmp_path, "short", [1, 2, 1, 2])
        await look("insufficient_data", viewer(tmp_path), (80, 24))


class TestRuns:
    async def test_live(self, tmp_path):
        one_slot(tmp_path, "live", zigzag(1, 2, 4), finished=False)
        now = START + timedelta(seconds=12)
        await look("live", viewer(tmp_path, now=lambda: now), (80, 24))

    async def test_stalled(self, tmp_path):
        one_slot(tmp_path, "stalled", zigzag(1, 2, 4), finished=False)
        await look("stalled", viewer(tmp_path), (80, 24))

    async def test_crashed(self, tmp_path):
        one_slot(tmp_path, "crashed", zigzag(1, 2, 4), finished=False)
        path = tmp_path / "crashed" / "events.jsonl"
        first, *others = path.read_bytes().splitlines(keepends=True)
        event = json.loads(first)
        # As a collector opens a file; the lock that it holds while it lives is not held.
        with path.open("r+b") as file:
            event["data"] |= {"attempt": 1, "world_size": 1, "inode": os.fstat(file.fileno()).st_ino}
            file.write(json.dumps(event).encode() + b"\n" + b"".join(others))
        await look("crashed", viewer(tmp_path), (80, 24))

    async def test_bad_lines(self, folder):
        path = folder / "oscillate" / "events.jsonl"
        lines = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(b"".join([*lines[:5], b"garbage\n", *lines[9:-1]]))
        await look("bad_lines", viewer(folder), (80, 24))

    async def test_empty_folder(self, monkeypatch, tmp_path):
        monkeypatch.chdir(tmp_path)
        await look("empty_folder", viewer(Path("telemetry")), (80, 24))


class TestPages:
    async def test_filter_without_match(self, folder):
        await look("no_match", viewer(folder), (80, 24), "f", *"band:caution", "enter")

    async def test_prompt(self, folder):
        await look("prompt", viewer(folder), (80, 24), "f", *"env:1")

    @pytest.mark.parametrize("size", THREE_SIZES, ids=size_of)
    async def test_slot(self, folder, size):
        await look(f"slot_{size_of(size)}", viewer(folder), size, "enter")

    @pytest.mark.parametrize("size", THREE_SIZES, ids=size_of)
    async def test_comparison(self, folder, size):
        one_slot(folder, "short", [1, 2, 1, 2])
        await look(f"comparison_{size_of(size)}", viewer(folder, "oscillate"), size, "c", "G", "enter")

    async def test_runs(self, folder):
        one_slot(folder, "short", [1, 2, 1, 2], finished=False)
        await look("runs", viewer(folder, "oscillate"), (80, 24), "r")

    async def test_help(self, folder):
        await look("help", viewer(folder), (110, 90), "question_mark")

    async def test_help_ascii(self, folder):
        await look("help_ascii", viewer(folder, glyphs=ASCII), (110, 90), "question_mark")


class RankSink(FixedSink):
    """Of one rank of eight, with 16 environments each."""

    def for_env(self, local: int) -> EventSink:
        """A sink for one environment of this rank."""
        return FixedSink(self.path, int(self.path.stem[-5:]) * 16 + local, self)


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """1,152 slots: 8 ranks of 16 environments with 9 slots."""
    folder = tmp_path_factory.mktemp("telemetry")
    (folder / "large").mkdir()
    for rank in range(8):
        recorder = InternalOpRecorder(RankSink(folder / "large" / f"events.rank{rank:05d}.jsonl"))
        recorder.training_started()
        for env in range(16):
            for slot in range(9):
                recorder.seed_added(env, f"r{slot // 3}c{slot % 3}", 1, 4, blueprint="conv")
        play(recorder, rank, "r1c1", zigzag(1, 2, 30 if rank in (2, 5) else 12))
        play(recorder, 15, "r0c0", [1, 2, 3, 4, 3, 2, 1, 2, 3, 4, 3, 2, 1], first_epoch=2)
    return folder


@pytest.mark.parametrize("size", THREE_SIZES, ids=size_of)
async def test_1152_rows(large, size):
    await look(f"large_{size_of(size)}", viewer(large), size)
