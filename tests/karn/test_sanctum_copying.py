"""The SQL and the MCP call behind a view: asked for real, they say what the screen says."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from mcp import Client
from sanctum_support import fixed_recorder, play, read, thrashing_run, zigzag
from terminal_support import terminal
from textual.app import App

from esper.karn.mcp.server import build_server
from esper.karn.sanctum.columns import SlotRow
from esper.karn.sanctum.copying import (
    CLIPBOARD_BYTES,
    McpCall,
    View,
    copy_text,
    mcp_call_for,
    quoted,
    sql_for,
)
from esper.karn.sanctum.state import SanctumSnapshot
from esper.karn.sanctum.view import parse_query
from esper.karn.store.database import Store
from esper.leyline.errors import TelemetryUsageError

HOSTILE = [
    "it's",
    "'; DROP TABLE x; --",
    "a\nb",
    "\x1b[31mred\x07",
    "x" * 10_000,
    "\\",
    '"',
    "\u202egnp",
    "😀 ä",
    "$1 ?",
]
FILTERS = [
    "env:0",
    "rank:0 slot:R0C0",
    "band:thrash,caution",
    "band:insufficient",
    "band:none",
    "blueprint:CONV",
    "env:1 blueprint:conv band:healthy,watch",
    "r0c1 conv",
    "nothing",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A thrashing run, and one whose names are out for harm."""
    folder = tmp_path_factory.mktemp("runs") / "telemetry"
    thrashing_run(fixed_recorder(folder, "oscillate"))
    recorder = fixed_recorder(folder, "replanted")
    recorder.training_started()
    epoch = 0
    for slot, second in (("r0c0", [1, 2]), ("r0c1", [])):
        recorder.seed_added(0, slot, 1, 4, blueprint="conv")
        epoch = play(recorder, 0, slot, [1, 2, 3], first_epoch=epoch + 1)
        recorder.seed_removed(0, slot, "pruned")
        recorder.seed_added(0, slot, 1, 4, blueprint="norm")
        epoch = play(recorder, 0, slot, second, first_epoch=epoch + 1)
    recorder.training_finished()
    recorder = fixed_recorder(folder, "it's")
    recorder.training_started()
    epoch = 0
    for name in HOSTILE:
        recorder.seed_added(0, name, 1, 4, blueprint=name)
        epoch = play(recorder, 0, name, zigzag(1, 2, 4), first_epoch=epoch + 1)
    recorder.training_finished()
    return folder


@pytest.fixture(scope="module")
def store(folder):
    with Store(folder) as store:
        store.refresh()
        yield store


@pytest.fixture
def ask(store) -> Callable[[View], list[dict[str, Any]]]:
    return lambda view: store.query(sql_for(view), limit=1000).dicts()


async def call(folder, made: McpCall) -> dict[str, Any]:
    """Call the tool by a real client, with the arguments as they are written."""
    async with Client(build_server(folder)) as client:
        result = await client.call_tool(made.tool, json.loads(json.dumps(made.arguments)))
    assert not result.is_error, result.content
    answer: dict[str, Any] = result.structured_content
    return answer


def table(answer: dict[str, Any]) -> list[dict[str, Any]]:
    return [dict(zip(answer["columns"], row, strict=True)) for row in answer["rows"]]


def places(rows) -> set[tuple[int, str]]:
    return {(row["env_id"], row["slot_id"]) for row in rows}


def shown(snapshot: SanctumSnapshot, filter: str = "") -> set[tuple[int, str]]:
    """Rows that the screen shows, of those that a query can know: with an op."""
    query = parse_query(filter)
    return {
        key
        for key, state in snapshot.slots.items()
        if state.verdict is not None and query.matches(SlotRow(key, state, False))
    }


class TestTable:
    @pytest.mark.parametrize("filter", ["blueprint:conv", "blueprint:norm", "conv", "norm"])
    def test_a_blueprint_is_that_of_the_seed_that_the_slot_holds_now(self, folder, ask, filter):
        rows = ask(View("levels", "replanted", query=parse_query(filter)))
        assert places(rows) == shown(read(folder, "replanted"), filter)
        assert len(rows) == (2 if "norm" in filter else 0)

    def test_the_rows_are_those_of_the_screen_with_their_numbers(self, folder, ask):
        snapshot = read(folder, "oscillate")
        rows = ask(View("levels", "oscillate"))
        assert places(rows) == {(verdict.env_id, verdict.slot_id) for verdict in snapshot.verdicts}
        for row in rows:
            verdict = next(
                v for v in snapshot.verdicts if (v.env_id, v.slot_id) == (row["env_id"], row["slot_id"])
            )
            for name in (
                "n_ops",
                "n_pairs",
                "reversal_rate",
                "free_reversal_rate",
                "band",
                "indicator",
                "churn",
            ):
                assert row[name] == getattr(verdict, name)

    async def test_the_tool_gives_the_verdict_of_the_screen(self, folder):
        snapshot = read(folder, "oscillate")
        made = mcp_call_for(View("levels", "oscillate"))
        assert str(made) == 'thrash_verdict(run_dir="oscillate", detail="full")'
        answer = await call(folder, made)
        assert answer["band"] == snapshot.band
        assert [(slot["env_id"], slot["slot_id"], slot["label"]) for slot in answer["slots"]] == [
            (verdict.env_id, verdict.slot_id, verdict.label) for verdict in snapshot.verdicts
        ]

    @pytest.mark.parametrize("filter", FILTERS)
    async def test_a_filter_leaves_the_rows_that_it_leaves_on_the_screen(self, folder, ask, filter):
        view = View("levels", "oscillate", query=parse_query(filter))
        expected = shown(read(folder, "oscillate"), filter)
        assert places(ask(view)) == expected
        made = mcp_call_for(view)
        assert made.tool == "query_sql"
        assert places(table(await call(folder, made))) == expected

    async def test_at_a_moment_pairs_are_counted_up_to_it(self, folder, ask):
        view = View("levels", "oscillate", moment=(0, 20))
        until = [row for row in ask(view) if (row["env_id"], row["slot_id"]) == (0, "r0c0")]
        whole = ask(View("levels", "oscillate", query=parse_query("env:0 slot:r0c0")))
        assert 0 < until[0]["n_pairs"] < whole[0]["n_pairs"]
        assert table(await call(folder, mcp_call_for(view))) == ask(view)
        at_the_end = {
            (row["env_id"], row["slot_id"]): row["n_pairs"]
            for row in ask(View("levels", "oscillate", moment=(9, 0)))
        }
        assert at_the_end == {
            (row["env_id"], row["slot_id"]): row["n_pairs"]
            for row in ask(View("levels", "oscillate"))
            if row["n_pairs"]
        }


class TestSlot:
    async def test_its_ops_are_those_of_its_history(self, folder, ask):
        key = (0, "r0c0")
        view = View("slot", "oscillate", slot=key)
        state = read(folder, "oscillate").slots[key]
        levels = [row["to_level"] for row in ask(view)]
        assert len(levels) == state.verdict.n_ops
        assert levels[-1] == state.level
        made = mcp_call_for(view)
        assert made.tool == "seed_internal_levels"
        assert [row["to_level"] for row in table(await call(folder, made))] == levels

    async def test_at_a_moment_only_what_had_happened(self, folder, ask):
        view = View("slot", "oscillate", slot=(0, "r0c0"), moment=(0, 20))
        rows = ask(view)
        assert rows
        assert max(row["epoch"] for row in rows) == 20
        assert len(table(await call(folder, mcp_call_for(view)))) == len(rows)

    def test_without_an_environment_no_other_is_meant(self, ask):
        view = View("slot", "oscillate", slot=(None, "r0c0"))
        assert ask(view) == []
        assert mcp_call_for(view).tool == "query_sql"


async def test_the_event_log_is_the_latest_changes(folder, ask):
    changes = [change for change in read(folder, "oscillate").changes if change.kind == "changed"]
    expected = [(c.env_id, c.slot_id, c.epoch, c.from_level, c.to_level) for c in reversed(changes)]
    names = ("env_id", "slot_id", "epoch", "from_level", "to_level")
    view = View("changes", "oscillate")
    assert [tuple(row[name] for name in names) for row in ask(view)] == expected
    answer = table(await call(folder, mcp_call_for(view)))
    assert [tuple(row[name] for name in names) for row in answer] == expected


async def test_effects_are_those_of_the_panel(ask, store, folder):
    whole = {effect.op_name: effect for effect in read(folder, "oscillate").effects}
    rows = ask(View("effects", "oscillate"))
    assert {row["op_name"]: (row["n_all"], row["n"]) for row in rows} == {
        name: (effect.n_all, effect.n) for name, effect in whole.items() if effect.n_all
    }
    answer = table(await call(folder, mcp_call_for(View("effects", "oscillate"))))
    assert {row["op_name"]: row["n"] for row in answer} == {
        row["op_name"]: row["n"] for row in rows if row["n"]
    }
    assert ask(View("effects", "oscillate", moment=(0, 0))) == []


async def test_a_comparison_holds_both_runs(folder, ask):
    view = View("comparison", "oscillate", treatment="it's")
    rows = {row["run_dir"]: row for row in ask(view)}
    for name in ("oscillate", "it's"):
        snapshot = read(folder, name)
        assert rows[name]["n_pairs"] == snapshot.n_pairs
        assert rows[name]["reversal_rate"] == snapshot.reversal_rate
        assert rows[name]["n_slots"] == len(snapshot.verdicts)
    answer = await call(folder, mcp_call_for(view))
    assert {"gates", "rows"} <= answer.keys()


class TestNames:
    @pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
    async def test_each_is_found_again_and_nothing_in_it_is_sql(self, folder, ask, name):
        rows = ask(View("slot", "it's", slot=(0, name)))
        assert [row["slot_id"] for row in rows] == [name] * 4
        assert places(ask(View("levels", "it's", query=parse_query("")._replace(slot=name.casefold())))) >= {
            (0, name)
        }
        made = mcp_call_for(View("slot", "it's", slot=(0, name)))
        answer = await call(folder, made)
        # Long names fill an answer sooner; the rest is on its next page.
        assert answer["row_count"] == 4 or answer["next_cursor"]
        assert str(made).isascii()

    @pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
    def test_the_text_is_safe_to_paste(self, name):
        text = sql_for(View("slot", name, slot=(0, name)))
        assert all(c.isprintable() or c == "\n" for c in text)

    def test_quoting(self):
        assert quoted("") == "''"
        assert quoted("it's") == "'it''s'"
        assert quoted("a\x1bb\n") == "'a' || chr(27) || 'b' || chr(10)"
        assert quoted("\x1b") == "chr(27)"
        assert quoted("\udcff") == "chr(65533)"

    def test_karn_sql_takes_it_from_the_command_line(self, folder):
        view = View("slot", "it's", slot=(0, "\x1b[31mred\x07"))
        done = subprocess.run(
            [sys.executable, "-m", "esper", "sql", sql_for(view), "-d", str(folder), "-f", "json"],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert len(json.loads(done.stdout)) == 4


class TestClipboard:
    def test_the_terminal_is_asked_to_take_it(self):
        code = """
from textual.app import App
from esper.karn.sanctum.copying import copy_text
class Copies(App):
    def on_mount(self):
        copy_text(self, "SELECT '\N{LATIN SMALL LETTER A WITH DIAERESIS}'")
        self.exit()
Copies().run()
"""
        encoded = base64.b64encode("SELECT '\N{LATIN SMALL LETTER A WITH DIAERESIS}'".encode())
        with terminal([sys.executable, "-c", code], {**os.environ, "TERM": "xterm-256color"}) as shown:
            shown.wait_for_bytes(b"\x1b]52;c;" + encoded + b"\a")
            assert shown.wait() == 0

    def test_what_no_terminal_takes_is_refused(self):
        with pytest.raises(TelemetryUsageError, match="export"):
            copy_text(App(), "x" * (CLIPBOARD_BYTES + 1))
