"""The SQL behind effects. ``$1`` is always the run, ``$2`` an environment or null for all."""

from __future__ import annotations

from esper.karn.diagnosis.op_effect import FLOOR, OVERLAP, RANDOMISED, WEIGHTED

_ARM = """
        count(*) FILTER (known AND done = '{does}') AS n_{arm},
        coalesce(sum(w_{arm}) FILTER (known AND done = '{does}'), 0) AS w_{arm},
        coalesce(sum(w_{arm} * w_{arm}) FILTER (known AND done = '{does}'), 0) AS ww_{arm},
        coalesce(sum(w_{arm} * accuracy) FILTER (known AND done = '{does}'), 0) AS accuracy_{arm},
        coalesce(sum(w_{arm} * loss) FILTER (known AND done = '{does}'), 0) AS loss_{arm},
        coalesce(sum(p_{arm} * w_{arm}) FILTER (known), 0) AS pw_{arm},
        coalesce(sum(p_{arm} * w_{arm} * w_{arm}) FILTER (known), 0) AS pww_{arm},"""

EPISODE_SUMS = f"""
    WITH ahead AS (
        SELECT
            env_id,
            episode_idx,
            epoch,
            loss,
            accuracy,
            lead(epoch, $3::INTEGER) OVER episode AS later_epoch,
            lead(loss, $3::INTEGER) OVER episode AS later_loss,
            lead(accuracy, $3::INTEGER) OVER episode AS later_accuracy
        FROM epochs
        WHERE run_dir = $1 AND epoch IS NOT NULL AND ($2 IS NULL OR env_id = $2)
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
            try_cast(d.op_probs ->> '$.NOOP' AS DOUBLE) AS noop,
            try_cast(d.op_probs ->> '$.GROW_INTERNAL' AS DOUBLE) AS grow,
            try_cast(d.op_probs ->> '$.SHRINK_INTERNAL' AS DOUBLE) AS shrink,
            ahead.later_loss - coalesce(d.loss_before, ahead.loss) AS loss,
            ahead.later_accuracy - coalesce(d.accuracy_before, ahead.accuracy) AS accuracy
        FROM decisions AS d
        JOIN ahead
            ON ahead.env_id = d.env_id AND ahead.episode_idx = d.episode_idx AND ahead.epoch = d.epoch
        WHERE d.run_dir = $1 AND ahead.later_epoch IS NOT NULL AND ($5 IS NULL OR d.rank = $5)
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
            decided.*,
            CASE
                WHEN method = '{WEIGHTED}'
                    THEN CASE op_name WHEN 'GROW_INTERNAL' THEN grow ELSE shrink END
                WHEN intended_op = op_name AND h > 0 AND h < 1 AND ($4 IS NULL OR intended_slot_id = $4)
                    THEN 1 - h
            END AS p_op,
            CASE method WHEN '{WEIGHTED}' THEN noop ELSE h END AS p_noop
        FROM decided, ways
    ),

    weighted AS (
        SELECT
            method,
            op_name,
            env_id,
            episode_idx,
            h,
            CASE op WHEN op_name THEN 'op' WHEN 'NOOP' THEN 'noop' END AS done,
            p_op,
            p_noop,
            p_op < floor OR p_noop < floor AS under,
            1 / greatest(p_op, floor) AS w_op,
            1 / greatest(p_noop, floor) AS w_noop,
            loss,
            accuracy,
            loss IS NOT NULL AND accuracy IS NOT NULL AS known
        FROM states
        WHERE p_op IS NOT NULL AND p_noop IS NOT NULL
    )

    SELECT
        method,
        op_name,
        min(h) AS holdout,
        count(*) FILTER (known) AS states,
        {_ARM.format(arm="op", does="op")}
        {_ARM.format(arm="noop", does="noop")}
        count(*) FILTER (known AND p_op BETWEEN {OVERLAP[0]} AND {OVERLAP[1]}) AS in_overlap,
        count(*) FILTER (known AND under) AS under_floor,
        coalesce(min(p_op) FILTER (known), 1.0) AS min_op,
        coalesce(min(p_noop) FILTER (known), 1.0) AS min_noop,
        count(*) FILTER (NOT known) AS left_out
    FROM weighted
    GROUP BY method, op_name, env_id, episode_idx
    ORDER BY method, op_name, env_id, episode_idx"""
"""What EpisodeSums holds, for each method, op and episode; ``$3`` is the horizon, ``$4`` a slot or null, and
``$5`` a rank or null.

The slot restricts what a holdout's coin was thrown for; of the policy's own probabilities only the op's are
known where another op was chosen. An outcome is the change from the decision to the epoch that many later.
"""

ONE_OF_MANY = """
    SELECT min(rank) FROM live.training_started
    WHERE run_dir = $1 AND config ->> '$.shared_hosts' = 'true'"""
"""The rank that stands for all, where each writes down the same environments: an episode is one episode."""

FACTS = """
    SELECT
        count(*) AS decisions,
        count(*) FILTER (op_probs IS NOT NULL) AS with_op_probs,
        count(*) FILTER (holdout_probability > 0) AS with_holdout,
        count(*) FILTER (op = $3) AS n_op,
        count(*) FILTER (op = $3 AND slot_id IS DISTINCT FROM $4) AS n_op_elsewhere
    FROM decisions
    WHERE run_dir = $1 AND ($2 IS NULL OR env_id = $2)"""
"""Why there may be no state at all; ``$3`` is the op, ``$4`` a slot."""

PLACES = "SELECT DISTINCT env_id, slot_id FROM seed_internal_levels WHERE run_dir = $1"
"""Where there was an internal op."""

NAIVE = """
    SELECT
        count(*) FILTER (baseline_sample_count >= $5) AS n,
        avg(loss_advantage) FILTER (baseline_sample_count >= $5) AS loss,
        avg(accuracy_advantage) FILTER (baseline_sample_count >= $5) AS accuracy,
        count(*) FILTER (baseline_sample_count >= $6) AS n_early,
        avg(loss_advantage) FILTER (baseline_sample_count >= $6) AS loss_early,
        avg(accuracy_advantage) FILTER (baseline_sample_count >= $6) AS accuracy_early
    FROM counterfactual_deltas
    WHERE run_dir = $1 AND ($2 IS NULL OR env_id = $2) AND op_name = $3 AND ($4 IS NULL OR slot_id = $4)"""
"""The seed's own number: ``$3`` the op, ``$4`` a slot or null, ``$5`` and ``$6`` NOOPs of the baseline."""
