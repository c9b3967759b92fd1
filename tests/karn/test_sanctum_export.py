"""What is taken away as files: every number, in the order of the screen, whole or not at all."""

from __future__ import annotations

import csv
import json
import os
from dataclasses import fields, replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from sanctum_support import fixed_recorder, play, read, thrashing_run, zigzag
from textual.app import App
from textual.widgets import Static

from esper.karn.diagnosis import SlotVerdict
from esper.karn.sanctum.export import COLUMNS, export_screen_svg, export_view
from esper.karn.sanctum.state import SanctumSnapshot, SlotInternalState
from esper.karn.store.database import Store
from esper.leyline.errors import TelemetryUsageError
from support import run_python

HOSTILE = [
    "=1+1",
    "+cmd",
    "-2",
    "@SUM(A1)",
    "\tx",
    "\rx",
    "'quoted",
    '"',
    "a,b",
    "a\nb",
    "\x1b[31mred",
    "ä✖",
    "[red]x[/red]",
]


def rows_of(snapshot: SanctumSnapshot) -> list[SlotInternalState]:
    return sorted(snapshot.slots.values(), key=lambda state: (state.place is None, state.place))


def as_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def snapshot(tmp_path):
    thrashing_run(fixed_recorder(tmp_path / "telemetry", "oscillate"))
    return read(tmp_path / "telemetry", "oscillate")


class TestRows:
    def test_hold_every_number_of_the_slot_and_its_verdict(self):
        apart = {"verdict", "place"}
        of_state = {field.name for field in fields(SlotInternalState)} - apart
        of_run = {"run_dir", "moment_episode", "moment_epoch"}
        assert set(COLUMNS) == of_run | of_state | {"band", "indicator"} | set(SlotVerdict.__struct_fields__)
        assert len(set(COLUMNS)) == len(COLUMNS)

    def test_stand_in_the_order_of_the_screen_in_both_forms(self, snapshot, tmp_path):
        rows = rows_of(snapshot)[::-1]
        table = as_csv(export_view("csv", rows, snapshot, tmp_path))
        data = json.loads(export_view("json", rows, snapshot, tmp_path).read_text())
        places = [(str(row.env_id), row.slot_id) for row in rows]
        assert [(row["env_id"], row["slot_id"]) for row in table] == places
        assert [(str(row["env_id"]), row["slot_id"]) for row in data["rows"]] == places
        for text, row in zip(table, data["rows"], strict=True):
            assert list(text) == list(row) == list(COLUMNS)
            for name, value in row.items():
                if isinstance(value, (float, int)) and not isinstance(value, bool):
                    assert float(text[name]) == value
                elif value is None:
                    assert text[name] == ""

    def test_say_of_which_moment_they_are(self, snapshot, tmp_path):
        past = replace(snapshot, moment=(0, 7))
        for shown, moment in ((snapshot, (None, None)), (past, (0, 7))):
            for row in json.loads(export_view("json", rows_of(shown), shown, tmp_path).read_text())["rows"]:
                assert (row["moment_episode"], row["moment_epoch"]) == moment
            for row in as_csv(export_view("csv", rows_of(shown), shown, tmp_path)):
                assert (row["moment_episode"], row["moment_epoch"]) == tuple(
                    "" if part is None else str(part) for part in moment
                )

    def test_agree_with_the_view_of_the_store(self, snapshot, tmp_path):
        found = {
            (row["env_id"], row["slot_id"]): row
            for row in json.loads(export_view("json", rows_of(snapshot), snapshot, tmp_path).read_text())[
                "rows"
            ]
            if row["n_ops"] is not None
        }
        with Store(tmp_path / "telemetry") as store:
            store.refresh()
            expected = {
                (row["env_id"], row["slot_id"]): row
                for row in store.query("SELECT * FROM slot_thrash", limit=100).dicts()
            }
        assert found.keys() == expected.keys()
        for key, row in expected.items():
            assert found[key]["free_reversal_rate"] == row["free_reversal_rate"]
            shared = row.keys() & set(COLUMNS) - {"max_level"}
            assert {name: found[key][name] for name in shared} == pytest.approx(
                {name: row[name] for name in shared}
            )

    def test_come_with_the_run_and_its_pooled_numbers(self, snapshot, tmp_path):
        data = json.loads(export_view("json", [], snapshot, tmp_path).read_text())
        assert data["run"]["run_dir"] == "oscillate"
        assert data["run"]["last_event_at"].endswith("+00:00")
        assert data["band"] == snapshot.band
        assert data["n_pairs"] == snapshot.n_pairs
        assert data["rows"] == []


class TestHostileNames:
    @pytest.fixture
    def hostile(self, tmp_path):
        recorder = fixed_recorder(tmp_path / "telemetry", "run")
        recorder.training_started()
        epoch = 0
        for name in HOSTILE:
            recorder.seed_added(0, name, 1, 4, blueprint=name)
            epoch = play(recorder, 0, name, zigzag(1, 2, 3), first_epoch=epoch + 1)
        return read(tmp_path / "telemetry")

    def test_no_cell_is_a_formula_or_steers_a_terminal_and_names_can_be_had_back(self, hostile, tmp_path):
        path = export_view("csv", rows_of(hostile), hostile, tmp_path)
        assert not [c for c in path.read_text() if not c.isprintable() and c != "\n"]
        found = set()
        for row in as_csv(path):
            for name in ("slot_id", "blueprint_id"):
                assert not row[name].startswith(("=", "+", "-", "@", "\t", "\r"))
            found.add(row["slot_id"].removeprefix("'"))
        shown = {"".join(c if c.isprintable() else "\ufffd" for c in name) for name in HOSTILE}
        assert found == shown

    def test_numbers_stay_numbers(self, hostile, tmp_path):
        table = as_csv(export_view("csv", rows_of(hostile), hostile, tmp_path))
        assert {row["net_change"] for row in table} == {"1"}
        shrinking = SlotInternalState(level=0, max_level=4, trend="shrink", reversal_rate=-1.0)
        (row,) = as_csv(export_view("csv", [shrinking], hostile, tmp_path))
        assert row["reversal_rate"] == "-1.0"

    def test_json_keeps_each_name_and_is_ascii(self, hostile, tmp_path):
        text = export_view("json", rows_of(hostile), hostile, tmp_path).read_bytes()
        assert text.isascii()
        assert b"\x1b" not in text
        assert {row["slot_id"] for row in json.loads(text)["rows"]} == set(HOSTILE)


class TestFiles:
    def test_none_takes_the_place_of_another(self, snapshot, tmp_path):
        folder = tmp_path / "new" / "folder"
        names = [export_view("csv", [], snapshot, folder).name for _ in range(3)]
        assert names == ["sanctum-oscillate.csv", "sanctum-oscillate-2.csv", "sanctum-oscillate-3.csv"]
        assert sorted(path.name for path in folder.iterdir()) == sorted(names), "nothing else is left"

    def test_two_processes_at_once_get_a_file_each(self, tmp_path):
        code = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from esper.karn.sanctum.export import export_view
from esper.karn.sanctum.state import SanctumSnapshot
with ThreadPoolExecutor(8) as pool:
    made = list(pool.map(lambda _: export_view("json", [], SanctumSnapshot(), Path(sys.argv[1])), range(40)))
print(len({*made}), all(path.stat().st_size for path in made))
"""
        assert run_python(code, tmp_path).stdout == "40 True\n"

    def test_a_run_of_a_long_or_odd_name_has_its_file(self, tmp_path):
        for name in ("x" * 200, "\N{GREEK SMALL LETTER ALPHA}" * 120, "..", "-rf", "a b\u202ec"):
            recorder = fixed_recorder(tmp_path / "telemetry", name) if name != ".." else None
            found = SanctumSnapshot() if recorder is None else read(tmp_path / "telemetry", name)
            path = export_view("csv", [], found, tmp_path / "out")
            assert path.parent == tmp_path / "out"
            assert path.name.isprintable()

    def test_a_folder_that_is_a_file_is_one_clear_error(self, snapshot, tmp_path):
        (tmp_path / "file").write_text("")
        for folder in (tmp_path / "file", tmp_path / "file" / "below"):
            with pytest.raises(TelemetryUsageError, match=r"can't write into .*choose another folder"):
                export_view("csv", [], snapshot, folder)

    @pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
    def test_a_full_disk_leaves_no_half_file(self, snapshot, tmp_path, monkeypatch):
        (tmp_path / "out").mkdir()
        # The name that the unfinished file will have, led to a device without room.
        (tmp_path / "out" / f".sanctum-oscillate.csv.{os.getpid()}").symlink_to("/dev/full")
        with pytest.raises(TelemetryUsageError, match="No space left"):
            export_view("csv", rows_of(snapshot), snapshot, tmp_path / "out")
        assert list((tmp_path / "out").iterdir()) == []


async def test_the_screen_is_written_as_svg(tmp_path):
    class Shows(App[None]):
        def compose(self):
            yield Static("hello <sanctum>", markup=False)

    async with Shows().run_test() as pilot:
        paths = [export_screen_svg(pilot.app, tmp_path, "a<b>\x1b") for _ in range(2)]
    assert [path.name for path in paths] == ["sanctum-a<b>\ufffd.svg", "sanctum-a<b>\ufffd-2.svg"]
    text = "".join(ElementTree.parse(paths[0]).getroot().itertext()).replace("\N{NO-BREAK SPACE}", " ")
    assert "hello <sanctum>" in text
    assert "karn sanctum a<b>" in text
