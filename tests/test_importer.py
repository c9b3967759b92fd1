"""karn import's reader: every kind of bad table is refused whole, and what is written is a whole run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import oracle
from esper.importer import Imported, import_levels
from esper.karn.store.evidence import thrash_verdict
from esper.leyline.errors import KarnError, TelemetryFileError, TelemetryUsageError
from store_support import open_store

HEADER = "env,slot,episode,epoch,level,max_level\n"
MEASURED = HEADER.replace("\n", ",loss,accuracy\n")
GOOD = HEADER + "0,a,0,1,1,4\n0,a,0,2,2,4\n"


@pytest.fixture
def table(tmp_path) -> Path:
    return tmp_path / "levels.csv"


def imported(table: Path, content: str | bytes, run_dir: str = "run") -> Imported:
    table.write_bytes(content.encode() if isinstance(content, str) else content)
    return import_levels(table, table.parent / "telemetry", run_dir)


def levels_of(table: Path) -> list[list[object]]:
    with open_store(table.parent / "telemetry") as store:
        assert store.select("SELECT * FROM ingest_errors").rows == []
        return store.select(
            "SELECT env_id, slot_id, episode_idx, epoch, from_level, to_level FROM seed_internal_levels "
            "ORDER BY seq"
        ).rows


@pytest.mark.parametrize(
    "content",
    [
        GOOD,
        GOOD.replace("\n", "\r\n"),
        "\ufeff" + GOOD,
        GOOD.removesuffix("\n"),
        GOOD.replace("1,1,4", " 1 , 1.0 ,4.0"),
        "note," + GOOD.replace("\n0,a", '\n"a ""quoted"" note, with a comma",0,a'),
        GOOD.replace("a,0", '"a",0'),
        GOOD + "\n\n",
        HEADER + "0,a,0,2,2,4\n0,a,0,1,1,4\n",
        GOOD.replace("max_level\n", "max_level,loss,accuracy\n").replace(",4\n", ",4,0.5,\n"),
    ],
    ids=[
        "plain",
        "CRLF",
        "byte order mark",
        "no last newline",
        "spaces and whole floats",
        "other columns",
        "quotes",
        "blank lines",
        "another order",
        "loss",
    ],
)
def test_a_table_of_any_make_is_read(table, content):
    assert imported(table, content) == Imported(run_dir="run", rows=2, level_changes=1, envs=1)
    assert levels_of(table) == [[0, "a", 0, 2, 1, 2]]


BAD = {
    "empty": (b"", "no column env, slot, episode, epoch, level, max_level"),
    "header alone": (HEADER, "has a header and no rows"),
    "no header": ("0,a,0,1,1,4\n", "no column"),
    "semicolons": (GOOD.replace(",", ";"), "with commas between"),
    "a missing column": (GOOD.replace("epoch", "step"), "no column epoch"),
    "a column twice": (GOOD.replace("slot", "env"), "no column slot"),
    "a needed column twice": ("env," + HEADER + "0,0,a,0,1,1,4\n", "has the column env twice"),
    "a text for a number": (HEADER + "0,a,0,one,1,4\n", "levels.csv:2: epoch is 'one', not a whole number"),
    "an empty number": (HEADER + "0,a,0,,1,4\n", "levels.csv:2: epoch is '', not a whole number"),
    "half an epoch": (HEADER + "0,a,0,1.5,1,4\n", "levels.csv:2: epoch is '1.5', not a whole number"),
    "not a number": (HEADER + "0,a,0,nan,1,4\n", "epoch is 'nan', not a whole number"),
    "endless": (HEADER + "0,a,0,inf,1,4\n", "epoch is 'inf', not a whole number"),
    "negative": (HEADER + "0,a,0,-1,1,4\n", "epoch is -1; it counts from 0"),
    "too large": (HEADER + f"{2**31},a,0,1,1,4\n", f"env is {2**31}; it counts from 0 to {2**31 - 1}"),
    "far too large": (HEADER + "0,a,0," + "9" * 400 + ",1,4\n", "epoch is"),
    "above the ladder": (GOOD + "0,a,0,3,5,4\n", "levels.csv:4: level 5 of max_level 4"),
    "no slot": (HEADER + "0, ,0,1,1,4\n", "levels.csv:2: slot is empty"),
    "too few values": (HEADER + "0,a,0\n", "levels.csv:2: level is '', not a whole number"),
    "too many values": (
        GOOD + "0,a,0,3,1,4,9\n",
        "levels.csv:4: more values than the first line has columns",
    ),
    "a row twice": (GOOD + "0,a,0,2,3,4\n", "levels.csv:4: env 0 slot a episode 0 epoch 2 was on line 3"),
    "a loss that is a text": (
        HEADER.replace("\n", ",loss\n") + "0,a,0,1,1,4,low\n",
        "loss is 'low', not a number",
    ),
    "a max_level that changes": (
        HEADER + "0,a,0,1,6,8\n1,a,0,1,2,4\n0,a,1,1,2,4\n0,a,0,2,2,4\n",
        "levels.csv:5: max_level is 4 and was 8 on line 2; the seed of env 0 slot a episode 0",
    ),
    "per cent": (
        MEASURED + "0,a,0,1,1,4,,0.9\n0,a,0,2,1,4,,95\n",
        "levels.csv:3: accuracy is 95; a fraction from 0 to 1 is wanted (95 % -> 0.95)",
    ),
    "an accuracy below 0": (MEASURED + "0,a,0,1,1,4,,-0.1\n", "levels.csv:2: accuracy is -0.1; a fraction"),
    "an endless accuracy": (MEASURED + "0,a,0,1,1,4,,inf\n", "levels.csv:2: accuracy is inf; a fraction"),
    "two losses of an epoch": (
        MEASURED + "0,a,0,1,1,4,0.5,\n0,b,0,2,1,4,0.25,\n0,b,0,1,1,4,0.75,\n",
        "levels.csv:4: loss is 0.75 and was 0.5 on line 2; env 0 episode 0 epoch 1 has one loss",
    ),
    "two accuracies of an epoch": (
        MEASURED + "0,a,0,1,1,4,,0.5\n0,b,0,1,1,4,,nan\n",
        "levels.csv:3: accuracy is nan and was 0.5 on line 2",
    ),
    "a column in capitals": (
        GOOD.replace("env", "Env").replace("slot", " slot"),
        "with commas between; Env (write it 'env');  slot (write it 'slot')",
    ),
    "Latin-1": (HEADER.encode() + "0,é,0,1,1,4\n".encode("latin-1"), "not UTF-8"),
    "UTF-16": (GOOD.encode("utf-16"), "not UTF-8"),
    "a broken quote": (HEADER + '0,"a"b,0,1,1,4\n', "give a CSV file"),
    "an endless quote": (HEADER + '0,"a,0,1,1,4\n', "give a CSV file"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_table_is_refused_in_one_line_and_nothing_is_written(table, kind):
    content, says = BAD[kind]
    with pytest.raises(KarnError) as error:
        imported(table, content)
    assert says in str(error.value)
    assert "\n" not in str(error.value)
    assert not (table.parent / "telemetry").exists()


def test_what_is_no_file_is_refused(tmp_path):
    for path in (tmp_path / "gone.csv", tmp_path):
        with pytest.raises(TelemetryFileError, match="can't read"):
            import_levels(path, tmp_path / "telemetry", "run")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("what", ["folder", "file", "dangling link"])
def test_an_import_never_touches_what_is_there(table, what):
    target = table.parent / "telemetry" / "run"
    target.parent.mkdir()
    if what == "folder":
        target.mkdir()
    elif what == "file":
        target.touch()
    else:
        target.symlink_to("nowhere")
    with pytest.raises(TelemetryUsageError, match="run 'run' exists already"):
        imported(table, GOOD)
    assert list(target.parent.iterdir()) == [target]


def test_where_no_folder_can_be_made_it_says_so(table):
    (table.parent / "telemetry").touch()
    with pytest.raises(TelemetryFileError, match="can't write"):
        imported(table, GOOD)


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from esper.importer import import_levels
from esper.leyline.errors import KarnError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
try:
    import_levels(Path(sys.argv[1]), Path(sys.argv[2]), "run")
except KarnError as error:
    print(error)
"""


def test_a_full_disk_leaves_no_half_of_a_run(table):
    table.write_text(HEADER + "".join(f"0,a,0,{epoch},{epoch % 2},4\n" for epoch in range(100)))
    folder = table.parent / "telemetry"
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, table, folder], capture_output=True, text=True, timeout=60
    )
    assert "events could not be written; is the disk full?" in done.stdout, done.stderr
    assert list(folder.iterdir()) == []


def test_episodes_slots_and_environments_are_kept_apart(table):
    rows = [
        f"{env},{slot},{episode},{epoch},{(epoch + env) % 3},4\n"
        for epoch in range(15)
        for slot in "ab"
        for env in (0, 7)
        for episode in (0, 2)
    ]
    done = imported(table, HEADER + "".join(rows))
    assert (done.rows, done.envs, done.level_changes) == (len(rows), 2, 14 * 8)
    folder = table.parent / "telemetry" / "run"
    slots = oracle.slots_of(oracle.read_run(folder))
    assert slots.keys() == {(0, "a"), (0, "b"), (7, "a"), (7, "b")}
    with open_store(folder.parent) as store:
        run = store.run("run")
        assert (run.status, run.policy, run.events) == ("finished", "imported", len(oracle.read_run(folder)))
        for report in thrash_verdict(store).slots:
            slot = slots[report.env_id, report.slot_id]
            assert (report.n_ops, report.n_pairs) == (slot.n_ops, slot.n_pairs) == (28, 26)
        assert store.select("SELECT count(*) FROM epochs").rows == [[15 * 4]]
    events = oracle.read_run(folder)
    assert oracle.metrics_written(events) == oracle.windowed_metrics(events)
    assert os.listdir(folder.parent) == ["run"]


# A loss and an accuracy are an epoch's, wherever they stand.


@pytest.mark.parametrize(
    "rows",
    [
        "0,a,0,1,1,4,0.5,0.75\n0,b,0,1,1,4,,\n0,c,0,1,1,4,,\n",
        "0,a,0,1,1,4,,\n0,b,0,1,1,4,0.5,\n0,c,0,1,1,4,,0.75\n",
        "0,a,0,1,1,4,0.5,0.75\n0,b,0,1,1,4,0.50,0.750\n0,c,0,1,1,4,,\n",
    ],
    ids=["on the first row", "on different rows", "on several, the same"],
)
def test_a_loss_and_an_accuracy_count_on_any_row_of_their_epoch(table, rows):
    imported(table, MEASURED + rows + "0,a,0,2,1,4,,\n1,a,0,1,1,4,,\n")
    with open_store(table.parent / "telemetry") as store:
        rows = store.select("SELECT env_id, inner_epoch, loss, accuracy FROM epochs ORDER BY 1, 2").rows
    assert rows == [[0, 1, 0.5, 0.75], [0, 2, None, None], [1, 1, None, None]]


def test_a_diverged_epoch_may_say_nan_on_each_row(table):
    imported(table, MEASURED + "0,a,0,1,1,4,nan,nan\n0,b,0,1,1,4,nan,nan\n")
    (epoch,) = [event for event in oracle.read_run(table.parent / "telemetry/run") if "loss" in str(event)]
    assert epoch["data"]["non_finite"] == {"loss": "NaN", "accuracy": "NaN"}


# What its owner should know.


def notes_of(caplog) -> list[str]:
    assert {record.name for record in caplog.records} <= {"karn"}
    return [record.getMessage() for record in caplog.records]


def test_columns_that_are_not_known_are_named(table, caplog):
    header = HEADER.replace("\n", ",Loss,acc,, Accuracy ,b\x1b[2J\n")
    imported(table, header + "0,a,0,1,1,4,0.5,0.5,,0.5,\n")
    assert notes_of(caplog) == [
        "levels.csv: ignored columns: Loss (write it 'loss'), acc, one without a name, "
        " Accuracy  (write it 'accuracy'), b\N{REPLACEMENT CHARACTER}[2J"
    ]


def test_of_many_columns_ten_are_named(table, caplog):
    names = [f"c{i}" for i in range(13)]
    imported(table, HEADER.replace("\n", f",{','.join(names)}\n") + "0,a,0,1,1,4\n")
    assert notes_of(caplog) == [f"levels.csv: ignored columns: {', '.join(names[:10])}, 3 more"]


def test_epochs_without_rows_are_counted(table, caplog):
    sparse = [f"0,a,0,{epoch},{epoch % 2},4\n" for epoch in (*range(1, 12), 60)]
    imported(table, HEADER + "".join(sparse))
    assert notes_of(caplog) == [
        "levels.csv: rows for 12 of 60 epochs: how long levels were left alone is not known; "
        "give each epoch its row"
    ]


def test_a_whole_table_needs_no_word(table, caplog):
    # Each environment and episode has epochs of its own; another slot's row is an epoch's, too.
    rows = [f"{env},a,{env},{epoch},1,4\n" for env in (0, 5) for epoch in range(env, env + 4)]
    imported(table, HEADER + "".join(rows) + "0,b,0,2,1,4\n")
    assert notes_of(caplog) == []


def test_the_summary_counts_one_as_one(table):
    assert imported(table, GOOD).summary() == "2 rows, 1 environment, 1 level change: run run"
    two = imported(table, HEADER + "0,a,0,1,1,4\n1,a,0,1,1,4\n", "two")
    assert two.summary() == "2 rows, 2 environments, 0 level changes: run two"
