"""From counts to a verdict on thrash. Pure: numbers in, words and numbers out.

SQL, MCP, the command line and Sanctum all come here with counts, so that no two of them can disagree.
``docs/metrics.md`` explains each number; the thresholds are in ``esper.leyline.thresholds``.
"""

from esper.karn.diagnosis.clues import Clue, Effect, Why
from esper.karn.diagnosis.judging import SlotJudge, judge_slots
from esper.karn.diagnosis.reports import (
    BIAS,
    EnvReport,
    Moment,
    RankReport,
    RunVerdict,
    SlotReport,
    Usage,
    bias_text,
)
from esper.karn.diagnosis.run import judge_run
from esper.karn.diagnosis.slots import (
    LABELS,
    SlotCounts,
    SlotVerdict,
    thrash_together,
)
from esper.karn.diagnosis.spans import ThrashSearch, thrash_span
from esper.karn.diagnosis.words import slot_name, verdict_text

__all__ = [
    "BIAS",
    "LABELS",
    "Clue",
    "Effect",
    "EnvReport",
    "Moment",
    "RankReport",
    "RunVerdict",
    "SlotCounts",
    "SlotJudge",
    "SlotReport",
    "SlotVerdict",
    "ThrashSearch",
    "Usage",
    "Why",
    "bias_text",
    "judge_run",
    "judge_slots",
    "slot_name",
    "thrash_span",
    "thrash_together",
    "verdict_text",
]
