"""Where resumed trainings took up again, so that replayed epochs do not count twice."""

from __future__ import annotations

import duckdb

from esper.karn.store.tables import TABLES
from esper.leyline.events import REPLAYED_WITH_DECISION

_PLACED = [table for table in TABLES if {"env_id", "episode_idx"} <= {name for name, _ in table.columns}]

_SAID = """
    INSERT INTO tail.resume_points
    SELECT filename, attempt, NULL, coalesce(resumed_from_episode, 0), resumed_from_epoch, NULL
    FROM ev.training_started
    WHERE filename = $1 AND attempt > 1 AND resumed_from_epoch IS NOT NULL"""

_SHOWN = """
    INSERT INTO tail.resume_points
    SELECT $1, attempt, env_id, place.episode_idx, place.epoch - 1, NULL
    FROM (
        SELECT attempt, env_id, min({'episode_idx': episode_idx, 'epoch': epoch}) AS place
        FROM ev.epoch_completed
        WHERE filename = $1 AND attempt > 1 AND episode_idx IS NOT NULL AND epoch IS NOT NULL
        GROUP BY attempt, env_id
    ) AS started
    WHERE NOT EXISTS (
        SELECT 1 FROM tail.resume_points AS said
        WHERE said.filename = $1 AND said.attempt = started.attempt
    )"""

# Of the point's own epoch: the types that the attempt wrote again.
_REPEATED = """
    INSERT INTO tail.resume_points
    SELECT DISTINCT
        event.filename, event.attempt, event.env_id, event.episode_idx, event.epoch, event.event_type
    FROM ev.{table} AS event
    JOIN tail.resume_points AS point
        ON point.filename = event.filename
        AND point.attempt = event.attempt
        AND point.event_type IS NULL
        AND coalesce(point.env_id = event.env_id, true)
        AND point.episode_idx = event.episode_idx
        AND point.epoch = event.epoch
    WHERE event.filename = $1"""

# Where the policy was asked again it may have decided otherwise: what came of its first decision is undone.
_DECIDED_AGAIN = """
    INSERT INTO tail.resume_points
    SELECT DISTINCT filename, attempt, env_id, episode_idx, epoch, unnest($2::VARCHAR[])
    FROM tail.resume_points
    WHERE filename = $1 AND event_type = 'ANALYTICS_SNAPSHOT'"""


def note_resume_points(connection: duckdb.DuckDBPyConnection, filename: str) -> None:
    """Work out a resumed file's resume points anew.

    A point is the last epoch that a checkpoint held: the one that TRAINING_STARTED names, else, for each
    environment, the epoch before the first that the attempt completed.
    """
    connection.execute("DELETE FROM tail.resume_points WHERE filename = ?", [filename])
    connection.execute(_SAID, [filename])
    connection.execute(_SHOWN, [filename])
    for table in _PLACED:
        connection.execute(_REPEATED.format(table=table.name), [filename])
    connection.execute(_DECIDED_AGAIN, [filename, list(REPLAYED_WITH_DECISION)])
