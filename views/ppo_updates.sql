-- title: Updates of the policy
-- description: What each PPO update did. A predecessor's update with skipped = true measured nothing: its zeros are fillers. Its episodes_completed is the epoch of its envelope, which in Karn's files counts something else and is not taken.
-- grain: one row per PPO update
-- key: event_id
-- column event_id: unique name of the event
-- column timestamp: when it was written, UTC
-- column run_dir: the run
-- column episodes_completed: episodes finished by then
-- column group_id: name for runs that belong together
-- column inner_epoch: epoch within the episode at which it was done
-- column batch: batch of episodes that it learned from, from 1
-- column policy_loss: loss of the policy
-- column value_loss: loss of the critic
-- column bellman_error: mean squared error of the critic's one-step targets
-- column v_return_correlation: correlation of values with returns
-- column entropy: entropy of the policy, summed over its heads in the predecessor's files [nats]
-- column kl_divergence: divergence of the new policy from the old [nats]
-- column clip_fraction: share of steps whose ratio was clipped [fraction]
-- column explained_variance: share of the returns' variance that the critic explains; at most 1
-- column value_nrmse: root mean squared error of the critic over the returns' spread
-- column ev_low_return_variance: whether the returns varied too little for explained_variance to mean anything
-- column ev_return_variance: variance of the returns behind explained_variance
-- column grad_norm: gradient norm
-- column pre_clip_grad_norm: gradient norm before clipping
-- column lr: learning rate
-- column entropy_coef: weight of the entropy bonus
-- column entropy_collapsed: whether the predecessor held the policy's entropy for collapsed
-- column pre_norm_advantage_mean: mean advantage before normalization
-- column pre_norm_advantage_std: standard deviation of advantages before normalization
-- column return_mean: mean return
-- column return_std: standard deviation of returns
-- column advantage_mean: mean normalized advantage
-- column advantage_std: standard deviation of normalized advantages
-- column advantage_skewness: skewness of advantages
-- column advantage_kurtosis: excess kurtosis of advantages
-- column advantage_positive_ratio: share of steps with a positive advantage [fraction]
-- column value_mean: mean value that the critic gave
-- column value_std: standard deviation of values
-- column value_min: lowest value
-- column value_max: highest value
-- column ratio_mean: mean ratio of new to old probability
-- column ratio_std: standard deviation of ratios
-- column ratio_min: lowest ratio
-- column ratio_max: highest ratio
-- column joint_ratio_max: highest product of the heads' ratios
-- column clip_fraction_positive: share of steps clipped above [fraction]
-- column clip_fraction_negative: share of steps clipped below [fraction]
-- column op_q_values: value of each op, in the predecessor's order of ops
-- column op_valid_mask: whether each op was allowed, in that order
-- column q_variance: variance of op_q_values
-- column q_spread: highest less lowest of op_q_values
-- column q_aux_loss: loss of the head that learns op_q_values
-- column forced_step_ratio: share of steps at which only one action was allowed [fraction]
-- column usable_actor_timesteps: steps at which there was a choice
-- column decision_density: share of steps at which there was a choice [fraction]
-- column advantage_std_floored: whether advantages varied so little that their spread was raised
-- column d5_pre_norm_advantage_std: pre_norm_advantage_std over the steps with a choice
-- column rollback_count: rollbacks of this batch that followed an action
-- column rollback_steps_zeroed: steps whose reward rollbacks took
-- column rollback_attempt_count: all rollbacks of this batch
-- column rollback_unattributed_count: rollbacks before any action
-- column head_slot_entropy: entropy of the slot head [nats]
-- column head_blueprint_entropy: entropy of the blueprint head [nats]
-- column head_style_entropy: entropy of the style head [nats]
-- column head_tempo_entropy: entropy of the tempo head [nats]
-- column head_alpha_target_entropy: entropy of the alpha target head [nats]
-- column head_alpha_speed_entropy: entropy of the alpha speed head [nats]
-- column head_alpha_curve_entropy: entropy of the alpha curve head [nats]
-- column head_op_entropy: entropy of the op head [nats]
-- column head_slot_grad_norm: gradient norm of the slot head
-- column head_blueprint_grad_norm: gradient norm of the blueprint head
-- column head_style_grad_norm: gradient norm of the style head
-- column head_tempo_grad_norm: gradient norm of the tempo head
-- column head_alpha_target_grad_norm: gradient norm of the alpha target head
-- column head_alpha_speed_grad_norm: gradient norm of the alpha speed head
-- column head_alpha_curve_grad_norm: gradient norm of the alpha curve head
-- column head_op_grad_norm: gradient norm of the op head
-- column head_value_grad_norm: gradient norm of the value head
-- column head_q_grad_norm: gradient norm of the op value head
-- column head_slot_learnable_fraction: share of steps from which the slot head could learn [fraction]
-- column head_blueprint_learnable_fraction: share of steps from which the blueprint head could learn [fraction]
-- column head_style_learnable_fraction: share of steps from which the style head could learn [fraction]
-- column head_tempo_learnable_fraction: share of steps from which the tempo head could learn [fraction]
-- column head_alpha_target_learnable_fraction: share of steps from which the alpha target head could learn [fraction]
-- column head_alpha_speed_learnable_fraction: share of steps from which the alpha speed head could learn [fraction]
-- column head_alpha_curve_learnable_fraction: share of steps from which the alpha curve head could learn [fraction]
-- column head_op_learnable_fraction: share of steps from which the op head could learn [fraction]
-- column head_slot_gradient_state: finite, missing, nonfinite or not_learnable: gradient of the slot head
-- column head_blueprint_gradient_state: finite, missing, nonfinite or not_learnable: gradient of the blueprint head
-- column head_style_gradient_state: finite, missing, nonfinite or not_learnable: gradient of the style head
-- column head_tempo_gradient_state: finite, missing, nonfinite or not_learnable: gradient of the tempo head
-- column head_alpha_target_gradient_state: finite, missing, nonfinite or not_learnable: gradient of the alpha target head
-- column head_alpha_speed_gradient_state: finite, missing, nonfinite or not_learnable: gradient of the alpha speed head
-- column head_alpha_curve_gradient_state: finite, missing, nonfinite or not_learnable: gradient of the alpha curve head
-- column head_op_gradient_state: finite, missing, nonfinite or not_learnable: gradient of the op head
-- column head_value_gradient_state: finite, missing, nonfinite or not_learnable: gradient of the value head
-- column head_q_gradient_state: finite, missing, nonfinite or not_learnable: gradient of the op value head
-- column skipped: whether the predecessor left the update out
-- column rank: process that wrote it; null in the predecessor's files
-- column non_finite: floats that were not finite, by name
SELECT
    event_id,
    timestamp,
    run_dir,
    coalesce(episodes_completed, CASE WHEN schema IS NULL THEN epoch END) AS episodes_completed,
    group_id,
    inner_epoch,
    batch,
    policy_loss,
    value_loss,
    bellman_error,
    v_return_correlation,
    entropy,
    kl_divergence,
    clip_fraction,
    explained_variance,
    value_nrmse,
    ev_low_return_variance,
    ev_return_variance,
    grad_norm,
    pre_clip_grad_norm,
    lr,
    entropy_coef,
    entropy_collapsed,
    pre_norm_advantage_mean,
    pre_norm_advantage_std,
    return_mean,
    return_std,
    advantage_mean,
    advantage_std,
    advantage_skewness,
    advantage_kurtosis,
    advantage_positive_ratio,
    value_mean,
    value_std,
    value_min,
    value_max,
    ratio_mean,
    ratio_std,
    ratio_min,
    ratio_max,
    joint_ratio_max,
    clip_fraction_positive,
    clip_fraction_negative,
    op_q_values,
    op_valid_mask,
    q_variance,
    q_spread,
    q_aux_loss,
    forced_step_ratio,
    usable_actor_timesteps,
    decision_density,
    advantage_std_floored,
    d5_pre_norm_advantage_std,
    rollback_count,
    rollback_steps_zeroed,
    rollback_attempt_count,
    rollback_unattributed_count,
    head_slot_entropy,
    head_blueprint_entropy,
    head_style_entropy,
    head_tempo_entropy,
    head_alpha_target_entropy,
    head_alpha_speed_entropy,
    head_alpha_curve_entropy,
    head_op_entropy,
    head_slot_grad_norm,
    head_blueprint_grad_norm,
    head_style_grad_norm,
    head_tempo_grad_norm,
    head_alpha_target_grad_norm,
    head_alpha_speed_grad_norm,
    head_alpha_curve_grad_norm,
    head_op_grad_norm,
    head_value_grad_norm,
    head_q_grad_norm,
    head_slot_learnable_fraction,
    head_blueprint_learnable_fraction,
    head_style_learnable_fraction,
    head_tempo_learnable_fraction,
    head_alpha_target_learnable_fraction,
    head_alpha_speed_learnable_fraction,
    head_alpha_curve_learnable_fraction,
    head_op_learnable_fraction,
    head_slot_gradient_state,
    head_blueprint_gradient_state,
    head_style_gradient_state,
    head_tempo_gradient_state,
    head_alpha_target_gradient_state,
    head_alpha_speed_gradient_state,
    head_alpha_curve_gradient_state,
    head_op_gradient_state,
    head_value_gradient_state,
    head_q_gradient_state,
    skipped,
    rank,
    non_finite
FROM live.ppo_update_completed
