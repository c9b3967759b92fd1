-- title: Which slots thrash?
-- description: Slots whose mean windowed reversal rate is above a threshold, with the pooled rate and its n beside it. thrash_verdict corrects for chance and for the number of slots; this does not.
-- grain: one row per slot name above the threshold
-- key: slot_id
-- param run_dir VARCHAR = latest: the run; the latest if left out
-- param threshold DOUBLE = 0.5: mean reversal rate above which a slot is listed, 0 to 1
-- column slot_id: the slot name, pooled over environments
-- column avg_reversal_rate: mean of the windowed rates [fraction]
-- column max_reversal_rate: highest windowed rate [fraction]
-- column samples: windowed rates behind them
-- column reversal_rate: pooled over all pairs of the run [fraction]
-- column n_pairs: pairs behind it
-- column free_reversal_rate: pooled over pairs that could have gone either way; a coin flip has 0.5 [fraction]
-- column n_free_pairs: pairs behind it
WITH windows AS (
    SELECT
        slot_id,
        avg(reversal_rate) AS avg_reversal_rate,
        max(reversal_rate) AS max_reversal_rate,
        count(*) AS samples
    FROM internal_op_metrics
    WHERE run_dir = $run_dir
    GROUP BY slot_id
    HAVING avg(reversal_rate) > $threshold
),

pooled AS (
    SELECT
        slot_id,
        sum(n_reversals) / nullif(sum(n_pairs), 0) AS reversal_rate,
        sum(n_pairs)::BIGINT AS n_pairs,
        sum(n_free_reversals) / nullif(sum(n_free_pairs), 0) AS free_reversal_rate,
        sum(n_free_pairs)::BIGINT AS n_free_pairs
    FROM slot_thrash
    WHERE run_dir = $run_dir
    GROUP BY slot_id
)

SELECT
    slot_id,
    avg_reversal_rate,
    max_reversal_rate,
    samples,
    reversal_rate,
    coalesce(n_pairs, 0) AS n_pairs,
    free_reversal_rate,
    coalesce(n_free_pairs, 0) AS n_free_pairs
FROM windows
LEFT JOIN pooled USING (slot_id)
ORDER BY avg_reversal_rate DESC, slot_id
