"""Opens the database of a store: sealed from the host but for the folders of segments."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import duckdb

from esper.karn.store.relations import literal


def connect(roots: Sequence[Path], memory_limit: str, threads: int) -> duckdb.DuckDBPyConnection:
    """A database that can read and write segments below the roots, and no other file."""
    connection = duckdb.connect(
        ":memory:",
        config={
            "python_enable_replacements": False,
            "autoload_known_extensions": False,
            "autoinstall_known_extensions": False,
            "allow_community_extensions": False,
            "allow_persistent_secrets": False,
            "temp_directory": "",
            "memory_limit": memory_limit,
            "threads": threads,
        },
    )
    listed = ", ".join(literal(as_text(str(root))) for root in roots)
    for setting in (
        "GLOBAL TimeZone = 'UTC'",
        # DuckDB 2.0.0 ends with an internal error where it puts off reading columns of Parquet files whose
        # names a query filters by, as in ORDER BY ... LIMIT over one run.
        "disabled_optimizers = 'late_materialization'",
        # A checkpoint after each 16 MiB of rows in memory makes taking them in twice as slow.
        "checkpoint_threshold = '1TB'",
        # The system's own cache of files serves as well, and is not this process's memory.
        "enable_external_file_cache = false",
        f"allowed_directories = [{listed}]",
        "enable_external_access = false",
        "lock_configuration = true",
    ):
        connection.execute(f"SET {setting}")
    return connection


def as_text(name: str) -> str:
    """A path or a folder's name as the database can hold it; file systems allow bytes that are no UTF-8."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
