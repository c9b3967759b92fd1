-- title: What happened after internal ops
-- description: State before and one epoch after each internal op, beside the mean change after NOOPs. Observational and biased: NOOPs are chosen near an optimum, where changes are small. Filter on baseline_sample_count.
-- grain: one row per internal op with an outcome
-- key: run_dir, env_id, slot_id, episode_idx, epoch
-- column run_dir: the run
-- column timestamp: when the outcome was written, UTC
-- column env_id: environment, unique over all ranks
-- column slot_id: the slot
-- column epoch: epoch within the episode after which the op was done
-- column op: 4 GROW_INTERNAL, 5 SHRINK_INTERNAL
-- column from_level: level before
-- column to_level: level after
-- column loss_delta: loss after minus before; negative is better
-- column accuracy_delta: accuracy after minus before [fraction]
-- column baseline_loss_delta: running mean of loss deltas after NOOPs
-- column baseline_accuracy_delta: running mean of accuracy deltas after NOOPs [fraction]
-- column baseline_sample_count: NOOPs behind the baseline
-- column loss_advantage: loss_delta - baseline_loss_delta; positive is worse
-- column accuracy_advantage: accuracy_delta - baseline_accuracy_delta [fraction]
-- column op_name: the op by name
-- column epochs_elapsed: epochs between state before and state after
-- column op_probability: the policy's joint probability of the op
-- column episode_idx: the environment's episode, from 0
-- column loss_before: validation loss before
-- column accuracy_before: validation accuracy before [fraction]
-- column params_before: active parameters before [scalars]
-- column loss_after: validation loss after
-- column accuracy_after: validation accuracy after [fraction]
-- column params_after: active parameters after [scalars]
-- column non_finite: floats that were not finite, by name
SELECT
    run_dir,
    timestamp,
    env_id,
    data_slot_id AS slot_id,
    coalesce(data_epoch, epoch) AS epoch,
    op,
    from_level,
    to_level,
    loss_delta,
    accuracy_delta,
    baseline_loss_delta,
    baseline_accuracy_delta,
    baseline_sample_count,
    loss_delta - baseline_loss_delta AS loss_advantage,
    accuracy_delta - baseline_accuracy_delta AS accuracy_advantage,
    op_name(op) AS op_name,
    epochs_elapsed,
    op_probability,
    episode_idx,
    loss_before,
    accuracy_before,
    params_before,
    loss_after,
    accuracy_after,
    params_after,
    non_finite
FROM live.counterfactual_delta
