"""The protocol's own conformance suite, on the server and on the server with the suite's fixtures."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from servers import FIXTURE, HERE, NODE, ROOT, http_command, served

REVISIONS = ["2025-11-25", "2026-07-28"]
SUITE = [str(NODE), str(HERE / "node_modules/.bin/conformance")]
RUNS = ROOT / "examples/telemetry"
SERVERS = {"real": http_command(RUNS), "fixture": [*FIXTURE, str(RUNS)]}
FAILURES = tomllib.loads((HERE / "expected_failures.toml").read_text())["failures"]


@pytest.fixture(scope="module", params=SERVERS)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str]]:
    """Name and address of a server."""
    with served(SERVERS[request.param], tmp_path_factory.mktemp("server") / "log") as url:
        yield request.param, url


@pytest.mark.parametrize("revision", REVISIONS)
def test_only_the_listed_scenarios_fail(
    server: tuple[str, str], revision: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, url = server
    required, others = scenarios_of(revision)
    results = run_suite(url, revision, tmp_path)
    assert results.keys() == required | others, "the suite ran them all"
    failing = {scenario: problems for scenario, problems in results.items() if problems}
    with capsys.disabled():
        counts = [f"{len(of - failing.keys())} of {len(of)}" for of in (required, others)]
        print(
            f"\n{revision}, {name} server: {counts[0]} required scenarios pass, {counts[1]} others", end=" "
        )
    expected = expected_failures(name) & results.keys()
    assert {scenario: failing[scenario] for scenario in failing.keys() - expected} == {}
    assert expected - failing.keys() == set(), "these pass: take them off expected_failures.toml"


def test_every_listed_scenario_is_one_of_the_suite() -> None:
    known = {each for revision in REVISIONS for scenarios in scenarios_of(revision) for each in scenarios}
    assert {each for entry in FAILURES for each in entry["scenarios"]} <= known


def test_each_listed_scenario_has_one_reason() -> None:
    for name in SERVERS:
        listed = [each for entry in FAILURES if name in entry["servers"] for each in entry["scenarios"]]
        assert sorted(set(listed)) == sorted(listed)


def expected_failures(server: str) -> set[str]:
    return {scenario for entry in FAILURES if server in entry["servers"] for scenario in entry["scenarios"]}


def run_suite(url: str, revision: str, folder: Path) -> dict[str, list[str]]:
    """What failed in each scenario that the revision requires or the suite runs beside them."""
    subprocess.run(
        [*SUITE, "server", "--url", url, "--requirements", revision, "--output-dir", str(folder)],
        stdout=subprocess.DEVNULL,
        timeout=300,
    )
    results = {}
    for path in folder.glob("server-*/checks.json"):
        # The folder is named for the scenario and the time.
        scenario = re.sub(r"^server-(.*)-\d{4}-\d\d-\d\dT.*$", r"\1", path.parent.name)
        checks = json.loads(path.read_text())
        results[scenario] = [
            f"{check['id']}: {check.get('errorMessage')}" for check in checks if check["status"] == "FAILURE"
        ]
    return results


def scenarios_of(revision: str) -> tuple[set[str], set[str]]:
    """Scenarios for servers: those that a revision requires, and those that the suite runs beside them."""
    command = [*SUITE, "list", "--requirements", revision]
    listing = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    required, _, rest = listing.partition("Client scenarios")
    return (
        {*re.findall(r"^  - (\S+)$", required, re.M)},
        {*re.findall(r"^    - (\S+) \[server\]$", rest, re.M)},
    )
