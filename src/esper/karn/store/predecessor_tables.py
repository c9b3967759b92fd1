"""Fields and event types that only the predecessor (esper-lite) writes, so that its files answer its views.

Written as in ``tables``: comma-separated ``name TYPE [path]``.
"""

from __future__ import annotations

HEADS = ("slot", "blueprint", "style", "tempo", "alpha_target", "alpha_speed", "alpha_curve", "op")
"""Parts of its policy that each decide one thing."""
_CRITICS = ("value", "q")


def _typed(sql_type: str, names: str, parent: str = "") -> str:
    """A field for each of the names, below ``parent`` where there is one."""
    return ", ".join(
        f"{name} {sql_type} {parent}.{name}" if parent else f"{name} {sql_type}" for name in names.split()
    )


MORPHOLOGY_FIELDS = """morphology_proposal_id VARCHAR, morphology_verdict_id VARCHAR,
    morphology_mutation_id VARCHAR, rng_stream VARCHAR, rng_seed UBIGINT"""
"""Of the SEED_ types: what led to a change."""

DECISION_HEAD_FIELDS = ", ".join(
    f"head_{head}_{what} DOUBLE head_telemetry.{'curve' if head == 'alpha_curve' else head}_{what}"
    for what in ("confidence", "entropy")
    for head in HEADS
)
"""Of a decision: how sure each part was."""

REWARD_FIELDS = ", ".join(
    [
        _typed(
            "DOUBLE",
            """base_acc_delta seed_contribution bounded_attribution progress_since_germination
            stable_val_acc attribution_discount ratio_penalty escrow_credit_prev escrow_credit_target
            escrow_delta escrow_credit_next escrow_forfeit compute_rent alpha_shock blending_warning
            holding_warning stage_bonus pbrs_bonus synergy_bonus action_shaping terminal_bonus
            fossilize_terminal_bonus hindsight_credit val_acc acc_at_germination host_baseline_acc
            growth_ratio shaped_reward_ratio""",
            "reward_components",
        ),
        _typed("INTEGER", "num_fossilized_seeds num_contributing_fossilized seed_stage", "reward_components"),
    ]
)
"""Of a decision: what its reward is made of."""

SNAPSHOT_FIELDS = """action_counts COUNTS, batch INTEGER, episodes_completed INTEGER, accuracy DOUBLE,
    host_accuracy DOUBLE, entropy DOUBLE, kl_divergence DOUBLE, explained_variance DOUBLE,
    seeds_created INTEGER, seeds_fossilized INTEGER, skipped_update BOOLEAN,
    rollback_attempt_count INTEGER, rollback_unattributed_count INTEGER, num_slots INTEGER,
    shapley_values JSON"""
"""Of ANALYTICS_SNAPSHOTs that are no decisions."""

OUTCOME_FIELDS = """final_accuracy DOUBLE, param_ratio DOUBLE, num_fossilized INTEGER,
    num_contributing_fossilized INTEGER, stability_score DOUBLE, reward_mode VARCHAR"""
"""Of EPISODE_OUTCOME."""

UPDATE_FIELDS = ", ".join(
    [
        _typed(
            "DOUBLE",
            """bellman_error v_return_correlation value_nrmse ev_return_variance pre_clip_grad_norm
            pre_norm_advantage_mean pre_norm_advantage_std return_mean return_std advantage_mean
            advantage_std advantage_skewness advantage_kurtosis advantage_positive_ratio value_mean
            value_std value_min value_max ratio_mean ratio_std ratio_min ratio_max joint_ratio_max
            clip_fraction_positive clip_fraction_negative q_variance q_spread q_aux_loss
            forced_step_ratio decision_density d5_pre_norm_advantage_std""",
        ),
        _typed("BOOLEAN", "ev_low_return_variance entropy_collapsed advantage_std_floored skipped"),
        _typed(
            "INTEGER",
            """usable_actor_timesteps rollback_count rollback_steps_zeroed rollback_attempt_count
            rollback_unattributed_count""",
        ),
        _typed("JSON", "op_q_values op_valid_mask"),
        *(f"head_{head}_{what} DOUBLE" for what in ("entropy", "learnable_fraction") for head in HEADS),
        *(f"head_{head}_grad_norm DOUBLE" for head in HEADS + _CRITICS),
        *(f"head_{head}_gradient_state VARCHAR" for head in HEADS + _CRITICS),
    ]
)
"""Of PPO_UPDATE_COMPLETED."""

_TREND = """batch_idx INTEGER, episodes_completed INTEGER, rolling_delta DOUBLE,
    rolling_avg_accuracy DOUBLE, prev_rolling_avg_accuracy DOUBLE"""
_CONFOUNDER = """env_id INTEGER, episode_idx INTEGER, anomaly_type VARCHAR, episode INTEGER, batch INTEGER,
    inner_epoch INTEGER, total_episodes INTEGER, detail VARCHAR"""

EVENT_TYPES = {
    "BATCH_EPOCH_COMPLETED": """episodes_completed INTEGER, batch_idx INTEGER, avg_accuracy DOUBLE,
        avg_reward DOUBLE, total_episodes INTEGER, n_envs INTEGER, start_episode INTEGER,
        requested_episodes INTEGER, rolling_accuracy DOUBLE, env_accuracies JSON""",
    "PLATEAU_DETECTED": _TREND,
    "DEGRADATION_DETECTED": _TREND,
    "IMPROVEMENT_DETECTED": _TREND,
    "MORPHOLOGY_CAUSAL_LOG": """phase VARCHAR, env_id INTEGER, slot_id VARCHAR, operation VARCHAR,
        action_id VARCHAR, proposal_id VARCHAR, verdict_id VARCHAR, mutation_id VARCHAR,
        observation_hash VARCHAR, rng_stream VARCHAR, rng_seed UBIGINT, topology VARCHAR,
        blueprint_id VARCHAR, governor_approved BOOLEAN, governor_reason VARCHAR,
        governor_blocked_factor VARCHAR, watch_window_evidence DOUBLE, linked_event_id VARCHAR""",
    "TOPOLOGY_MANIFEST_RECORDED": """manifest_role VARCHAR, proof_baseline_pair_id VARCHAR,
        topology_manifest_version INTEGER, topology_manifest_hash VARCHAR,
        topology_manifest_json VARCHAR, task VARCHAR, host_topology VARCHAR, slot_config_hash VARCHAR,
        slot_count INTEGER, fossilized_seed_count INTEGER, topology_delta_count INTEGER,
        source_run_dir VARCHAR, source_group_id VARCHAR, source_episode_idx INTEGER,
        source_event_id VARCHAR, source_topology_manifest_hash VARCHAR, replay_weight_policy VARCHAR,
        replay_env_id INTEGER, replay_episode_idx INTEGER, replayed_topology_manifest_hash VARCHAR,
        manifest_match BOOLEAN""",
    "PHASE_PROFILE_COMPLETED": "epoch INTEGER, batch_idx INTEGER, phases PHASES",
    "VALUE_COLLAPSE_DETECTED": _CONFOUNDER,
    "RATIO_EXPLOSION_DETECTED": _CONFOUNDER,
    "RATIO_COLLAPSE_DETECTED": _CONFOUNDER,
    "GRADIENT_ANOMALY": _CONFOUNDER,
    "GRADIENT_PATHOLOGY_DETECTED": _CONFOUNDER,
    "NUMERICAL_INSTABILITY_DETECTED": _CONFOUNDER,
    "GOVERNOR_ROLLBACK": f"{_CONFOUNDER}, reason VARCHAR",
    "REWARD_HACKING_SUSPECTED": f"{_CONFOUNDER}, pattern VARCHAR, slot_id VARCHAR, seed_id VARCHAR",
    "PERFORMANCE_DEGRADATION": f"{_CONFOUNDER}, drop_percent DOUBLE, threshold_percent DOUBLE",
}
"""Fields of the event types that Karn does not write."""
