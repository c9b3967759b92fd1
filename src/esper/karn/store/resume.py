"""Where resumed trainings took up again, so that replayed epochs do not count twice."""

from __future__ import annotations

import duckdb

from esper.karn.store.tables import TABLES

_PLACED = [table for table in TABLES if {"env_id", "episode_idx"} <= {name for name, _ in table.columns}]

# Of each attempt but the first, per environment: the first place it wrote about. An epoch that it completed
# was trained anew, so that its checkpoint held the one before; any other event tells the epoch it went on from.
_POINTS = """
    INSERT INTO tail.resume_points
    WITH shown AS (
        SELECT
            attempt,
            env_id,
            min({
                'episode_idx': episode_idx,
                'epoch': CASE event_type WHEN 'EPOCH_COMPLETED' THEN epoch - 1 ELSE epoch END
            }) AS place
        FROM events
        WHERE filename = $1
            AND attempt > 1
            AND episode_idx IS NOT NULL
            AND epoch IS NOT NULL
            AND event_type != 'COUNTERFACTUAL_DELTA'  -- an outcome may be of an op long ago
        GROUP BY attempt, env_id
    ),

    said AS (
        SELECT attempt, min({'episode_idx': coalesce(resumed_from_episode, 0), 'epoch': resumed_from_epoch}) AS place
        FROM ev.training_started
        WHERE filename = $1 AND attempt > 1 AND resumed_from_epoch IS NOT NULL
        GROUP BY attempt
    ),

    environments AS (SELECT DISTINCT env_id FROM events WHERE filename = $1 AND episode_idx IS NOT NULL),

    said_of_each AS (SELECT said.attempt, environments.env_id, said.place FROM said, environments),

    points AS (
        SELECT
            attempt,
            env_id,
            CASE
                WHEN shown.place IS NULL THEN said.place
                WHEN said.place.episode_idx = shown.place.episode_idx THEN least(said.place, shown.place)
                ELSE shown.place
            END AS place
        FROM shown
        FULL JOIN said_of_each AS said USING (attempt, env_id)
    )

    SELECT $1, attempt, env_id, place.episode_idx, place.epoch, NULL FROM points"""

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
        AND point.env_id IS NOT DISTINCT FROM event.env_id
        AND point.episode_idx = event.episode_idx
        AND point.epoch = event.epoch
    WHERE event.filename = $1"""

# And those of which an earlier attempt wrote what the policy, asked again, did not decide. Where it was not
# asked again, the checkpoint was made after its decision.
_DECIDED_OTHERWISE = """
    INSERT INTO tail.resume_points
    WITH decided AS (
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

    at_points AS (
        SELECT done.*, point.attempt AS later
        FROM done
        JOIN tail.resume_points AS point
            ON point.filename = $1
            AND point.attempt > done.attempt
            AND point.event_type IS NULL
            AND point.env_id IS NOT DISTINCT FROM done.env_id
            AND point.episode_idx = done.episode_idx
            AND point.epoch = done.epoch
        WHERE NOT EXISTS (  -- an attempt between the two has replayed it already
            SELECT 1
            FROM tail.resume_points AS middle
            WHERE middle.filename = $1
                AND middle.event_type IS NULL
                AND middle.env_id IS NOT DISTINCT FROM done.env_id
                AND middle.attempt > done.attempt
                AND middle.attempt < point.attempt
                AND (
                    middle.episode_idx < done.episode_idx
                    OR (middle.episode_idx = done.episode_idx AND middle.epoch < done.epoch)
                )
        )
    ),

    judged AS (
        SELECT
            any_value(op.event_types) AS event_types,
            op.later,
            op.env_id,
            op.episode_idx,
            op.epoch,
            coalesce(bool_or(d.attempt = op.later), false) AS asked_again,
            coalesce(bool_or(
                d.attempt = op.later AND d.slot_id = op.slot_id AND d.action_name = op.action_name
            ), false) AS decided_again,
            coalesce(bool_or(d.attempt = op.attempt), false) AS asked,
            coalesce(bool_or(
                d.attempt = op.attempt AND d.slot_id = op.slot_id AND d.action_name = op.action_name
            ), false) AS decided
        FROM at_points AS op
        LEFT JOIN decided AS d
            ON d.env_id IS NOT DISTINCT FROM op.env_id
            AND d.episode_idx = op.episode_idx
            AND d.epoch = op.epoch
        GROUP BY op.attempt, op.slot_id, op.action_name, op.later, op.env_id, op.episode_idx, op.epoch
    )

    SELECT DISTINCT $1, later, env_id, episode_idx, epoch, unnest(event_types)
    FROM judged
    WHERE asked_again AND NOT decided_again AND (decided OR NOT asked)"""


def note_resume_points(connection: duckdb.DuckDBPyConnection, filename: str) -> None:
    """Work out a resumed file's resume points anew.

    A point is the last epoch that a checkpoint held, for each environment: the first place that the
    attempt wrote about, or the one that TRAINING_STARTED names if that is earlier in the same episode.
    """
    connection.execute("DELETE FROM tail.resume_points WHERE filename = ?", [filename])
    connection.execute(_POINTS, [filename])
    for table in _PLACED:
        connection.execute(_REPEATED.format(table=table.name), [filename])
    connection.execute(_DECIDED_OTHERWISE, [filename])
