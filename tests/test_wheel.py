"""What is installed is whole: the SQL ships in the wheel, and is found without the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from support import ROOT


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A folder that holds the unpacked wheel and nothing of the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, ROOT],
        check=True,
        capture_output=True,
        timeout=120,
    )
    (wheel,) = folder.glob("karn_telemetry-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def run(installed: Path, cwd: Path, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_holds_every_sql_file_and_says_it_is_typed(installed):
    views = {path.relative_to(ROOT / "views") for path in (ROOT / "views").rglob("*.sql")}
    sql = installed / "esper/karn/store/sql"
    assert {path.relative_to(sql) for path in sql.rglob("*.sql")} == views
    assert (installed / "esper/py.typed").exists()
    assert not (installed / "tests").exists()


def test_an_installed_package_answers_from_its_own_sql(installed, tmp_path):
    where = run(
        installed, tmp_path, "-c", "from esper.karn.store.views import sql_folder; print(sql_folder())"
    )
    assert Path(where.strip()) == installed / "esper/karn/store/sql"
    answer = run(
        installed, tmp_path, "-m", "esper", "report", "oscillate", "-d", str(ROOT / "examples/telemetry")
    )
    assert answer.startswith("run oscillate (finished): THRASHING")


def test_a_checkout_answers_from_its_views_folder():
    from esper.karn.store.views import sql_folder

    assert sql_folder() == ROOT / "views"
