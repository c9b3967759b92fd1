"""Finds the SQL files, whether installed or in a checkout, and creates the views in the right order."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from esper.karn.store.sqlfile import SqlFile, SqlFileError, read_sql_file
from esper.leyline.errors import KarnError

if TYPE_CHECKING:
    import duckdb


@cache
def sql_folder() -> Path:
    """The folder of SQL files: inside the installed package, else the checkout's ``views/``.

    Raises:
        KarnError: if neither is there; the installation is broken.
    """
    here = Path(__file__).resolve()
    for folder in (here.parent / "sql", here.parents[4] / "views"):
        if (folder / "queries").is_dir():
            return folder
    raise KarnError("Karn's SQL files are missing; install karn-telemetry again")


@cache
def shipped_views() -> dict[str, SqlFile]:
    """Every shipped view by name."""
    return {path.stem: read_sql_file(path) for path in sorted(sql_folder().glob("*.sql"))}


@cache
def shipped_queries() -> dict[str, SqlFile]:
    """Every shipped example query by name."""
    return {path.stem: read_sql_file(path) for path in sorted((sql_folder() / "queries").glob("*.sql"))}


def create_views(connection: duckdb.DuckDBPyConnection, views: dict[str, SqlFile]) -> None:
    """Create views, each after those it reads.

    Raises:
        SqlFileError: if views read each other in a circle, or DuckDB refuses one; names the files.
    """
    # Not at the top: the MCP server reads headers before its first query, and must start without DuckDB.
    import duckdb

    waiting = dict(views)
    while waiting:
        refused: dict[str, duckdb.Error] = {}
        for name, view in waiting.items():
            try:
                connection.execute(f'CREATE VIEW "{name}" AS {view.body}')
            except duckdb.CatalogException as error:  # it may read a view that is still to come
                refused[name] = error
            except duckdb.Error as error:
                raise SqlFileError(f"{name}.sql: {error}") from None
        if len(refused) == len(waiting):
            reasons = "; ".join(
                f"{name}.sql: {str(error).splitlines()[0]}" for name, error in refused.items()
            )
            raise SqlFileError(f"views that read something unknown, or each other in a circle: {reasons}")
        waiting = {name: waiting[name] for name in refused}
