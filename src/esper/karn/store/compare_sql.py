"""The SQL behind a comparison of runs. ``$1`` is always the run; of copies, one rank's rows count."""

from __future__ import annotations

from esper.karn.store.copies import OF_RUN
from esper.leyline.thresholds import STABLE_EPOCHS

END_EPISODES = 3
"""An environment's end is a mean over this many of its last episodes ..."""
END_EPOCHS = 3
"""... and over this many of their last epochs."""

DECISIONS = f"""
    SELECT
        count(*) AS n,
        coalesce(bool_or(ladder_present), false)
        OR EXISTS (SELECT 1 FROM seed_internal_levels WHERE {OF_RUN})
        OR EXISTS (SELECT 1 FROM seed_lifecycle WHERE {OF_RUN} AND max_level > 0) AS has_ladder
    FROM decisions WHERE {OF_RUN}"""

RETURNS = f"""
    SELECT count(episode_reward) AS n, avg(episode_reward) AS mean, stddev_samp(episode_reward) AS deviation
    FROM episode_outcomes WHERE {OF_RUN}"""

LOST_RETURNS = f"""
    SELECT count(*) FILTER (non_finite ->> '$.episode_reward' IS NOT NULL) AS n
    FROM episode_outcomes WHERE {OF_RUN}"""
"""Episodes whose reward was no finite number."""

EPISODE_ENDS = f"""
    WITH finished AS (
        SELECT env_id, episode_idx FROM episode_outcomes WHERE {OF_RUN} AND episode_idx IS NOT NULL
    ),

    own AS (
        SELECT env_id, episode_idx, epoch, accuracy, loss, params
        FROM epochs
        WHERE {OF_RUN} AND epoch IS NOT NULL
    ),

    -- An episode that still goes on has no end yet; where no episode's end is told, all count.
    ended AS (
        SELECT * FROM own
        WHERE
            NOT EXISTS (SELECT 1 FROM finished)
            OR EXISTS (
                SELECT 1 FROM finished AS f
                WHERE
                    f.env_id IS NOT DISTINCT FROM own.env_id
                    AND f.episode_idx IS NOT DISTINCT FROM own.episode_idx
            )
    ),

    last_epochs AS (
        SELECT
            *,
            dense_rank() OVER (PARTITION BY env_id ORDER BY episode_idx DESC NULLS LAST) AS episodes_back,
            row_number() OVER (PARTITION BY env_id, episode_idx ORDER BY epoch DESC) AS epochs_back
        FROM ended
    )

    SELECT
        env_id,
        episode_idx,
        avg(accuracy) AS accuracy,
        avg(loss) AS loss,
        max_by(params, epoch)::DOUBLE AS params
    FROM last_epochs
    WHERE episodes_back <= {END_EPISODES} AND epochs_back <= {END_EPOCHS}
    GROUP BY env_id, episode_idx
    ORDER BY env_id, episode_idx"""
"""One row for each of the last episodes of each environment."""

BLUEPRINTS = f"""
    WITH lives AS (
        SELECT
            coalesce(blueprint_id, 'unknown') AS blueprint,
            event_type,
            env_id,
            episode_idx,
            epoch,
            lead(epoch) OVER life AS removed,
            lead(event_type) OVER life AS next_event
        FROM seed_lifecycle
        WHERE {OF_RUN} AND event_type IN ('SEED_GERMINATED', 'SEED_PRUNED', 'SEED_FOSSILIZED')
        WINDOW life AS (
            PARTITION BY env_id, episode_idx, slot_id
            -- Of several events of one epoch, a removal makes room for a germination.
            ORDER BY epoch NULLS FIRST, timestamp, event_type = 'SEED_GERMINATED'
        )
    ),

    episode_ends AS (
        SELECT env_id, episode_idx, max(epoch) AS last_epoch FROM epochs WHERE {OF_RUN}
        GROUP BY env_id, episode_idx
    )

    SELECT
        lives.blueprint,
        count(*) FILTER (lives.event_type = 'SEED_GERMINATED') AS germinated,
        count(*) FILTER (lives.event_type = 'SEED_FOSSILIZED') AS fossilized,
        coalesce(
            sum(greatest(coalesce(lives.removed, ends.last_epoch) - lives.epoch, 0))
                FILTER (lives.event_type = 'SEED_GERMINATED'),
            0
        )::BIGINT AS seed_epochs
    FROM lives
    LEFT JOIN episode_ends AS ends
        ON ends.env_id IS NOT DISTINCT FROM lives.env_id
        AND ends.episode_idx IS NOT DISTINCT FROM lives.episode_idx
    GROUP BY lives.blueprint
    ORDER BY germinated DESC, lives.blueprint"""

UPDATE_ENTROPIES = f"""
    SELECT rank, entropy, coalesce(entropy_collapsed, false) AS flagged
    FROM live.ppo_update_completed
    WHERE {OF_RUN} AND entropy IS NOT NULL AND skipped IS NOT TRUE
    ORDER BY rank NULLS FIRST, seq NULLS FIRST, file_offset"""

DECISION_ENTROPIES = f"""
    SELECT avg(op_entropy / ln(legal_ops)) AS entropy
    FROM decisions
    WHERE {OF_RUN} AND op_entropy IS NOT NULL AND legal_ops > 1
    GROUP BY episode_idx
    ORDER BY episode_idx NULLS FIRST"""
"""Of each episode, over all environments: the policy is one."""

ROLLBACKS = f"""
    SELECT greatest(
        (SELECT count(*) FROM run_confounders WHERE {OF_RUN} AND event_type = 'GOVERNOR_ROLLBACK'),
        (SELECT coalesce(sum(rollback_attempt_count), 0) FROM ppo_updates WHERE {OF_RUN})
    )::BIGINT AS n"""
"""The same rollback may be an event of its own and be counted in its batch."""

SETTLING = f"""
    WITH episode_ends AS (
        SELECT env_id, episode_idx, max(epoch) AS last_epoch FROM epochs WHERE {OF_RUN}
        GROUP BY env_id, episode_idx
    ),

    units AS (
        SELECT
            ends.last_epoch - max(op.epoch) >= {STABLE_EPOCHS} AS settled,
            abs(coalesce(sum(sign(op.level_delta)) FILTER (2 * op.epoch < ends.last_epoch), 0)) AS early,
            abs(coalesce(sum(sign(op.level_delta)) FILTER (2 * op.epoch >= ends.last_epoch), 0)) AS late
        FROM seed_internal_levels AS op
        JOIN episode_ends AS ends
            ON ends.env_id IS NOT DISTINCT FROM op.env_id
            AND ends.episode_idx IS NOT DISTINCT FROM op.episode_idx
        WHERE {OF_RUN} AND op.epoch IS NOT NULL AND op.level_delta != 0
        GROUP BY op.env_id, op.slot_id, op.episode_idx, ends.last_epoch
    )

    SELECT
        count(*) AS n,
        count(*) FILTER (settled) AS settled,
        avg(early)::DOUBLE AS early,
        avg(late)::DOUBLE AS late
    FROM units"""

SETTINGS = """
    SELECT task, n_envs, n_episodes, max_epochs, max_batches, lr, host_params, param_budget, world_size
    FROM runs WHERE run_dir = $1 ORDER BY started_at LIMIT 1"""
"""What must be equal for a fair comparison."""
