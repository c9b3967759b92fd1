-- title: How often each action was chosen
-- description: Counts of actions over a batch of the predecessor. A batch is told by file, group and episodes_completed, and batch_idx is null where that fits several: the predecessor doubles such rows. Without any action pct is null.
-- grain: one row per batch and action
-- key: event_id, action_name
-- column event_id: unique name of the event
-- column timestamp: when it was written, UTC
-- column run_dir: the run
-- column group_id: name for runs that belong together
-- column episodes_completed: episodes finished by then
-- column batch_idx: the batch, from 1
-- column action_name: the action, as decisions.action_name
-- column count: how often it was chosen
-- column pct: share of all actions of the batch; despite its name a fraction [fraction]
-- column rank: process that wrote it; null in the predecessor's files
WITH counts AS (
    SELECT
        event_id,
        timestamp,
        run_dir,
        group_id,
        coalesce(episodes_completed, try_cast(epoch AS INTEGER)) AS episodes_completed,
        unnest(map_entries(action_counts)) AS entry,
        list_sum(map_values(action_counts)) AS total,
        rank,
        filename
    FROM live.analytics_snapshot
    WHERE kind = 'action_distribution'
),

batches AS (
    SELECT
        filename,
        group_id,
        episodes_completed,
        min(batch_idx) AS batch_idx
    FROM live.batch_epoch_completed
    GROUP BY filename, group_id, episodes_completed
    HAVING min(batch_idx) = max(batch_idx)
)

SELECT
    counts.event_id,
    counts.timestamp,
    counts.run_dir,
    counts.group_id,
    counts.episodes_completed,
    batches.batch_idx,
    counts.entry.key AS action_name,
    counts.entry.value AS count,
    counts.entry.value / nullif(counts.total, 0) AS pct,
    counts.rank
FROM counts
LEFT JOIN batches
    ON
        counts.filename = batches.filename
        AND counts.group_id IS NOT DISTINCT FROM batches.group_id
        AND counts.episodes_completed = batches.episodes_completed
