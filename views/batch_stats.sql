-- title: Figures of each batch
-- description: Accuracy, policy and seeds after each batch of the predecessor. Accuracies are percent. Where the update was skipped, the 0 that the predecessor puts for entropy and divergence is no measurement and null here.
-- grain: one row per batch
-- key: event_id
-- column event_id: unique name of the event
-- column timestamp: when it was written, UTC
-- column run_dir: the run
-- column group_id: name for runs that belong together
-- column episodes_completed: episodes finished by then
-- column batch: the batch, from 1
-- column inner_epoch: epochs of its episodes
-- column accuracy: mean accuracy over the last batches [percent]
-- column host_accuracy: mean final accuracy of its environments [percent]
-- column entropy: entropy of the policy, summed over its heads [nats]
-- column kl_divergence: divergence of the new policy from the old [nats]
-- column explained_variance: share of the returns' variance that the critic explains; at most 1
-- column seeds_created: seeds planted in the batch
-- column seeds_fossilized: seeds of it that became part of the host
-- column skipped_update: whether the policy was not updated
-- column rollback_attempt_count: rollbacks of the batch
-- column rollback_unattributed_count: rollbacks before any action
-- column rank: process that wrote it; null in the predecessor's files
-- column non_finite: floats that were not finite, by name
SELECT
    event_id,
    timestamp,
    run_dir,
    group_id,
    episodes_completed,
    batch,
    inner_epoch,
    accuracy,
    host_accuracy,
    CASE WHEN skipped_update AND entropy = 0 THEN NULL ELSE entropy END AS entropy,
    CASE WHEN skipped_update AND kl_divergence = 0 THEN NULL ELSE kl_divergence END AS kl_divergence,
    explained_variance,
    seeds_created,
    seeds_fossilized,
    skipped_update,
    rollback_attempt_count,
    rollback_unattributed_count,
    rank,
    non_finite
FROM live.analytics_snapshot
WHERE kind = 'batch_stats'
