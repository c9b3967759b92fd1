"""Finds the SQL files, whether installed or in a checkout, and creates the views in the right order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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


class SqlFolder(Mapping[str, SqlFile]):
    """The SQL files of a folder by name, each read when it is first asked for: an answer needs a few.

    Args:
        folder: with ``<name>.sql`` files.
    """

    def __init__(self, folder: Path) -> None:
        self._paths = {path.stem: path for path in sorted(folder.glob("*.sql"))}
        self._files: dict[str, SqlFile] = {}

    def __getitem__(self, name: str) -> SqlFile:
        if name not in self._files:
            self._files[name] = read_sql_file(self._paths[name])
        return self._files[name]

    def __contains__(self, name: object) -> bool:
        return name in self._paths

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)


@cache
def shipped_views() -> Mapping[str, SqlFile]:
    """Every shipped view by name."""
    return SqlFolder(sql_folder())


@cache
def shipped_queries() -> Mapping[str, SqlFile]:
    """Every shipped example query by name."""
    return SqlFolder(sql_folder() / "queries")


def create_views(connection: duckdb.DuckDBPyConnection, views: Mapping[str, SqlFile]) -> None:
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
