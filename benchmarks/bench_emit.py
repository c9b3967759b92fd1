"""What recording an event costs the training, beside what people use, and whether every event lands."""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.emit_contender import CONTENDERS, PEERS
from benchmarks.emit_training import measure as measure_training
from benchmarks.measure import options, report, save, sizes

HERE = Path(__file__).parent
PEERS_PYTHON = HERE / ".venv" / "bin" / "python"
FLOOR, BASE = "write alone", "json.dumps"
WARM_UP = 200
"""Events that every contender logs before it is measured."""
KILL_AFTER = 3000
"""Events whose ``emit`` has returned when the writer is killed."""


class Child:
    """A contender in its own process; see emit_contender."""

    def __init__(self, name: str, folder: Path) -> None:
        python = PEERS_PYTHON if name in PEERS else sys.executable
        folder.mkdir()
        self.costs: list[dict[str, float]] = []
        self._process = subprocess.Popen(
            [python, HERE / "emit_contender.py", name, folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._answer()

    def log(self, count: int) -> dict[str, float]:
        """Log so many events; CPU seconds as emit_contender says."""
        return self._ask(f"{count}\n")

    def landed(self) -> int:
        """Events on disk, once all is closed."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        count = int(self._answer()["landed"])
        self._process.wait()
        return count

    def _ask(self, request: str) -> dict[str, float]:
        assert self._process.stdin is not None
        self._process.stdin.write(request)
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, float]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self._process.args!r} ended with {self._process.wait()}")
        return json.loads(line)  # type: ignore[no-any-return]


def main() -> None:
    parser = options(__doc__, events=[20_000], rounds=9)
    parser.add_argument("--epochs", type=int, default=34, help="of each training; 0 leaves trainings out")
    arguments = parser.parse_args()
    arguments.work_dir.mkdir(parents=True, exist_ok=True)
    tables: dict[str, list[dict[str, Any]]] = {"emit": []}
    for n_events in sizes(arguments):
        with tempfile.TemporaryDirectory(dir=arguments.work_dir, prefix="emit-") as folder:
            tables["emit"] += emit_table(Path(folder), n_events, arguments)
    report(
        "one event [us of CPU]; Karn's and json.dumps' are a whole level change, a peer's is one scalar",
        tables["emit"],
    )
    with tempfile.TemporaryDirectory(dir=arguments.work_dir, prefix="emit-") as folder:
        tables["landed"] = [*bursts(Path(folder), max(sizes(arguments))), killed(Path(folder))]
    report("events that land", tables["landed"])
    if arguments.epochs:
        tables["training"] = measure_training(max(1, arguments.rounds // 3), arguments.epochs)
        report("the reference training", tables["training"])
    save("emit", arguments, tables)


def emit_table(folder: Path, n_events: int, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """All contenders in turn, round by round, each for its share of the events in each round."""
    children = {name: Child(name, folder / name) for name in CONTENDERS if is_here(name)}
    per_round = max(1, n_events // arguments.rounds)
    for child in children.values():
        child.log(WARM_UP)
    for _ in range(arguments.rounds):
        for child in children.values():
            child.costs.append(child.log(per_round))

    def us(name: str, whose: str) -> float:
        return statistics.median(cost[whose] for cost in children[name].costs) / per_round * 1e6

    base, floor, own = (us(name, "thread_s") for name in (BASE, FLOOR, "karn"))
    put_in = WARM_UP + arguments.rounds * per_round
    rows = []
    for name, child in children.items():
        caller = us(name, "thread_s")
        rows.append(
            {
                "way": name,
                "events": n_events,
                "caller us": caller,
                "process us": us(name, "process_s"),
                f"of {BASE}": caller / base,
                "of it write": floor / caller if name in ("karn", "json.dumps, flush") else None,
                "karn of it": own / caller,
                "buffered of it": us("karn buffered", "thread_s") / caller,
                "landed %": 100 * child.landed() / put_in,
            }
        )
    return rows


def is_here(name: str) -> bool:
    """Whether a contender can be measured; says so if not."""
    if name not in PEERS:
        return True
    asked = [PEERS_PYTHON, "-c", f"import {PEERS[name]}"]
    if PEERS_PYTHON.exists() and subprocess.run(asked, capture_output=True, check=False).returncode == 0:
        return True
    print(f"{name} is not installed in {PEERS_PYTHON.parent.parent.name}: it is left out", file=sys.stderr)
    return False


def bursts(folder: Path, n_events: int) -> list[dict[str, Any]]:
    """All events at once, in Karn's two ways."""
    rows = []
    for name in ("karn", "karn buffered"):
        child = Child(name, folder / f"burst {name}")
        child.log(n_events)
        rows.append({"what": f"burst, {name}", "emitted": n_events, "landed": child.landed()})
    return rows


def killed(folder: Path) -> dict[str, Any]:
    """Kill -9 in the midst of emitting: of the events whose ``emit`` had returned, all must be there."""
    target = folder / "killed"
    target.mkdir()
    command = [sys.executable, HERE / "emit_contender.py", "karn", target]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdout.readline()
        child.stdin.write(b"forever\n")
        child.stdin.flush()
        returned = 0
        while returned < KILL_AFTER:
            returned += len(child.stdout.read1())
        child.kill()
        returned += len(child.stdout.read())
    (path,) = target.rglob("events.jsonl")
    landed = sum(1 for line in path.read_bytes().splitlines() if _is_event(line))
    # One more may have landed, between its write and its byte of answer.
    return {"what": "kill -9, karn", "emitted": returned, "landed": min(landed, returned)}


def _is_event(line: bytes) -> bool:
    try:
        return "seq" in json.loads(line)
    except ValueError:
        return False


if __name__ == "__main__":
    main()
