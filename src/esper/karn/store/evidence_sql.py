"""The SQL behind the verdict. ``$1`` is always the run; of copies, one rank's rows count."""

from __future__ import annotations

from esper.karn.store.copies import COUNTED_DELTA, OF_RUN
from esper.leyline.thresholds import STABLE_EPOCHS

COUNTS = f"""
    SELECT
        env_id, slot_id, max_level, n_ops, grow_count, shrink_count, n_pairs, n_reversals, n_free_pairs,
        n_free_reversals, n_undone, net_change, absolute_net_change
    FROM slot_thrash
    WHERE {OF_RUN}"""
"""What SlotCounts holds, for each slot."""

PLACES = f"""
    WITH episode_ends AS (
        SELECT env_id, episode_idx, max(epoch) AS last_epoch FROM epochs WHERE {OF_RUN}
        GROUP BY env_id, episode_idx
    ),

    slot_episodes AS (
        SELECT env_id, slot_id, episode_idx, any_value(rank) AS rank, max(epoch) AS last_op
        FROM seed_internal_levels WHERE {OF_RUN}
        GROUP BY env_id, slot_id, episode_idx
    ),

    -- A level begins with its seed, and ends with it.
    changes AS (
        SELECT env_id, slot_id, episode_idx, epoch FROM seed_internal_levels WHERE {OF_RUN}
        UNION ALL
        SELECT env_id, slot_id, episode_idx, epoch
        FROM seed_lifecycle
        WHERE {OF_RUN} AND event_type IN ('SEED_GERMINATED', 'SEED_PRUNED')
    ),

    last_changes AS (
        SELECT env_id, slot_id, max({{'episode_idx': episode_idx, 'epoch': epoch}}) AS place
        FROM changes
        WHERE episode_idx IS NOT NULL AND epoch IS NOT NULL
        GROUP BY env_id, slot_id
    ),

    -- Within one episode: the next one begins with other levels.
    calms AS (
        SELECT
            slot.env_id,
            slot.slot_id,
            max(episode.last_epoch - CASE
                WHEN episode.episode_idx > slot.place.episode_idx THEN 0
                ELSE slot.place.epoch
            END) AS n_epochs
        FROM last_changes AS slot
        JOIN episode_ends AS episode
            ON episode.env_id IS NOT DISTINCT FROM slot.env_id
            AND episode.episode_idx >= slot.place.episode_idx
        GROUP BY slot.env_id, slot.slot_id
    )

    SELECT
        slot.env_id,
        slot.slot_id,
        any_value(slot.rank) AS rank,
        count(*) AS episodes,
        count(*) FILTER (episode.last_epoch - slot.last_op >= {STABLE_EPOCHS}) AS settled_episodes,
        any_value(calms.n_epochs) >= {STABLE_EPOCHS} AS settled
    FROM slot_episodes AS slot
    LEFT JOIN episode_ends AS episode
        ON episode.env_id IS NOT DISTINCT FROM slot.env_id
        AND episode.episode_idx IS NOT DISTINCT FROM slot.episode_idx
    LEFT JOIN calms
        ON calms.env_id IS NOT DISTINCT FROM slot.env_id
        AND calms.slot_id IS NOT DISTINCT FROM slot.slot_id
    GROUP BY slot.env_id, slot.slot_id"""
"""For each slot: its rank, its episodes, and whether its level was left alone for long at the end."""

FREE_PAIRS = f"""
    WITH slots AS (SELECT unnest($2::INTEGER[]) AS env_id, unnest($3::VARCHAR[]) AS slot_id)

    SELECT
        p.env_id, p.slot_id, p.episode_idx, p.first_epoch, p.epoch, p.first_timestamp, p.timestamp, p.reversal
    FROM op_pairs AS p
    JOIN slots
        ON p.env_id IS NOT DISTINCT FROM slots.env_id
        AND p.slot_id IS NOT DISTINCT FROM slots.slot_id
    WHERE {OF_RUN} AND p.free
    ORDER BY p.rank NULLS FIRST, p.seq NULLS FIRST, p.file_offset"""
"""In order, for the slots whose environments are ``$2`` and whose names are ``$3``."""

LATEST_REVERSALS = f"""
    SELECT
        env_id, slot_id, episode_idx, first_epoch, epoch, middle_level, max_level, second_op, free, undone,
        timestamp, event_id
    FROM op_pairs
    WHERE {OF_RUN} AND env_id IS NOT DISTINCT FROM $2 AND slot_id IS NOT DISTINCT FROM $3 AND reversal
    ORDER BY rank DESC, seq DESC, file_offset DESC
    LIMIT $4"""

OP_RATES = f"""
    WITH ops AS (SELECT env_id, episode_idx, epoch FROM seed_internal_levels WHERE {OF_RUN}),

    episodes AS (
        SELECT env_id, episode_idx, max(epoch) AS n_epochs
        FROM (
            SELECT env_id, episode_idx, epoch FROM epochs WHERE {OF_RUN}
            UNION ALL
            -- The epoch of a run's very end may be missing; that of an op has begun.
            SELECT env_id, episode_idx, epoch FROM ops
        )
        GROUP BY env_id, episode_idx
    )

    SELECT env_id, (SELECT count(*) FROM ops WHERE ops.env_id IS NOT DISTINCT FROM episodes.env_id)
        / nullif(sum(n_epochs), 0) AS rate
    FROM episodes
    GROUP BY env_id"""
"""Each environment's internal ops per epoch, over all epochs of all its episodes."""

EFFECTS = f"""
    SELECT
        op_name,
        count(*) AS n_all,
        count(*) FILTER (warm) AS n_warm,
        -- What followed an op may be no number: n is of those that have one.
        count(loss_advantage) FILTER (warm) AS loss_n,
        avg(loss_advantage) FILTER (warm) AS loss_mean,
        stddev_samp(loss_advantage) FILTER (warm) AS loss_deviation,
        count(accuracy_advantage) FILTER (warm) AS accuracy_n,
        avg(accuracy_advantage) FILTER (warm) AS accuracy_mean,
        stddev_samp(accuracy_advantage) FILTER (warm) AS accuracy_deviation,
        count(loss_advantage) FILTER (early) AS n_early,
        avg(loss_advantage) FILTER (early) AS loss_early
    FROM (
        SELECT *, baseline_sample_count >= $2 AS warm, baseline_sample_count >= $3 AS early
        FROM counterfactual_deltas WHERE run_dir = $1 AND {COUNTED_DELTA}
    )
    WHERE op_name IS NOT NULL
    GROUP BY op_name
    ORDER BY op_name"""

UNDONE_COST = f"""
    WITH undone AS (
        SELECT
            env_id,
            slot_id,
            episode_idx,
            first_epoch AS epoch,
            CASE second_op WHEN 'GROW_INTERNAL' THEN 'SHRINK_INTERNAL' ELSE 'GROW_INTERNAL' END AS op
        FROM op_pairs
        WHERE {OF_RUN} AND undone
    ),

    costs AS (  -- a policy may decide more than once an epoch
        SELECT env_id, slot_id, episode_idx, epoch, op, avg(intervention_cost) AS cost
        FROM decisions
        WHERE {OF_RUN} AND intervention_cost IS NOT NULL
        GROUP BY env_id, slot_id, episode_idx, epoch, op
    )

    SELECT undone.env_id, undone.slot_id, fsum(costs.cost) AS cost
    FROM undone
    JOIN costs USING (env_id, slot_id, episode_idx, epoch, op)
    GROUP BY undone.env_id, undone.slot_id"""
"""Intervention cost of the ops that were undone, for each slot."""

REVERSING_OPS = f"""
    WITH slots AS (SELECT unnest($2::INTEGER[]) AS env_id, unnest($3::VARCHAR[]) AS slot_id),

    reversing AS (
        SELECT p.env_id, p.slot_id, p.episode_idx, p.epoch, p.second_op
        FROM op_pairs AS p
        JOIN slots
            ON p.env_id IS NOT DISTINCT FROM slots.env_id
            AND p.slot_id IS NOT DISTINCT FROM slots.slot_id
        WHERE {OF_RUN} AND p.reversal
        -- Of several ops of a slot in one epoch nobody can say which decision was whose.
        QUALIFY count(*) OVER (PARTITION BY p.env_id, p.slot_id, p.episode_idx, p.epoch, p.second_op) = 1
    ),

    decided AS (
        SELECT *, (SELECT count(DISTINCT slot_id) < 2 FROM decisions WHERE {OF_RUN}) AS one_slot
        FROM decisions
        WHERE {OF_RUN}
        QUALIFY count(*) OVER (PARTITION BY env_id, slot_id, episode_idx, epoch, op) = 1
    ),

    chosen AS (
        SELECT
            -- legal_ops counts ops, so it is the op's own probability that compares with it: without
            -- op_probs, the joint one over the slot's, or the joint one itself where there is one slot.
            -- What is recorded is after a holdout's coin, which leaves an op 1 - h of the policy's own.
            CASE
                WHEN d.op_probs IS NOT NULL THEN try_cast(d.op_probs ->> ('$.' || d.op) AS DOUBLE)
                WHEN d.slot_probs IS NOT NULL
                    THEN d.op_probability / nullif(
                        try_cast(json_extract_string(d.slot_probs, '$."' || d.slot_id || '"') AS DOUBLE), 0
                    )
                WHEN d.one_slot THEN d.op_probability
            END / (1 - coalesce(d.holdout_probability, 0)) AS probability,
            d.legal_ops,
            d.reward,
            d.intervention_cost
        FROM reversing AS r
        JOIN decided AS d
            ON d.env_id = r.env_id
            AND d.slot_id = r.slot_id
            AND d.episode_idx = r.episode_idx
            AND d.epoch = r.epoch
            AND d.op = r.second_op
    )

    SELECT
        count(probability * legal_ops) AS n_probability,
        avg(probability) FILTER (legal_ops IS NOT NULL) AS probability,
        avg(probability * legal_ops) AS times_uniform,
        count(reward + intervention_cost) AS n_reward,
        avg(reward) FILTER (intervention_cost IS NOT NULL) AS reward,
        avg(intervention_cost) FILTER (reward IS NOT NULL) AS cost
    FROM chosen"""
"""What the policy thought of, and was paid for, the ops that reversed another."""

USAGE = f"""
    SELECT
        (SELECT count(*) FROM seed_internal_levels WHERE {OF_RUN}) AS internal_ops,
        (
            SELECT count(*) FROM decisions
            WHERE {OF_RUN} AND op != 'NOOP' AND ladder_present IS NOT FALSE
        ) AS total_decisions"""
"""As the query ``internal_op_usage`` counts them, which counts copies too."""

DECIDED_OPS = f"""
    SELECT count(*) FROM decisions
    WHERE {OF_RUN} AND op IN ('GROW_INTERNAL', 'SHRINK_INTERNAL') AND action_success IS NOT FALSE"""
"""Ops that the policy chose and that were not refused."""

LOSSES = f"""
    SELECT
        count(*) AS epochs,
        count(*) FILTER (
            loss IS NULL AND coalesce(non_finite ->> '$.loss', non_finite ->> '$.val_loss') IS NOT NULL
        ) AS not_finite,
        max(accuracy) AS highest
    FROM epochs
    WHERE {OF_RUN}"""
"""Epochs, those whose loss is no finite number, and the highest accuracy."""

REWARD_SPREAD = f"SELECT stddev_samp(reward) FROM decisions WHERE {OF_RUN}"

POLICY_UPDATES = f"""
    SELECT
        timestamp >= $2::TIMESTAMPTZ AT TIME ZONE 'UTC' AS after,
        count(*) AS n,
        avg(entropy) AS entropy,
        avg(kl_divergence) AS kl
    FROM live.ppo_update_completed
    WHERE {OF_RUN} AND $2 IS NOT NULL
    GROUP BY after"""

MISSING_EVENTS = (
    "SELECT coalesce(sum(event_count), 0)::BIGINT FROM event_gaps WHERE run_dir = $1 AND kind = 'gap'"
)
