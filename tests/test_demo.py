"""``make demo`` shows a newcomer what an assistant sees, and the README shows what the program says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_demo_shows_runs_verdicts_queries_and_how_to_connect() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "examples/demo.py"], capture_output=True, text=True, timeout=120, cwd="/"
    )
    assert done.returncode == 0, done.stderr
    for expected in (
        "== list_runs",
        "== thrash_verdict(run_dir='heuristic')",
        "== thrash_verdict(run_dir='oscillate')",
        "run oscillate (finished): THRASHING",
        "== internal_op_usage",
        "== thrash_check",
        "== counterfactual_by_op",
        "claude mcp add karn",
        "claude_desktop_config.json",
        ".cursor/mcp.json",
        ".vscode/mcp.json",
    ):
        assert expected in done.stdout
    assert done.stderr == ""


def test_readme_shows_what_the_program_says() -> None:
    readme = ROOT / "README.md"
    script = (
        "import make_readme, pathlib; "
        "print(make_readme.filled(pathlib.Path('README.md').read_text()), end='')"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, 'docs'); {script}"],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == readme.read_text(), "run `make readme`"


def test_recorded_runs_are_small_and_named_with_their_commands() -> None:
    telemetry = ROOT / "examples/telemetry"
    commands = (telemetry / "README.md").read_text()
    runs = sorted(path for path in telemetry.iterdir() if path.is_dir())
    assert [run.name for run in runs] == ["heuristic", "oscillate"]
    for run in runs:
        assert f"--run-dir {run.name}" in commands
        assert [path.name for path in run.iterdir()] == ["events.jsonl"]
        assert (run / "events.jsonl").stat().st_size < 500_000
