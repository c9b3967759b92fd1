-- title: Thrash, per slot
-- description: The pooled numbers that tell whether a slot thrashes. free_reversal_rate is 0.5 for a coin flip on any ladder; reversal_rate is 0.625 for one with 4 levels. Intervals here are not corrected for the number of slots: thrash_verdict is.
-- grain: one row per run, environment and slot that had an internal op
-- key: run_dir, env_id, slot_id
-- column run_dir: the run
-- column env_id: environment, unique over all ranks
-- column slot_id: the slot
-- column rank: process that wrote it
-- column max_level: highest max_level seen
-- column n_ops: internal ops
-- column grow_count: ops upwards
-- column shrink_count: ops downwards
-- column net_change: sum of directions, +1 a GROW, -1 a SHRINK [ops]
-- column absolute_net_change: sum over seeds and episodes of the distance from start to end [ops]
-- column n_pairs: pairs of consecutive ops of one seed in one episode
-- column n_reversals: pairs whose second op went the other way
-- column reversal_rate: n_reversals / n_pairs [fraction]
-- column n_free_pairs: pairs whose second op could have gone either way
-- column n_free_reversals: reversals among them
-- column free_reversal_rate: n_free_reversals / n_free_pairs; null when max_level is 1 [fraction]
-- column free_low: lower end of its 95 % Wilson interval [fraction]
-- column free_high: upper end of its 95 % Wilson interval [fraction]
-- column n_undone: ops that the next one reversed within 5 epochs
-- column undone_within_5: n_undone / n_ops [fraction]
-- column churn: 1 - absolute_net_change / n_ops: 0 for one way only, 1 for all in vain [fraction]
-- column vs_random: less, indistinguishable or more than a coin flip
-- column sweeping: goes up and down for ever without reversing at once
-- column band: the reversal rate in a word; insufficient_data under 10 pairs
-- column indicator: the reversal rate as a colour; null under 10 pairs
WITH segments AS (
    SELECT
        run_dir,
        env_id,
        slot_id,
        any_value(rank) AS rank,
        max(max_level) AS max_level,
        count(*) AS n_ops,
        count(*) FILTER (level_delta > 0) AS grow_count,
        count(*) FILTER (level_delta < 0) AS shrink_count
    FROM seed_internal_levels
    WHERE level_delta != 0
    GROUP BY run_dir, env_id, slot_id, seed_id, episode_idx
),

ops AS (
    SELECT
        run_dir,
        env_id,
        slot_id,
        any_value(rank) AS rank,
        max(max_level) AS max_level,
        sum(n_ops)::BIGINT AS n_ops,
        sum(grow_count)::BIGINT AS grow_count,
        sum(shrink_count)::BIGINT AS shrink_count,
        sum(grow_count - shrink_count)::BIGINT AS net_change,
        sum(abs(grow_count - shrink_count))::BIGINT AS absolute_net_change
    FROM segments
    GROUP BY run_dir, env_id, slot_id
),

pairs AS (
    SELECT
        run_dir,
        env_id,
        slot_id,
        count(*) AS n_pairs,
        count(*) FILTER (reversal) AS n_reversals,
        count(*) FILTER (free) AS n_free_pairs,
        count(*) FILTER (free AND reversal) AS n_free_reversals,
        count(*) FILTER (undone) AS n_undone
    FROM op_pairs
    GROUP BY run_dir, env_id, slot_id
),

counts AS (
    SELECT
        ops.*,
        coalesce(pairs.n_pairs, 0) AS n_pairs,
        coalesce(pairs.n_reversals, 0) AS n_reversals,
        CASE WHEN ops.max_level <= 1 THEN 0 ELSE coalesce(pairs.n_free_pairs, 0) END AS n_free_pairs,
        CASE WHEN ops.max_level <= 1 THEN 0 ELSE coalesce(pairs.n_free_reversals, 0) END AS n_free_reversals,
        coalesce(pairs.n_undone, 0) AS n_undone
    FROM ops
    LEFT JOIN pairs
        ON
            ops.run_dir = pairs.run_dir
            AND ops.env_id IS NOT DISTINCT FROM pairs.env_id
            AND ops.slot_id IS NOT DISTINCT FROM pairs.slot_id
)

SELECT
    run_dir,
    env_id,
    slot_id,
    rank,
    max_level,
    n_ops,
    grow_count,
    shrink_count,
    net_change,
    absolute_net_change,
    n_pairs,
    n_reversals,
    n_reversals / nullif(n_pairs, 0) AS reversal_rate,
    n_free_pairs,
    n_free_reversals,
    n_free_reversals / nullif(n_free_pairs, 0) AS free_reversal_rate,
    wilson_low(n_free_reversals, n_free_pairs) AS free_low,
    wilson_high(n_free_reversals, n_free_pairs) AS free_high,
    n_undone,
    n_undone / n_ops AS undone_within_5,
    1 - absolute_net_change / n_ops AS churn,
    vs_random(free_low, free_high) AS vs_random,
    coalesce(is_sweeping(churn, free_reversal_rate, n_ops), false) AS sweeping,
    band(reversal_rate, n_pairs) AS band,
    indicator(reversal_rate, n_pairs) AS indicator
FROM counts
