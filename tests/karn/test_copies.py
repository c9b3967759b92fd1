"""Ranks that hold copies of the same environments: an answer counts one rank's, wherever it is asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from test_op_effect import FREE
from test_sanctum_agrees_with_sql import read

from effect_support import write_confounded
from esper.karn.diagnosis import RunVerdict, verdict_text
from esper.karn.diagnosis.figures import RunFigures
from esper.karn.mcp.query_page import QueryCall, query_page
from esper.karn.mcp.view_page import ViewCall, view_page
from esper.karn.sanctum.feed import utc_now
from esper.karn.sanctum.once import once_json
from esper.karn.store.compare import compare_runs, run_figures
from esper.karn.store.database import Store
from esper.karn.store.effects import op_answer
from esper.karn.store.evidence import thrash_verdict
from esper.karn.store.views import shipped_queries
from esper.leyline.errors import NotFoundError
from store_support import open_store
from support import ROOT, read_events, write_run

NOTE = "3 ranks hold copies of the same environments: rank 0's are counted"
LOWEST_HERE = "2 ranks hold copies of the same environments: rank 1's are counted"


def copied(folder: Path, run: str, into: str, ranks: range) -> None:
    """A run whose ranks have all written what one process wrote, under environments of their own."""
    lines = (folder / run / "events.jsonl").read_text().splitlines()
    (folder / into).mkdir()
    for rank in ranks:
        events = [json.loads(line) for line in lines]
        for event in events:
            event["rank"], event["event_id"] = rank, f"{rank}-{event['event_id']}"
            if event["data"].get("env_id") is not None:
                event["data"]["env_id"] += 4 * (rank - ranks.start)
            if event["event_type"] == "TRAINING_STARTED":
                event["data"] |= {"config": {"shared_hosts": True}, "world_size": len(ranks), "rank": rank}
        text = "".join(json.dumps(event) + "\n" for event in events)
        (folder / into / f"events.rank{rank:05}.jsonl").write_text(text)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("copies") / "telemetry"
    write_confounded(folder, "free", FREE, episodes=16)
    write_run(folder, "toy")
    (folder / "oscillate").mkdir()
    recorded = (ROOT / "examples/telemetry/oscillate/events.jsonl").read_text()
    (folder / "oscillate/events.jsonl").write_text(recorded)
    for run in ("free", "toy", "oscillate"):
        copied(folder, run, f"{run}-copied", range(3))
        copied(folder, run, f"{run}-lost", range(1, 3))
    return folder


@pytest.fixture(scope="module")
def store(folder: Path) -> Store:
    return open_store(folder)


def rounded(value: Any) -> Any:
    """Floats without their last digits: a sum's depend on the order of its terms."""
    if isinstance(value, dict):
        return {name: rounded(item) for name, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return float(f"{value:.9g}") if isinstance(value, float) else value


def bare(verdict: RunVerdict) -> dict[str, Any]:
    """A verdict without what differs between one run and its copy."""
    found = msgspec.to_builtins(verdict)
    for name in ("run_dir", "notes", "status", "answer"):
        del found[name]
    for row in (*found["slots"], *found["environments"], *found["ranks"], *found["evidence"]):
        row.pop("rank", None)
        row.pop("event_id", None)
    return rounded(found)


@pytest.mark.parametrize("run", ["free", "toy", "oscillate"])
class TestOneRankCounts:
    @pytest.mark.parametrize(("ending", "note"), [("copied", NOTE), ("lost", LOWEST_HERE)])
    def test_the_verdict_is_that_of_one_rank_alone(
        self, store: Store, run: str, ending: str, note: str
    ) -> None:
        alone, copies = thrash_verdict(store, run), thrash_verdict(store, f"{run}-{ending}")
        assert bare(copies) == bare(alone)
        assert note in copies.notes
        assert not any("copies" in text for text in alone.notes)
        assert f"note: {note}" in verdict_text(copies)

    def test_so_are_the_figures_that_are_compared(self, store: Store, run: str) -> None:
        def bare_figures(figures: RunFigures) -> dict[str, Any]:
            found = msgspec.to_builtins(figures)
            for name in ("run_dir", "status", "notes", "settings"):
                del found[name]
            return rounded(found)

        copies = run_figures(store, f"{run}-copied")
        assert bare_figures(copies) == bare_figures(run_figures(store, run))
        assert f"the treatment: {NOTE}" in compare_runs(store, run, f"{run}-copied").notes

    def test_so_is_the_seeds_own_number(self, store: Store, run: str) -> None:
        alone, copies = (op_answer(store, name, "GROW_INTERNAL") for name in (run, f"{run}-copied"))
        assert rounded(msgspec.to_builtins(copies.naive)) == rounded(msgspec.to_builtins(alone.naive))
        assert rounded(msgspec.to_builtins(copies.effects)) == rounded(msgspec.to_builtins(alone.effects))

    def test_so_is_what_sanctum_shows(self, folder: Path, store: Store, run: str) -> None:
        alone, copies = (once_json(folder, name) for name in (run, f"{run}-copied"))
        for name in ("effects", "first_thrash", "n_pairs", "band"):
            assert rounded(copies[name]) == rounded(alone[name])
        assert copies["slots"] == [
            slot for slot in copies["slots"] if slot["env_id"] in {s["env_id"] for s in alone["slots"]}
        ]
        feed = read(folder / f"{run}-copied")
        screen, other = feed.snapshot(utc_now()), read(folder / run).snapshot(utc_now())
        assert [(c.env_id, c.epoch) for c in screen.changes] == [(c.env_id, c.epoch) for c in other.changes]
        by_sql = thrash_verdict(store, f"{run}-copied")
        assert [(v.env_id, v.n_free_pairs) for v in screen.verdicts] == [
            (v.env_id, v.n_free_pairs) for v in by_sql.slots
        ]

    def test_use_is_counted_as_the_shipped_query_counts_it(self, store: Store, run: str) -> None:
        query = shipped_queries()["internal_op_usage"].body
        (row,) = store.select(query, {"run_dir": run}).dicts()
        usage = thrash_verdict(store, run).usage
        assert (usage.internal_ops, usage.decisions) == (row["internal_ops"], row["total_decisions"])


def test_the_views_leave_nothing_out(store: Store) -> None:
    counts = store.select("SELECT run_dir, count(*) FROM decisions GROUP BY run_dir").rows
    by_run = dict(counts)
    assert by_run["free-copied"] == 3 * by_run["free"] > 0


@pytest.mark.parametrize(("run", "warned"), [("oscillate-copied", True), ("oscillate", False), (None, False)])
def test_who_lists_or_sums_rows_is_told(store: Store, run: str | None, warned: bool) -> None:
    of_run = {} if run is None else {"run_dir": run}
    usage = shipped_queries()["internal_op_usage"]
    pages = [
        view_page(store, ViewCall(view="decisions", filters=of_run, order=None, limit=1, cursor=None)),
        query_page(store, QueryCall(query=usage, params=of_run, limit=9, cursor=None, timeout_s=60)),
    ]
    note = "3 ranks hold copies of the same environments, and every rank's rows are here: n counts each copy"
    assert [note in page.warnings for page in pages] == [warned] * 2


def test_an_environment_that_is_not_counted_is_refused_with_the_reason(store: Store) -> None:
    with pytest.raises(NotFoundError, match="rank 0's are counted"):
        thrash_verdict(store, "oscillate-copied", env_id=5)


def test_where_ranks_have_environments_of_their_own_all_count(folder: Path, store: Store) -> None:
    events = read_events(folder / "toy/events.jsonl")
    assert any(e["event_type"] == "TRAINING_STARTED" for e in events)
    target = folder / "toy-fleet"
    target.mkdir()
    for path in (folder / "toy-copied").glob("*.jsonl"):
        (target / path.name).write_text(
            path.read_text().replace('"shared_hosts": true', '"shared_hosts": false')
        )
    store.refresh()
    alone, fleet = thrash_verdict(store, "toy"), thrash_verdict(store, "toy-fleet")
    assert (fleet.n_pairs, len(fleet.ranks)) == (3 * alone.n_pairs, 3)
