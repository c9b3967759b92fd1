"""Where resumed trainings took up again, so that replayed epochs do not count twice."""

from __future__ import annotations

import duckdb

from esper.karn.store.tables import TABLES

_PLACED = [table for table in TABLES if {"env_id", "episode_idx"} <= {name for name, _ in table.columns}]

_SAID = """
    INSERT INTO tail.resume_points
    SELECT filename, attempt, NULL, coalesce(resumed_from_episode, 0), resumed_from_epoch, NULL
    FROM ev.training_started
    WHERE filename = $1 AND attempt > 1 AND resumed_from_epoch IS NOT NULL"""

# An epoch that the attempt completed was trained anew, so that its checkpoint held the one before; an episode
# that it only had to end was trained whole before.
_SHOWN = """
    INSERT INTO tail.resume_points
    SELECT $1, attempt, env_id, place.episode_idx, place.epoch, NULL
    FROM (
        SELECT attempt, env_id, min({'episode_idx': episode_idx, 'epoch': epoch}) AS place
        FROM (
            SELECT filename, attempt, env_id, episode_idx, epoch - 1 AS epoch FROM ev.epoch_completed
            UNION ALL
            SELECT filename, attempt, env_id, episode_idx, epoch FROM ev.episode_outcome
        )
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

# And those of which an earlier attempt did what the policy, asked again, did not decide. A checkpoint made
# after the decision brings the same one again: then what was done stands.
_DECIDED_OTHERWISE = """
    INSERT INTO tail.resume_points
    WITH decisions AS (
        SELECT attempt, env_id, episode_idx, epoch, data_slot_id AS slot_id, action_name
        FROM ev.analytics_snapshot
        WHERE filename = $1 AND kind = 'last_action'
    ),

    done AS (
        SELECT
            attempt,
            env_id,
            episode_idx,
            epoch,
            coalesce(slot_id, data_slot_id) AS slot_id,
            CASE WHEN to_level > from_level THEN 'GROW_INTERNAL' ELSE 'SHRINK_INTERNAL' END AS action_name,
            ['SEED_INTERNAL_LEVEL_CHANGED', 'INTERNAL_OP_METRICS', 'COUNTERFACTUAL_DELTA'] AS event_types
        FROM ev.seed_internal_level_changed
        WHERE filename = $1
        UNION ALL
        SELECT attempt, env_id, episode_idx, epoch, coalesce(slot_id, data_slot_id), 'GERMINATE', [event_type]
        FROM ev.seed_germinated
        WHERE filename = $1
        UNION ALL
        SELECT attempt, env_id, episode_idx, epoch, coalesce(slot_id, data_slot_id), 'PRUNE', [event_type]
        FROM ev.seed_pruned
        WHERE filename = $1
        UNION ALL
        SELECT attempt, env_id, episode_idx, epoch, coalesce(slot_id, data_slot_id), 'FOSSILIZE', [event_type]
        FROM ev.seed_fossilized
        WHERE filename = $1
    ),

    done_at_points AS (
        SELECT done.*, point.attempt AS later
        FROM done
        JOIN tail.resume_points AS point
            ON point.filename = $1
            AND point.attempt > done.attempt
            AND point.event_type IS NULL
            AND coalesce(point.env_id = done.env_id, true)
            AND point.episode_idx = done.episode_idx
            AND point.epoch = done.epoch
        WHERE NOT EXISTS (  -- an attempt between the two has replayed it already
            SELECT 1
            FROM tail.resume_points AS middle
            WHERE middle.filename = $1
                AND middle.event_type IS NULL
                AND coalesce(middle.env_id = done.env_id, true)
                AND middle.attempt > done.attempt
                AND middle.attempt < point.attempt
                AND (
                    middle.episode_idx < done.episode_idx
                    OR (middle.episode_idx = done.episode_idx AND middle.epoch < done.epoch)
                )
        )
    ),

    matched AS (
        SELECT
            op.*,
            d.attempt AS decided_by,
            coalesce(d.slot_id = op.slot_id AND d.action_name = op.action_name, false) AS the_same
        FROM done_at_points AS op
        LEFT JOIN decisions AS d
            ON d.env_id IS NOT DISTINCT FROM op.env_id
            AND d.episode_idx = op.episode_idx
            AND d.epoch = op.epoch
    ),

    judged AS (
        SELECT
            later,
            env_id,
            episode_idx,
            epoch,
            any_value(event_types) AS event_types,
            count(*) FILTER (decided_by = later) > 0 AS asked_again,
            count(*) FILTER (decided_by = later AND the_same) > 0 AS decided_again,
            count(*) FILTER (decided_by = attempt) > 0 AS asked,
            count(*) FILTER (decided_by = attempt AND the_same) > 0 AS decided
        FROM matched
        GROUP BY attempt, slot_id, action_name, later, env_id, episode_idx, epoch
    )

    SELECT DISTINCT $1, later, env_id, episode_idx, epoch, unnest(event_types)
    FROM judged
    WHERE asked_again AND NOT decided_again AND (decided OR NOT asked)"""


RESUME_SQL = " ".join([_SAID, _SHOWN, _DECIDED_OTHERWISE, *(_REPEATED.format(table=t.name) for t in _PLACED)])
"""Everything that ``note_resume_points`` reads."""


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
    connection.execute(_DECIDED_OTHERWISE, [filename])
