-- title: Anti-thrash metrics, as the training emitted them
-- description: Rolling metrics of a slot after each internal op. A window's rate is no pooled rate: slot_thrash has those.
-- grain: one row per INTERNAL_OP_METRICS event
-- key: run_dir, env_id, slot_id, episode_idx, timestamp
-- column run_dir: the run
-- column timestamp: when it was written, UTC
-- column env_id: environment, unique over all ranks
-- column slot_id: the slot
-- column internal_op_density: ops in the window / window_size: how much evidence there is [fraction]
-- column net_level_change: sum of directions in the window, +1 a GROW, -1 a SHRINK [ops]
-- column reversal_rate: share of consecutive pairs in the window that reverse [fraction]
-- column internal_op_rate: ops per epoch over the window; null under two ops [ops/epoch]
-- column n_ops: ops in the window
-- column window_size: ops that the window holds
-- column epoch: epoch within the episode
-- column episode_idx: the environment's episode, from 0
-- column band: the reversal rate in a word; insufficient_data under 10 pairs
-- column indicator: the reversal rate as a colour; null under 10 pairs
-- column non_finite: floats that were not finite, by name
SELECT
    run_dir,
    timestamp,
    env_id,
    data_slot_id AS slot_id,
    internal_op_density,
    net_level_change,
    reversal_rate,
    internal_op_rate,
    n_ops,
    window_size,
    epoch,
    episode_idx,
    band(reversal_rate, n_ops - 1) AS band,
    indicator(reversal_rate, n_ops - 1) AS indicator,
    non_finite
FROM live.internal_op_metrics
