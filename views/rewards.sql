-- title: What rewards are made of
-- description: The parts of each decision's reward, as the predecessor writes them; a run of Karn has total_reward and intervention_cost alone. Parts that a mode of the predecessor does not use are 0 in its files. Accuracies are percent.
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
-- column base_acc_delta: change of validation accuracy over the epoch [percent points]
-- column seed_contribution: accuracy with the seed less accuracy without it [percent points]
-- column bounded_attribution: reward for what the seed contributed, bounded
-- column progress_since_germination: accuracy less acc_at_germination [percent points]
-- column stable_val_acc: validation accuracy that escrow is reckoned from [percent]
-- column attribution_discount: factor on the attribution of a seed under which accuracy fell
-- column ratio_penalty: penalty for more contribution than improvement
-- column escrow_credit_prev: credit held back before
-- column escrow_credit_target: credit that the seed has earned by now
-- column escrow_delta: credit paid at this step
-- column escrow_credit_next: credit held back afterwards
-- column escrow_forfeit: credit taken back at the end
-- column compute_rent: cost of added parameters
-- column alpha_shock: penalty for abrupt changes of alpha
-- column blending_warning: penalty for blending in a seed that makes things worse
-- column holding_warning: penalty for waiting with a seed that is done
-- column stage_bonus: bonus for a stage reached
-- column pbrs_bonus: potential-based shaping
-- column synergy_bonus: bonus for seeds that help each other
-- column action_shaping: shaping for the action itself
-- column terminal_bonus: bonus at the end of the episode
-- column fossilize_terminal_bonus: bonus at the end for fossilized seeds
-- column hindsight_credit: credit for seeds that prepared a fossilized one
-- column num_fossilized_seeds: seeds that became part of the host
-- column num_contributing_fossilized: those of them that improved it
-- column seed_stage: stage of the slot's seed, the predecessor's number
-- column val_acc: validation accuracy [percent]
-- column acc_at_germination: accuracy when the seed was planted [percent]
-- column host_baseline_acc: accuracy without the seed [percent]
-- column growth_ratio: added parameters / parameters of the host
-- column shaped_reward_ratio: size of all shaping / size of the reward; 0 where the reward is about 0
-- column intervention_cost: the cost within the reward of Karn's runs
-- column epoch: epoch within the episode that was just completed
-- column rank: process that wrote it; null in the predecessor's files
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
    base_acc_delta,
    seed_contribution,
    bounded_attribution,
    progress_since_germination,
    stable_val_acc,
    attribution_discount,
    ratio_penalty,
    escrow_credit_prev,
    escrow_credit_target,
    escrow_delta,
    escrow_credit_next,
    escrow_forfeit,
    compute_rent,
    alpha_shock,
    blending_warning,
    holding_warning,
    stage_bonus,
    pbrs_bonus,
    synergy_bonus,
    action_shaping,
    terminal_bonus,
    fossilize_terminal_bonus,
    hindsight_credit,
    num_fossilized_seeds,
    num_contributing_fossilized,
    seed_stage,
    val_acc,
    acc_at_germination,
    host_baseline_acc,
    growth_ratio,
    shaped_reward_ratio,
    intervention_cost,
    epoch,
    rank,
    non_finite
FROM live.analytics_snapshot
WHERE kind = 'last_action'
