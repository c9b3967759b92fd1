"""Creates tables, relations, macros and views in the database, each when it is first needed.

Creating all of them takes longer than most answers; a fresh process needs a few.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial

import duckdb

from esper.karn.store import relations
from esper.karn.store.sqlfile import SqlFile
from esper.karn.store.tables import TABLES, EventTable
from esper.karn.store.views import create_views

_WORD = re.compile(r"(?:\b(tail|ev|live)\s*\.\s*)?\b(\w+)\b")
_TABLE = re.compile(r" FROM (tail|ev)\.(\w+)")
_LISTS_ALL = re.compile(r"\bshow\b|\binformation_schema\b|\b(?:duckdb|pragma|sqlite|pg)_", re.IGNORECASE)
"""What asks for the names of everything there is."""


class Catalog:
    """What exists in one database, and what its relations are made of now. One thread at a time.

    Args:
        connection: to the database, empty.
        views: the views, by name.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, views: Mapping[str, SqlFile]) -> None:
        self._connection = connection
        self._views = views
        self._sealed: dict[str, list[relations.SealedFiles]] = {}
        self._in_memory: frozenset[str] = frozenset()
        self._has_points = False
        self._created: dict[str, str] = {}
        """The statement that made each thing that exists."""
        self._stale: set[str] = set()
        """Relations that existed and are to be created again."""
        self._macros = relations.macros()
        self._relations: dict[str, Callable[[], str]] = {
            "events": self._events,
            "live.seed_lifecycle": relations.lifecycle_sql,
        }
        for name in relations.COLUMNS:
            self._relations[f"ev.{name}"] = partial(self._ev, name)
        for table in TABLES:
            self._relations[f"live.{table.name}"] = partial(self._live, table)
        for schema in ("tail", "ev", "live"):
            connection.execute(f"CREATE SCHEMA {schema}")
        connection.execute(relations.RESUME_POINTS)

    def is_ready(self, sql: str) -> bool:
        """Whether everything that a text may need exists."""
        if self._stale:
            return False
        if _LISTS_ALL.search(sql):
            return self._created.keys() >= self._views.keys() | self._relations.keys() | self._macros.keys()
        return all(name in self._created for name in self._named_in(sql))

    def require(self, sql: str) -> None:
        """Create what a text may need: whatever it names, in any meaning.

        Raises:
            SqlFileError: if a view can't be created.
        """
        self._renew()
        if _LISTS_ALL.search(sql):
            self.require_all()
            return
        for name in self._named_in(sql):
            self._create(name)

    def require_all(self) -> None:
        """Create everything.

        Raises:
            SqlFileError: if views read something unknown or each other in a circle.
        """
        for name in (*self._macros, *self._relations):
            self._create(name)
        missing = {name: view for name, view in self._views.items() if name not in self._created}
        create_views(self._connection, missing)
        self._created |= {name: view.body for name, view in missing.items()}

    def require_table(self, name: str) -> None:
        """Create the table for a type's rows in memory."""
        self._create(f"tail.{name}")

    def update(
        self,
        *,
        sealed: Mapping[str, list[relations.SealedFiles]] | None = None,
        in_memory: Iterable[str] | None = None,
        has_points: bool | None = None,
        later: bool = False,
    ) -> None:
        """Say what the tables consist of now; relations that exist follow.

        Args:
            sealed: files of segments, by table; as before if None.
            in_memory: tables that have rows in memory; as before if None.
            has_points: whether some training was resumed; as before if None.
            later: relations follow at the next call, since more is about to change.
        """
        before = (self._sealed, self._in_memory, self._has_points)
        self._sealed = dict(sealed) if sealed is not None else self._sealed
        self._in_memory = frozenset(in_memory) if in_memory is not None else self._in_memory
        self._has_points = has_points if has_points is not None else self._has_points
        if before != (self._sealed, self._in_memory, self._has_points):
            self._note_stale()
        if not later:
            self._renew()

    def _note_stale(self) -> None:
        for name, statement in list(self._created.items()):
            if name in self._relations and self._relations[name]() != statement:
                del self._created[name]
                self._stale.add(name)

    def _renew(self) -> None:
        for name in sorted(self._stale):  # views over them stay as they are, and find them by name
            self._create(name)
        self._stale.clear()

    def checkpoint(self) -> dict[str, str]:
        """What exists, for ``restore`` if the transaction that is about to begin is rolled back."""
        return dict(self._created)

    def restore(self, created: dict[str, str]) -> None:
        """Take back what a rolled back transaction created; relations follow at the next call."""
        self._created = created
        self._note_stale()

    def _named_in(self, sql: str) -> list[str]:
        found = (f"{schema}.{word}" if schema else word for schema, word in _WORD.findall(sql.lower()))
        return [name for name in dict.fromkeys(found) if self._knows(name)]

    def _knows(self, name: str) -> bool:
        known = name in self._relations or name in self._views or name in self._macros
        return known or (name.startswith("tail.") and name[5:] in relations.COLUMNS)

    def _create(self, name: str, within: tuple[str, ...] = ()) -> None:
        """Create one thing and what it reads.

        A word may be a column that is called like a view. What can't be created for the sake of such a word
        is left out: if it is needed after all, the statement that needs it says so.
        """
        if name in self._created or name in within:
            return
        if name in self._macros:
            statement = self._macros[name]
            self._connection.execute(statement)
        elif name.startswith("tail."):
            statement = relations.tail_sql(name[5:])
            self._connection.execute(statement)
        elif name == "events" or name.partition(".")[2] in relations.COLUMNS:
            statement = self._relations[name]()
            # Not by its words: the paths in it may hold any.
            for schema, table in _TABLE.findall(statement):
                if table in relations.COLUMNS:
                    self._create(f"{schema}.{table}", (*within, name))
            self._connection.execute(f"CREATE OR REPLACE VIEW {name} AS {statement}")
        else:
            statement = self._views[name].body if name in self._views else self._relations[name]()
            for needed in self._named_in(statement):
                self._create(needed, (*within, name))
            try:
                self._connection.execute(f"CREATE OR REPLACE VIEW {name} AS {statement}")
            except duckdb.Error:
                if name in self._relations:
                    raise
                return
        self._created[name] = statement

    def _ev(self, name: str) -> str:
        return relations.ev_sql(name, self._sealed.get(name, ()), has_tail=name in self._in_memory)

    def _live(self, table: EventTable) -> str:
        if not self._has_points or not relations.has_place(table):
            return self._ev(table.name)  # each view within a view costs planning time for every column
        return relations.live_sql(table)

    def _events(self) -> str:
        used = [t for t in TABLES if t.name in self._in_memory or self._sealed.get(t.name)]
        return relations.events_sql(used or TABLES[-1:], self._sealed, self._in_memory)
