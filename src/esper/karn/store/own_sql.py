"""The user's own SQL files: views, and queries that become tools. A broken file is named and left out."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from esper.karn.store.processes import module_command, module_environment
from esper.karn.store.sqlfile import SqlFile, SqlFileError, read_sql_file
from esper.karn.store.views import shipped_queries, shipped_views
from esper.leyline.errors import TelemetryUsageError

_CHECK_S = 60.0
"""Within which the database must have looked at all files."""


class OwnSql(msgspec.Struct, frozen=True):
    """What two folders of SQL files hold."""

    views: dict[str, SqlFile] = {}
    queries: dict[str, SqlFile] = {}
    problems: list[str] = []
    """``FILE:LINE: what is wrong`` for each file that is left out."""

    def without(self, broken: Mapping[str, str]) -> OwnSql:
        """The rest, once some files were found to be broken.

        Args:
            broken: what is wrong, by the file's name without ``.sql``.
        """
        return OwnSql(
            views={name: file for name, file in self.views.items() if name not in broken},
            queries={name: file for name, file in self.queries.items() if name not in broken},
            problems=[*self.problems, *broken.values()],
        )


NO_OWN_SQL = OwnSql()


def read_own_sql(
    views: Path | None = None, queries: Path | None = None, *, taken: Iterable[str] = ()
) -> OwnSql:
    """Read the files of two folders, and have the database look at each of them.

    Args:
        views: folder of views, each ``<name>.sql``.
        queries: folder of queries.
        taken: names of tools that queries can't have, besides the shipped ones.

    Raises:
        TelemetryUsageError: if a folder is not there.
    """
    shipped = shipped_views().keys() | shipped_queries().keys()
    found = OwnSql()
    for folder, into in ((views, found.views), (queries, found.queries)):
        if folder is None:
            continue
        if not folder.is_dir():
            raise TelemetryUsageError(f"there is no folder {folder} with SQL files")
        for path in sorted(folder.glob("*.sql")):
            try:
                file = read_sql_file(path)
                if clash := {"limit", "cursor"} & {param.name for param in file.params}:
                    raise SqlFileError(
                        f"{path.name}:1: every tool has its own {min(clash)}: rename the parameter"
                    )
                if file.params and into is found.views:
                    raise SqlFileError(f"{path.name}:1: a view takes no parameters; make it a query")
                others = {*shipped, *found.views, *found.queries}
                if file.name in others or (into is found.queries and file.name in taken):
                    raise SqlFileError(f"{path.name}:1: {file.name} is there already: give it another name")
            except SqlFileError as error:
                found.problems.append(str(error))
                continue
            into[file.name] = file
    return found.without(_refused(found)) if found.views or found.queries else found


def _refused(own: OwnSql) -> dict[str, str]:
    """What the database says against files, by their names.

    In a process of its own: whoever serves must not load the database, and a user's query may crash it.
    """
    try:
        done = subprocess.run(
            module_command("esper.karn.store.own_sql_check"),
            input=msgspec.json.encode(own),
            capture_output=True,
            timeout=_CHECK_S,
            env=module_environment(),
            check=True,
        )
        return msgspec.json.decode(done.stdout, type=dict[str, str])
    except (subprocess.SubprocessError, msgspec.DecodeError) as error:
        why = f"the database could not look at it ({type(error).__name__})"
        return {name: f"{name}.sql:1: {why}" for name in (*own.views, *own.queries)}
