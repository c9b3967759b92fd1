"""``karn sanctum --once``, the picture, and the rules that Sanctum's sources keep."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from sanctum_support import fixed_now, fixed_recorder, play, read, thrashing_run, training, zigzag

import esper.karn.sanctum
from esper.karn.sanctum.once import once_json, once_text
from esper.karn.sanctum.opening import run_sanctum
from esper.karn.sanctum.picture import screenshot
from esper.leyline import KarnError, NotFoundError, TelemetryUsageError
from support import write_run

SOURCES = sorted(Path(esper.karn.sanctum.__file__).parent.rglob("*.py"))


@pytest.fixture
def folder(tmp_path):
    thrashing_run(fixed_recorder(tmp_path, "oscillate"))
    return tmp_path


class TestText:
    def test_shows_what_the_screen_shows(self, folder):
        text = once_text(folder, now=fixed_now)
        lines = text.splitlines()
        assert lines[0] == "oscillate  ■ finished  last event 2026-03-01 12:01:30 UTC"
        assert lines[1] == "1 rank  362 events  0 bad lines"
        assert lines[2].startswith("✖ thrashing in 1 of 1 judged slot: env 0 r0c0")
        assert lines[6].split()[:4] == ["0", "r0c0", "3/4", "███░"]
        assert "latest changes (times in UTC)" in lines
        assert text.endswith("3 → 2 of 4   episode 0 epoch 22\n12:01:30  ◇ env 2 r0c3      "
                             "fossilized   episode 0 epoch 23\n")  # fmt: skip

    @pytest.mark.parametrize("width", [20, 80, 200])
    def test_keeps_to_its_width(self, folder, width):
        assert max(map(len, once_text(folder, width=width).splitlines())) <= width

    @pytest.mark.parametrize(("columns", "width"), [("60", 60), ("140", 140), ("1", 20), ("", 100)])
    def test_is_as_wide_as_the_environment_says(self, folder, columns, width):
        command = [sys.executable, "-m", "esper", "sanctum", "--once", "-d", str(folder)]
        environment = {**os.environ, "COLUMNS": columns, "KARN_ASCII": "0", "PYTHONIOENCODING": "utf-8"}
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        assert done.stdout == once_text(folder, width=width)

    def test_has_colours_only_if_asked(self, folder):
        assert "\x1b" not in once_text(folder)
        assert "\x1b[1;31m" in once_text(folder, color=True)

    def test_lists_every_slot(self, tmp_path):
        with training(tmp_path) as recorder:
            for slot in range(500):
                recorder.seed_added(0, f"r{slot}c0", 1, 4)
        assert sum(" r" in line for line in once_text(tmp_path).splitlines()) >= 500

    def test_of_a_run_without_events_is_two_lines(self, tmp_path):
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "events.jsonl").touch()
        assert once_text(tmp_path) == "run  □ empty\n1 rank  0 events  0 bad lines\nno internal op yet\n"


class TestData:
    def test_holds_the_same_numbers(self, folder):
        data = json.loads(json.dumps(once_json(folder, "oscillate", now=fixed_now)))
        snapshot = read(folder, "oscillate")
        assert data["run"]["status"] == "finished"
        assert data["run"]["last_event_at"] == "2026-03-01T12:01:30.250000+00:00"
        assert (data["n_pairs"], data["band"]) == (snapshot.n_pairs, snapshot.band)
        assert data["thrashing"] == [[0, "r0c0"]]
        assert [slot["slot_id"] for slot in data["slots"]] == [v.slot_id for v in snapshot.verdicts]
        assert len(data["rows"]) == 12
        assert data["rows"][0]["verdict"] == "thrashing"
        assert data["changes"][-1]["kind"] == "fossilized"
        assert (data["changes"][-2]["kind"], data["changes"][-2]["to_level"]) == ("changed", 2)

    def test_keeps_names_as_they_are(self, tmp_path):
        with training(tmp_path) as recorder:
            recorder.seed_added(0, "\x1b[31m", 1, 4)
            play(recorder, 0, "\x1b[31m", [1, 2])
        assert once_json(tmp_path)["rows"][0]["slot_id"] == "\x1b[31m"


@pytest.fixture
def pruned(tmp_path):
    """Two slots that thrash, the seed of one of them pruned; another seed was pruned without an op."""
    recorder = fixed_recorder(tmp_path, "run")
    recorder.training_started()
    for slot in ("r0c0", "r0c1", "r0c2"):
        recorder.seed_added(0, slot, 2, 4)
    last = play(recorder, 0, "r0c0", zigzag(2, 3, 40))
    play(recorder, 0, "r0c1", zigzag(2, 3, 40), first_epoch=last + 1)
    recorder.seed_removed(0, "r0c1", "no gain")
    recorder.seed_removed(0, "r0c2", "no gain")
    return tmp_path


class TestSlotsWithoutASeed:
    def test_are_counted_and_named_in_the_text(self, pruned):
        lines = once_text(pruned).splitlines()
        assert lines[2].startswith("✖ thrashing in 2 of 2 judged slots")
        assert "1 slot, 1 more holds no seed: env 0 r0c1 (thrashing)" in lines

    def test_are_in_the_text_where_no_slot_has_a_row(self, tmp_path):
        with training(tmp_path) as recorder:
            for slot in range(5):
                recorder.seed_added(0, f"r{slot}c0", 2, 4)
                play(recorder, 0, f"r{slot}c0", [2, 3], first_epoch=slot + 1)
                recorder.seed_removed(0, f"r{slot}c0", "no gain")
        text = " ".join(once_text(tmp_path).split())
        assert "5 slots hold no seed: env 0 r0c0 (insufficient data), env 0 r1c0" in text
        assert "env 0 r2c0 (insufficient data) and 2 more" in text

    def test_are_in_the_data_with_their_judgements(self, pruned):
        data = json.loads(json.dumps(once_json(pruned)))
        assert [row["slot_id"] for row in data["rows"]] == ["r0c0"]
        (slot,) = data["without_seed"]
        assert slot == next(verdict for verdict in data["slots"] if verdict["slot_id"] == "r0c1")
        assert (slot["env_id"], slot["thrashing"], slot["free_reversal_rate"]) == (0, True, 1.0)
        assert slot["n_free_pairs"] >= 30

    def test_are_none_where_every_judged_slot_has_a_row(self, folder):
        assert once_json(folder)["without_seed"] == []
        assert "no seed" not in once_text(folder)


class TestBadInput:
    @pytest.mark.parametrize("ask", [once_text, once_json])
    def test_an_unknown_run_is_answered_with_the_nearest(self, folder, ask):
        with pytest.raises(NotFoundError, match=r"unknown run 'oscilate'; did you mean oscillate\?"):
            ask(folder, "oscilate")

    @pytest.mark.parametrize("ask", [once_text, once_json])
    def test_a_folder_without_runs_is_said_to_be_one(self, tmp_path, ask):
        with pytest.raises(NotFoundError, match=r"no run in .*nowhere yet"):
            ask(tmp_path / "nowhere")

    def test_the_viewer_refuses_an_unknown_run_among_others(self, folder):
        with pytest.raises(NotFoundError, match="did you mean oscillate"):
            run_sanctum(folder, "oscilate")

    def test_the_viewer_needs_a_terminal(self, folder, monkeypatch):
        monkeypatch.setattr(sys, "__stdout__", open("/dev/null"))  # noqa: SIM115
        with pytest.raises(TelemetryUsageError, match=r"output.* redirected: use karn sanctum --once"):
            run_sanctum(folder, "oscillate")
        sys.__stdout__.close()

    @pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
    @pytest.mark.parametrize("words", [["sanctum", "oscillate", "--once"], ["runs"], ["runs", "--help"]])
    def test_output_that_takes_no_more_is_one_line_for_the_user(self, folder, words):
        with open("/dev/full", "w") as full:
            done = subprocess.run(
                [sys.executable, "-m", "esper", *words, "-d", folder],
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
            )
        assert done.returncode == 1
        where = "" if "--help" in words else " to standard output"
        assert done.stderr == f"karn: can't write{where}: No space left on device\n"

    def test_every_error_is_one_line_for_the_user(self, folder):
        with pytest.raises(KarnError) as error:
            once_text(folder, "x\n\x1b" * 1000)
        assert str(error.value).isprintable()


def test_the_picture_is_drawn_without_a_terminal(folder, tmp_path):
    path = tmp_path / "sanctum.svg"
    screenshot(folder, None, path, size=(100, 30), now=fixed_now)
    picture = path.read_text()
    assert picture.startswith("<svg")
    assert "thrashing" in picture
    again = tmp_path / "again.svg"
    screenshot(folder, "oscillate", again, size=(100, 30), now=fixed_now)
    assert again.read_text() == picture


class TestSources:
    @pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
    def test_have_no_defensive_get(self, path):
        assert ".get(" not in path.read_text()

    @pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
    def test_stay_under_300_lines(self, path):
        assert len(path.read_text().splitlines()) < 300

    def test_of_the_app_handle_no_telemetry_event(self):
        source = next(path for path in SOURCES if path.name == "app.py").read_text()
        assert "TelemetryEvent" not in source
        assert "handle_" not in source

    @pytest.mark.parametrize(
        ("module", "never"),
        [
            ("", "esper.karn.jsonl esper.karn.sanctum.state textual rich duckdb mcp torch"),
            (".state", "textual rich duckdb mcp torch esper.simic esper.karn.store"),
            (".aggregator", "textual rich duckdb mcp torch esper.simic esper.karn.store"),
            (".follow", "textual rich duckdb mcp torch esper.simic esper.karn.store"),
            (".once", "textual duckdb mcp torch esper.simic esper.karn.store"),
            (".view", "textual duckdb mcp torch esper.simic esper.karn.store"),
            (".viewing", "textual duckdb mcp torch esper.simic esper.karn.store"),
            (".app", "duckdb mcp torch esper.simic esper.karn.store"),
            (".picture", "duckdb mcp torch esper.simic esper.karn.store"),
        ],
    )
    def test_import_no_more_than_they_need(self, module, never):
        code = (
            f"import sys, esper.karn.sanctum{module}\n"
            f"print([name for name in {never.split()!r} if name in sys.modules])"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[]"


def test_many_slots_that_thrash_together_are_said_to(tmp_path):
    slots = tuple(f"r{row}c0" for row in range(4))
    write_run(tmp_path, "wide", policy="oscillate", n_envs=16, slots=slots, episodes=1, epochs=12)
    text = once_text(tmp_path, "wide")
    assert "thrashing, taken together: reversal rate 1.00" in text
    assert "none of 64 judged slots named thrashing" in text.replace("\n", " ")
