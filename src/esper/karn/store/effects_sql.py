"""The SQL behind effects. ``$1`` is always the run, ``$2`` an environment or null for all."""

from __future__ import annotations

from esper.karn.diagnosis.op_effect import DUST, FLOOR, OVERLAP, RANDOMISED, SUM_SLACK, WEIGHTED
from esper.karn.store.copies import COUNTED, COUNTED_DELTA

_ARM = """
        count(*) FILTER (known AND done = '{does}') AS n_{arm},
        coalesce(sum(w_{arm}) FILTER (known AND done = '{does}'), 0) AS w_{arm},
        coalesce(sum(w_{arm} * w_{arm}) FILTER (known AND done = '{does}'), 0) AS ww_{arm},
        coalesce(sum(w_{arm} * accuracy) FILTER (known AND done = '{does}'), 0) AS accuracy_{arm},
        coalesce(sum(w_{arm} * loss) FILTER (known AND done = '{does}'), 0) AS loss_{arm},
        coalesce(sum(p_{arm} * w_{arm}) FILTER (known), 0) AS pw_{arm},
        coalesce(sum(p_{arm} * w_{arm} * w_{arm}) FILTER (known), 0) AS pww_{arm},"""

_POSSIBLE = f"({{p}} BETWEEN -{DUST} AND 1 + {DUST})"
"""Of a probability; NaN lies above 1 here."""

EPISODE_SUMS = f"""
    WITH own AS (
        SELECT env_id, episode_idx, epoch, loss, accuracy
        FROM epochs
        WHERE run_dir = $1 AND epoch IS NOT NULL AND ($2 IS NULL OR env_id = $2)
    ),

    starts AS (SELECT env_id, episode_idx, min(epoch) AS first_epoch FROM own GROUP BY env_id, episode_idx),

    -- A run may record every fifth epoch only, and lines of it may be lost.
    strides AS (
        SELECT coalesce(mode(step), 1) AS stride
        FROM (
            SELECT epoch - lag(epoch) OVER (PARTITION BY env_id, episode_idx ORDER BY epoch) AS step
            FROM own
        )
        WHERE step > 0
    ),

    ahead AS (
        SELECT
            env_id,
            episode_idx,
            epoch,
            loss,
            accuracy,
            lead(epoch, $3::INTEGER) OVER episode AS later_epoch,
            lead(loss, $3::INTEGER) OVER episode AS later_loss,
            lead(accuracy, $3::INTEGER) OVER episode AS later_accuracy
        FROM (
            FROM own
            UNION ALL
            -- What was decided before the first epoch's end stands here: nothing was measured yet.
            SELECT env_id, episode_idx, -1 AS epoch, NULL AS loss, NULL AS accuracy FROM starts
        )
        WINDOW episode AS (PARTITION BY env_id, episode_idx ORDER BY epoch)
    ),

    decided AS (
        SELECT
            d.env_id,
            d.episode_idx,
            d.op,
            d.intended_op,
            d.intended_slot_id,
            d.holdout_probability AS h,
            d.op_probs,
            try_cast(d.op_probs ->> '$.NOOP' AS DOUBLE) AS noop,
            try_cast(d.op_probs ->> '$.GROW_INTERNAL' AS DOUBLE) AS grow,
            try_cast(d.op_probs ->> '$.SHRINK_INTERNAL' AS DOUBLE) AS shrink,
            [try_cast(p AS DOUBLE) FOR p IN json_extract_string(d.op_probs, '$.*')] AS every_p,
            -- Not so where the decision's own epoch was lost: then nobody knows.
            (ahead.epoch IS NOT NULL OR starts.first_epoch IS NULL) AND ahead.later_epoch IS NULL AS ended,
            ahead.epoch < 0 OR ahead.later_epoch - ahead.epoch = $3 * stride AS in_step,
            CASE WHEN in_step THEN ahead.later_loss - coalesce(d.loss_before, ahead.loss) END AS loss,
            CASE WHEN in_step
                THEN ahead.later_accuracy - coalesce(d.accuracy_before, ahead.accuracy)
            END AS accuracy
        FROM decisions AS d
        CROSS JOIN strides
        LEFT JOIN starts ON starts.env_id = d.env_id AND starts.episode_idx = d.episode_idx
        LEFT JOIN ahead
            ON ahead.env_id = d.env_id
            AND ahead.episode_idx = d.episode_idx
            AND ahead.epoch = CASE WHEN d.epoch < starts.first_epoch THEN -1 ELSE d.epoch END
        WHERE d.run_dir = $1 AND ($2 IS NULL OR d.env_id = $2) AND ($5 IS NULL OR d.rank = $5)
    ),

    judged AS (
        SELECT
            *,
            len([p FOR p IN every_p IF p IS NULL OR NOT {_POSSIBLE.format(p="p")}]) > 0
            OR abs(list_sum(every_p) - 1) > {SUM_SLACK} AS no_probs
        FROM decided
    ),

    ways (method, op_name, floor) AS (
        VALUES
            ('{RANDOMISED}', 'GROW_INTERNAL', 0.0::DOUBLE),
            ('{RANDOMISED}', 'SHRINK_INTERNAL', 0.0),
            ('{WEIGHTED}', 'GROW_INTERNAL', {FLOOR}),
            ('{WEIGHTED}', 'SHRINK_INTERNAL', {FLOOR})
    ),

    states AS (
        SELECT
            ways.*,
            judged.*,
            -- What says that it is a state, and whether what it says of chance can't be.
            CASE method
                WHEN '{WEIGHTED}'
                    THEN json_exists(op_probs, '$.NOOP') AND json_exists(op_probs, '$.' || op_name)
                ELSE
                    intended_op = op_name AND h IS NOT NULL AND h != 0 AND h != 1
                    AND ($4 IS NULL OR intended_slot_id = $4)
            END AS is_state,
            CASE method WHEN '{WEIGHTED}' THEN no_probs ELSE NOT {_POSSIBLE.format(p="h")} END AS impossible,
            CASE
                WHEN method = '{RANDOMISED}' THEN 1 - h
                WHEN op_name = 'GROW_INTERNAL' THEN grow
                ELSE shrink
            END AS p_op,
            CASE method WHEN '{WEIGHTED}' THEN noop ELSE h END AS p_noop
        FROM judged, ways
    ),

    weighted AS (
        SELECT
            method,
            op_name,
            env_id,
            episode_idx,
            h,
            CASE op WHEN op_name THEN 'op' WHEN 'NOOP' THEN 'noop' END AS done,
            impossible,
            ended,
            p_op,
            p_noop,
            p_op < floor OR p_noop < floor AS under,
            1 / greatest(p_op, floor) AS w_op,
            1 / greatest(p_noop, floor) AS w_noop,
            loss,
            accuracy,
            NOT impossible AND loss IS NOT NULL AND accuracy IS NOT NULL AS known
        FROM states
        WHERE is_state
    )

    SELECT
        method,
        op_name,
        (SELECT stride FROM strides) AS stride,
        min(h) FILTER (NOT impossible) AS holdout,
        count(*) FILTER (known) AS states,
        {_ARM.format(arm="op", does="op")}
        {_ARM.format(arm="noop", does="noop")}
        count(*) FILTER (known AND p_op BETWEEN {OVERLAP[0]} AND {OVERLAP[1]}) AS in_overlap,
        count(*) FILTER (known AND under) AS under_floor,
        coalesce(min(p_op) FILTER (known), 1.0) AS min_op,
        coalesce(min(p_noop) FILTER (known), 1.0) AS min_noop,
        count(*) FILTER (NOT known AND NOT ended AND NOT impossible) AS left_out,
        count(*) FILTER (impossible) AS impossible,
        count(*) FILTER (ended AND NOT impossible) AS ended
    FROM weighted
    GROUP BY method, op_name, env_id, episode_idx
    ORDER BY method, op_name, env_id, episode_idx"""
"""What EpisodeSums holds, for each method, op and episode; ``$3`` is the horizon, ``$4`` a slot or null, and
``$5`` a rank or null.

The slot restricts what a holdout's coin was thrown for; of the policy's own probabilities only the op's are
known where another op was chosen. An outcome is the change from the decision to the recorded epoch that many
later; ``stride`` is how many epochs lie between two that are recorded.
"""

_PLACE = "CASE WHEN $2 IS NULL THEN {counted} ELSE env_id = $2 END"
"""An environment's number names one rank's already."""

FACTS = f"""
    SELECT
        count(*) AS decisions,
        count(*) FILTER (op_probs IS NOT NULL) AS with_op_probs,
        count(*) FILTER (holdout_probability > 0) AS with_holdout,
        count(*) FILTER (op = $3) AS n_op,
        count(*) FILTER (op = $3 AND slot_id IS DISTINCT FROM $4) AS n_op_elsewhere
    FROM decisions
    WHERE run_dir = $1 AND {_PLACE.format(counted=COUNTED)}"""
"""Why there may be no state at all; ``$3`` is the op, ``$4`` a slot."""

PLACES = "SELECT DISTINCT env_id, slot_id FROM seed_internal_levels WHERE run_dir = $1"
"""Where there was an internal op."""

NAIVE = f"""
    SELECT
        count(loss_advantage) FILTER (baseline_sample_count >= $5) AS n,
        avg(loss_advantage) FILTER (baseline_sample_count >= $5) AS loss,
        avg(accuracy_advantage) FILTER (baseline_sample_count >= $5) AS accuracy,
        count(loss_advantage) FILTER (baseline_sample_count >= $6) AS n_early,
        avg(loss_advantage) FILTER (baseline_sample_count >= $6) AS loss_early,
        avg(accuracy_advantage) FILTER (baseline_sample_count >= $6) AS accuracy_early
    FROM counterfactual_deltas
    WHERE
        run_dir = $1 AND {_PLACE.format(counted=COUNTED_DELTA)}
        AND op_name = $3 AND ($4 IS NULL OR slot_id = $4)"""
"""The seed's own number: ``$3`` the op, ``$4`` a slot or null, ``$5`` and ``$6`` NOOPs of the baseline."""
