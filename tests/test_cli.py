"""The karn command as a person types it: what it prints, what it exits with, and one clear line on error."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from support import ROOT

EXAMPLES = ROOT / "examples/telemetry"
ENVIRONMENT = {**os.environ, "NO_COLOR": "1", "COLUMNS": "100"}
ENVIRONMENT.pop("KARN_TELEMETRY_DIR", None)


def karn(*arguments: str | Path, cwd: Path = ROOT, **variables: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "esper", *map(str, arguments)],
        cwd=cwd,
        env={**ENVIRONMENT, **variables},
        capture_output=True,
        text=True,
        timeout=120,
        stdin=subprocess.DEVNULL,
    )
    assert "Traceback" not in done.stdout + done.stderr
    return done


def error_of(*arguments: str | Path, code: int = 1, cwd: Path = ROOT) -> str:
    done = karn(*arguments, cwd=cwd)
    assert done.returncode == code, done
    assert done.stdout == ""
    if code == 1:
        assert done.stderr.startswith("karn: ")
        assert done.stderr.count("\n") == 1, "one line says what is wrong"
    return done.stderr


class TestReport:
    def test_names_the_thrashing_run_and_leaves_the_healthy_one(self):
        assert "THRASHING" in karn("report", "oscillate", "-d", EXAMPLES).stdout.splitlines()[0]
        healthy = karn("report", "heuristic", "-d", EXAMPLES)
        assert healthy.returncode == 0
        assert healthy.stdout.splitlines()[0] == "run heuristic (finished): NOT_THRASHING"

    def test_json_is_the_same_verdict_as_data(self):
        verdict = json.loads(karn("report", "oscillate", "-d", EXAMPLES, "--json").stdout)
        assert verdict["label"] == "thrashing"
        assert verdict["band"] == "thrash"
        assert {slot["slot_id"] for slot in verdict["slots"]} == {"r0c0", "r0c1"}
        assert verdict["evidence"]

    def test_fail_on_thrash_exits_with_3_only_where_it_thrashes(self):
        assert karn("report", "oscillate", "-d", EXAMPLES, "--fail-on", "thrash").returncode == 3
        assert karn("report", "heuristic", "-d", EXAMPLES, "--fail-on", "thrash").returncode == 0

    def test_full_lists_environments_and_ranks(self):
        text = karn("report", "oscillate", "-d", EXAMPLES, "--full").stdout
        assert "env 1 (rank 0)" in text
        assert "rank 0: 4 of 4 judged slots thrash" in text

    def test_an_unknown_run_names_the_nearest(self):
        assert "did you mean oscillate?" in error_of("report", "oscilate", "-d", EXAMPLES)

    def test_an_unknown_slot_or_environment_names_those_there_are(self):
        assert "r0c0" in error_of("report", "oscillate", "-d", EXAMPLES, "--slot", "r9c9")
        assert "0 or 1" in error_of("report", "oscillate", "-d", EXAMPLES, "--env", "7")


class TestFolders:
    def test_a_missing_folder_says_where_it_looked(self, tmp_path):
        for command in (["report"], ["runs"], ["sql", "SELECT 1"]):
            assert "no telemetry folder" in error_of(*command, cwd=tmp_path)

    def test_an_empty_folder_has_no_run_to_report(self, tmp_path):
        assert "no run" in error_of("report", "-d", tmp_path)
        assert karn("runs", "-d", tmp_path).returncode == 0

    def test_the_variable_stands_for_the_option(self):
        done = karn("runs", KARN_TELEMETRY_DIR=str(EXAMPLES))
        assert done.returncode == 0
        assert {"heuristic", "oscillate"} <= set(done.stdout.split())


class TestSql:
    def test_formats(self):
        query = "SELECT run_dir, count(*) AS n FROM epochs GROUP BY run_dir ORDER BY run_dir"
        assert karn("sql", query, "-d", EXAMPLES, "-f", "csv").stdout.splitlines() == [
            "run_dir,n",
            "heuristic,272",
            "oscillate,272",
        ]
        rows = json.loads(karn("sql", query, "-d", EXAMPLES, "-f", "json").stdout)
        assert rows == [{"run_dir": "heuristic", "n": 272}, {"run_dir": "oscillate", "n": 272}]
        assert karn("sql", query, "-d", EXAMPLES).stdout.splitlines()[1].split() == ["heuristic", "272"]

    def test_a_cut_result_says_so(self):
        done = karn("sql", "SELECT * FROM epochs", "-d", EXAMPLES, "--limit", "2", "-f", "csv")
        assert len(done.stdout.splitlines()) == 3
        assert "only the first 2 rows" in done.stderr

    def test_refuses_what_is_not_one_select(self):
        assert "SELECT" in error_of("sql", "DROP VIEW runs", "-d", EXAMPLES)
        assert "SELECT" in error_of("sql", "COPY (SELECT 1) TO '/tmp/x'", "-d", EXAMPLES)

    def test_an_unknown_view_or_column_is_one_line(self):
        assert "slot_trash" in error_of("sql", "SELECT * FROM slot_trash", "-d", EXAMPLES)
        assert "colum" in error_of("sql", "SELECT colum FROM runs", "-d", EXAMPLES)


class TestImport:
    HEADER = "env,slot,episode,epoch,level,max_level\n"

    def test_a_table_of_levels_gets_a_verdict(self, tmp_path):
        table = tmp_path / "levels.csv"
        levels = [1 + epoch % 2 for epoch in range(40)]
        rows = "".join(f"0,r0c0,0,{epoch},{level},4\n" for epoch, level in enumerate(levels))
        table.write_text(self.HEADER + rows)
        done = karn("import", table, "-d", tmp_path / "telemetry")
        assert done.returncode == 0
        assert "39 level changes" in done.stdout
        verdict = json.loads(karn("report", "levels", "-d", tmp_path / "telemetry", "--json").stdout)
        assert verdict["label"] == "thrashing"
        assert verdict["n_pairs"] == 38
        assert verdict["slots"][0]["since"]["epoch"] == 1
        assert verdict["usage"]["share"] is None

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("env,slot,level\n0,a,1\n", "no column episode, epoch, max_level"),
            (HEADER + "0,a,0,1,x,4\n", "levels.csv:2: level is 'x'"),
            (HEADER + "0,a,0,1,1,4\n0,a,0,2,5,4\n", "levels.csv:3: level 5 of max_level 4"),
            (HEADER + "-1,a,0,1,1,4\n", "env is -1"),
            (HEADER, "no rows"),
            ("", "no column"),
        ],
    )
    def test_a_bad_table_is_refused_whole(self, tmp_path, text, says):
        table = tmp_path / "levels.csv"
        table.write_text(text)
        assert says in error_of("import", table, "-d", tmp_path / "telemetry")
        assert not (tmp_path / "telemetry").exists()

    def test_a_missing_file_is_refused(self, tmp_path):
        assert "nowhere.csv" in error_of("import", tmp_path / "nowhere.csv", "-d", tmp_path / "t")

    def test_an_import_never_adds_to_a_run(self, tmp_path):
        table = tmp_path / "levels.csv"
        table.write_text(self.HEADER + "0,a,0,1,1,4\n0,a,0,2,2,4\n")
        assert karn("import", table, "-d", tmp_path / "t").returncode == 0
        before = (tmp_path / "t/levels/events.jsonl").read_bytes()
        assert "exists" in error_of("import", table, "-d", tmp_path / "t")
        assert (tmp_path / "t/levels/events.jsonl").read_bytes() == before


class TestValidate:
    def test_recorded_runs_are_clean(self):
        done = karn("validate", EXAMPLES / "oscillate/events.jsonl", EXAMPLES / "heuristic/events.jsonl")
        assert done.returncode == 0
        assert done.stdout.count(" 0 problems") == 2

    def test_a_bad_line_is_named_with_its_number(self, tmp_path):
        file = tmp_path / "events.jsonl"
        good = (EXAMPLES / "oscillate/events.jsonl").read_text().splitlines()[:2]
        file.write_text("\n".join([good[0], "garbage", good[1]]) + "\n")
        done = karn("validate", file)
        assert done.returncode == 1
        assert f"{file}:2: line: not JSON" in done.stdout

    def test_a_missing_file_is_one_line(self, tmp_path):
        assert "no file" in error_of("validate", tmp_path / "events.jsonl")


class TestTrain:
    def test_an_unknown_policy_writes_nothing(self, tmp_path):
        assert "random" in error_of("train", "--policy", "radnom", "-d", tmp_path / "t")
        assert not (tmp_path / "t").exists()

    @pytest.mark.parametrize(
        "wrong", [["--episodes", "0"], ["--envs", "0"], ["--seed", "-1"], ["--resume"], ["--run-dir", "a/b"]]
    )
    def test_wrong_options_write_nothing(self, tmp_path, wrong):
        error_of("train", *wrong, "-d", tmp_path / "t")
        assert not (tmp_path / "t").exists()

    def test_a_run_is_not_trained_over_but_resumed(self, tmp_path):
        small = [
            "train",
            "--policy",
            "random",
            "--envs",
            "1",
            "--epochs",
            "2",
            "-d",
            tmp_path,
            "--run-dir",
            "r",
        ]
        done = karn(*small, "--episodes", "1")
        assert done.returncode == 0, done.stderr
        assert f"karn report --telemetry-dir {tmp_path} -- r" in done.stdout
        assert "--resume" in error_of(*small, "--episodes", "2")
        assert karn(*small, "--episodes", "2", "--resume").returncode == 0
        rows = karn(
            "sql",
            "SELECT episode_idx, count(*) FROM epochs GROUP BY 1 ORDER BY 1",
            "-d",
            tmp_path,
            "-f",
            "csv",
        )
        assert rows.stdout.splitlines()[1:] == ["0,2", "1,2"]
        assert json.loads(karn("runs", "-d", tmp_path, "--json").stdout)[0]["status"] == "finished"


class TestOthers:
    def test_an_unknown_command_is_wrong_usage_and_names_the_nearest(self):
        done = karn("repport")
        assert done.returncode == 2
        assert "report" in done.stderr

    def test_a_negative_limit_is_wrong_usage(self):
        assert karn("sql", "SELECT 1", "-d", EXAMPLES, "--limit", "-1").returncode == 2

    def test_schema_is_the_one_in_docs(self):
        assert karn("schema").stdout == (ROOT / "docs/events.schema.json").read_text()

    def test_sanctum_once_prints_the_state_as_text_and_as_data(self):
        text = karn("sanctum", "oscillate", "--once", "-d", EXAMPLES)
        assert text.returncode == 0
        assert "thrashing in 4 of 4 judged slots" in text.stdout
        state = json.loads(karn("sanctum", "oscillate", "--once", "--json", "-d", EXAMPLES).stdout)
        assert state
        assert "--once" in error_of("sanctum", "--json", "-d", EXAMPLES)

    def test_every_command_has_help_that_says_what_it_is_for(self):
        listed = karn("--help").stdout
        for command in ("train", "mcp", "report", "sql", "runs", "schema", "validate", "sanctum", "import"):
            assert f"│ {command} " in listed

    def test_a_reader_that_has_enough_is_no_error(self):
        done = subprocess.run(
            f"{sys.executable} -m esper sql 'SELECT * FROM raw_events' -d {EXAMPLES} | head -1",
            shell=True,
            capture_output=True,
            text=True,
            env=ENVIRONMENT,
            timeout=60,
        )
        assert "Traceback" not in done.stderr
        assert done.stdout
