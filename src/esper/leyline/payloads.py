"""What each kind of event carries in its ``data``.

Frozen ``msgspec.Struct``s: building one costs a fraction of a frozen dataclass, and the codec encodes
it directly. Conventions that hold for every payload:

* losses are in the user's own unit, lower is better; accuracies are fractions, 0 to 1;
* parameter counts are numbers of scalars, ``active`` meaning those that train now;
* ``env_id`` is unique over all ranks; it may be None before the event is emitted, never in the file;
* ``episode_idx`` counts an environment's episodes from 0, and the envelope's ``epoch`` counts epochs
  within the episode;
* a float may be None where a diverging run had no finite value: the codec then names the field and
  its value in ``data.non_finite``.
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct

from esper.leyline.actions import SeedInternalKind

Int = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
"""A whole number that SQL can hold."""
Level = Annotated[int, Meta(ge=0, le=2**31 - 1)]
"""An internal level, an index or a small count."""
Float = Annotated[float, Meta(ge=-1.7976931348623157e308, le=1.7976931348623157e308)]
"""A finite number."""


class Payload(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of all payloads; fields at their default are left out of the file."""


class SeedInternalLevelChangedPayload(Payload, frozen=True, kw_only=True):
    """A seed grew or shrank inside: ``from_level`` and ``to_level`` differ."""

    slot_id: str
    from_level: Level
    to_level: Level
    max_level: Level
    env_id: Int | None = None
    episode_idx: Int | None = None
    blueprint_id: str | None = None
    internal_kind: SeedInternalKind | None = None
    active_params: Int | None = None


class InternalOpMetricsPayload(Payload, frozen=True, kw_only=True):
    """A slot's anti-thrash metrics over its last ``window_size`` ops; see InternalOpTracker."""

    slot_id: str
    internal_op_density: Float
    net_level_change: Float
    reversal_rate: Float
    n_ops: Int | None = None
    window_size: Int | None = None
    internal_op_rate: Float | None = None
    env_id: Int | None = None
    episode_idx: Int | None = None


class CounterfactualDeltaPayload(Payload, frozen=True, kw_only=True):
    """What happened after an internal op, beside what NOOPs did on average. Observational only.

    ``*_delta`` is after minus before, so a negative ``loss_delta`` is an improvement. The baseline is
    biased: NOOPs are chosen near an optimum, where deltas are small. ``baseline_sample_count`` says
    how many NOOPs are behind it.
    """

    slot_id: str
    env_id: Int | None
    epoch: Int | None
    op: Level
    from_level: Level
    to_level: Level
    loss_before: Float | None
    accuracy_before: Float | None
    params_before: Int | None
    loss_after: Float | None
    accuracy_after: Float | None
    params_after: Int | None
    loss_delta: Float | None
    accuracy_delta: Float | None
    baseline_loss_delta: Float | None
    baseline_accuracy_delta: Float | None
    baseline_sample_count: Int
    epochs_elapsed: Int | None = None
    episode_idx: Int | None = None
    op_probability: Float | None = None


class DecisionPayload(Payload, frozen=True, kw_only=True, tag_field="kind", tag="last_action"):
    """One decision of the policy, written as ANALYTICS_SNAPSHOT with ``kind = "last_action"``.

    ``op_probability`` is the joint probability of all that was done (op and slot), ``reward`` is what
    the policy was paid, after ``intervention_cost`` was taken off. The ``*_before`` fields are the
    state that the policy saw.

    The last three are there where a holdout is on and the policy chose an internal op, ``intended_op``,
    which was held back with ``holdout_probability``: ``action_name`` is then NOOP. All probabilities are
    those of what is carried out, after the holdout.
    """

    action_name: str
    env_id: Int | None = None
    episode_idx: Int | None = None
    inner_epoch: Int | None = None
    slot_id: str | None = None
    blueprint_id: str | None = None
    action_success: bool | None = None
    op_probability: Float | None = None
    op_probs: dict[str, Float | None] | None = None
    slot_probs: dict[str, Float | None] | None = None
    op_entropy: Float | None = None
    legal_ops: Level | None = None
    reward: Float | None = None
    intervention_cost: Float | None = None
    ladder_present: bool | None = None
    value_estimate: Float | None = None
    loss_before: Float | None = None
    accuracy_before: Float | None = None
    params_before: Int | None = None
    level_before: Level | None = None
    intended_op: str | None = None
    intended_slot_id: str | None = None
    holdout_probability: Float | None = None


class EpochCompletedPayload(Payload, frozen=True, kw_only=True):
    """One environment finished one epoch; ``loss`` and ``accuracy`` are those of the validation set."""

    env_id: Int | None = None
    episode_idx: Int | None = None
    inner_epoch: Int | None = None
    loss: Float | None = None
    accuracy: Float | None = None
    train_loss: Float | None = None
    train_accuracy: Float | None = None
    params: Int | None = None


class EpisodeOutcomePayload(Payload, frozen=True, kw_only=True):
    """How one environment's episode ended."""

    env_id: Int | None = None
    episode_idx: Int | None = None
    accuracy: Float | None = None
    loss: Float | None = None
    params: Int | None = None
    episode_reward: Float | None = None
    episode_length: Level | None = None
    outcome_type: str | None = None
    germinate_count: Level | None = None
    prune_count: Level | None = None
    fossilize_count: Level | None = None
    grow_count: Level | None = None
    shrink_count: Level | None = None


class TrainingStartedPayload(Payload, frozen=True, kw_only=True):
    """A process began, or resumed, to train.

    The collector adds ``attempt`` (1, then one more for each resume) to the first event of each
    process. ``resumed_from_episode`` and ``resumed_from_epoch`` name the last epoch that the checkpoint
    holds; later epochs of an earlier attempt are left out of every view but raw_events.
    """

    task: str | None = None
    policy: str | None = None
    seed: int | None = None
    """Of the random numbers; torch's have 64 bits and no sign."""
    n_envs: Level | None = None
    n_episodes: Level | None = None
    max_epochs: Level | None = None
    lr: Float | None = None
    host_params: Int | None = None
    slot_ids: list[str] | None = None
    policy_device: str | None = None
    intervention_cost: Float | None = None
    rank: Level | None = None
    world_size: Level | None = None
    resumed_from_episode: Int | None = None
    resumed_from_epoch: Int | None = None
    config: dict[str, Any] | None = None


class TrainingFinishedPayload(Payload, frozen=True, kw_only=True, omit_defaults=False):
    """A process ended its training by itself; a run is finished when every rank of its world did."""

    outcome: str = "completed"
    episodes_completed: Level | None = None
    rank: Level | None = None
    world_size: Level | None = None


class TrainingFailedPayload(Payload, frozen=True, kw_only=True):
    """A process gave its training up because of an error, which it could still say; a killed one can't."""

    reason: str


class SeedGerminatedPayload(Payload, frozen=True, kw_only=True):
    """A seed was planted in a slot. ``level`` of ``max_level`` where it has a ladder."""

    slot_id: str
    env_id: Int | None = None
    episode_idx: Int | None = None
    blueprint_id: str | None = None
    params: Int | None = None
    internal_kind: SeedInternalKind | None = None
    level: Level | None = None
    max_level: Level | None = None


class SeedStageChangedPayload(Payload, frozen=True, kw_only=True):
    """A seed went from one stage of its life to the next."""

    slot_id: str
    from_stage: str
    to_stage: str
    env_id: Int | None = None
    episode_idx: Int | None = None
    epochs_in_stage: Int | None = None
    accuracy_delta: Float | None = None


class SeedPrunedPayload(Payload, frozen=True, kw_only=True):
    """A seed was taken out of its slot."""

    slot_id: str
    env_id: Int | None = None
    episode_idx: Int | None = None
    blueprint_id: str | None = None
    reason: str | None = None
    initiator: str | None = None
    epochs_total: Int | None = None
    improvement: Float | None = None


class SeedFossilizedPayload(Payload, frozen=True, kw_only=True):
    """A seed was made a lasting part of its host; its level can't change any more."""

    slot_id: str
    env_id: Int | None = None
    episode_idx: Int | None = None
    blueprint_id: str | None = None
    params_added: Int | None = None
    epochs_total: Int | None = None
    improvement: Float | None = None


class PPOUpdateCompletedPayload(Payload, frozen=True, kw_only=True):
    """One update of a PPO policy; entropy and KL divergence in nats.

    ``batch`` counts updates from 1; ``episode_idx`` is the episode that it learned from.
    """

    policy_loss: Float | None = None
    value_loss: Float | None = None
    entropy: Float | None = None
    kl_divergence: Float | None = None
    clip_fraction: Float | None = None
    explained_variance: Float | None = None
    grad_norm: Float | None = None
    lr: Float | None = None
    entropy_coef: Float | None = None
    batch: Int | None = None
    episode_idx: Int | None = None
    inner_epoch: Int | None = None
    episodes_completed: Int | None = None


class EventsDroppedPayload(Payload, frozen=True, kw_only=True):
    """The writer could not write for a while: this many events are missing, with their ``seq`` range."""

    count: Int
    first_seq: Int
    last_seq: Int
    reason: str = ""
