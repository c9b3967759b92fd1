-- title: Decisions of the policy
-- description: What the policy chose, how probable that was, and the state it saw. NOOPs are rows too.
-- grain: one row per decision
-- key: event_id
-- column event_id: unique name of the event
-- column timestamp: when it was written, UTC
-- column run_dir: the run
-- column group_id: name for runs that belong together
-- column env_id: environment, unique over all ranks
-- column episode_idx: the environment's episode, from 0
-- column inner_epoch: epoch within the episode
-- column action_name: the op as it was written
-- column action_success: whether the environment carried it out
-- column total_reward: reward of the decision, costs taken off
-- column value_estimate: the critic's value of the state
-- column action_confidence: the predecessor's probability of the op
-- column decision_entropy: the predecessor's entropy of the decision
-- column slot_id: the slot
-- column blueprint_id: kind of seed
-- column style: as the predecessor writes it: style
-- column blend_id: as the predecessor writes it: blend id
-- column tempo_idx: as the predecessor writes it: tempo idx
-- column alpha_target: as the predecessor writes it: alpha target
-- column alpha_speed: as the predecessor writes it: alpha speed
-- column alpha_curve: as the predecessor writes it: alpha curve
-- column alpha_algorithm: as the predecessor writes it: alpha algorithm
-- column alpha_algorithm_selected: as the predecessor writes it: alpha algorithm selected
-- column op_masked: as the predecessor writes it: op masked
-- column slot_masked: as the predecessor writes it: slot masked
-- column blueprint_masked: as the predecessor writes it: blueprint masked
-- column style_masked: as the predecessor writes it: style masked
-- column tempo_masked: as the predecessor writes it: tempo masked
-- column alpha_target_masked: as the predecessor writes it: alpha target masked
-- column alpha_speed_masked: as the predecessor writes it: alpha speed masked
-- column alpha_curve_masked: as the predecessor writes it: alpha curve masked
-- column slot_states: as the predecessor writes it: slot states
-- column alternatives: as the predecessor writes it: alternatives
-- column head_op_confidence: as the predecessor writes it: head op confidence
-- column head_slot_confidence: as the predecessor writes it: head slot confidence
-- column head_blueprint_confidence: as the predecessor writes it: head blueprint confidence
-- column head_style_confidence: as the predecessor writes it: head style confidence
-- column head_tempo_confidence: as the predecessor writes it: head tempo confidence
-- column head_alpha_target_confidence: as the predecessor writes it: head alpha target confidence
-- column head_alpha_speed_confidence: as the predecessor writes it: head alpha speed confidence
-- column head_alpha_curve_confidence: as the predecessor writes it: head alpha curve confidence
-- column head_op_entropy: as the predecessor writes it: head op entropy
-- column head_slot_entropy: as the predecessor writes it: head slot entropy
-- column head_blueprint_entropy: as the predecessor writes it: head blueprint entropy
-- column head_style_entropy: as the predecessor writes it: head style entropy
-- column head_tempo_entropy: as the predecessor writes it: head tempo entropy
-- column head_alpha_target_entropy: as the predecessor writes it: head alpha target entropy
-- column head_alpha_speed_entropy: as the predecessor writes it: head alpha speed entropy
-- column head_alpha_curve_entropy: as the predecessor writes it: head alpha curve entropy
-- column op: the op by name; the predecessor's WAIT is NOOP
-- column op_probability: joint probability of what was done
-- column op_probs: probability of each op
-- column slot_probs: probability of each slot
-- column op_entropy: entropy of the op distribution [nats]
-- column legal_ops: ops that the mask allowed
-- column reward: reward of the decision, costs taken off
-- column intervention_cost: the cost within that reward
-- column ladder_present: whether any seed with levels was there
-- column loss_before: validation loss that the policy saw
-- column accuracy_before: validation accuracy that it saw [fraction]
-- column params_before: active parameters then [scalars]
-- column level_before: level of the slot then
-- column epoch: epoch within the episode that was just completed
-- column rank: process that wrote it; null in the predecessor's files
-- column intended_op: internal op that the policy chose where a holdout was on; op is NOOP if it was held back
-- column intended_slot_id: the slot that it chose for it
-- column holdout_probability: with which it was held back
-- column non_finite: floats that were not finite, by name
SELECT
    event_id,
    timestamp,
    run_dir,
    group_id,
    env_id,
    episode_idx,
    inner_epoch,
    action_name,
    action_success,
    coalesce(total_reward, reward) AS total_reward,
    value_estimate,
    action_confidence,
    decision_entropy,
    data_slot_id AS slot_id,
    blueprint_id,
    style,
    blend_id,
    tempo_idx,
    alpha_target,
    alpha_speed,
    alpha_curve,
    alpha_algorithm,
    alpha_algorithm_selected,
    op_masked,
    slot_masked,
    blueprint_masked,
    style_masked,
    tempo_masked,
    alpha_target_masked,
    alpha_speed_masked,
    alpha_curve_masked,
    slot_states,
    alternatives,
    head_op_confidence,
    head_slot_confidence,
    head_blueprint_confidence,
    head_style_confidence,
    head_tempo_confidence,
    head_alpha_target_confidence,
    head_alpha_speed_confidence,
    head_alpha_curve_confidence,
    head_op_entropy,
    head_slot_entropy,
    head_blueprint_entropy,
    head_style_entropy,
    head_tempo_entropy,
    head_alpha_target_entropy,
    head_alpha_speed_entropy,
    head_alpha_curve_entropy,
    CASE action_name WHEN 'WAIT' THEN 'NOOP' ELSE action_name END AS op,
    coalesce(op_probability, head_op_confidence) AS op_probability,
    op_probs,
    slot_probs,
    op_entropy,
    legal_ops,
    coalesce(reward, total_reward) AS reward,
    intervention_cost,
    ladder_present,
    loss_before,
    accuracy_before,
    params_before,
    level_before,
    epoch,
    rank,
    intended_op,
    intended_slot_id,
    holdout_probability,
    non_finite
FROM live.analytics_snapshot
WHERE kind = 'last_action'
