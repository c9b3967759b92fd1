"""Questions on thrash: whether, in which slot, and since when."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from questioning import (
    Call,
    Old,
    Question,
    Rows,
    data_rows,
    events,
    found,
    numbers,
    old_pairs,
    rounded,
    text_rows,
)

from oracle import looks_of, named, score_interval, slots_of

Slot = tuple[int, str]


def verdict(run: str, **arguments: Any) -> list[Call]:
    return [Call("thrash_verdict", {"run_dir": run, **arguments})]


# Whether.


def label_in_text(texts: list[str]) -> str:
    return found(r"^run \S+ \(\w+\): (\w+)$", texts[0])[0].lower()


def label_by_events(folder: Path, run: str) -> str:
    """thrashing where a slot's corrected interval is above a coin flip, if any slot can be judged."""
    slots = slots_of(events(folder, run))
    judged = [slot for slot in slots.values() if slot.free_pairs[1] >= 10]
    return "thrashing" if named(slots) else "not_thrashing" if judged else "insufficient_data"


def label_by_rate(answers: list[Rows]) -> str:
    ((pairs, reversals),) = [row.values() for row in answers[0]]
    if pairs < 10:
        return "insufficient_data"
    return "thrashing" if reversals / pairs > 0.7 else "not_thrashing"


def whether(run: str, label: str | None, asks: str, lacks: str = "", shown: bool = False) -> Question:
    sql = old_pairs(run) + "SELECT count(p) AS pairs, count(*) FILTER (p = -d) AS reversals FROM pairs"
    return Question(
        kind="thrash",
        asks=asks,
        run=run,
        calls=verdict(run),
        text=label_in_text,
        data=lambda contents: contents[0]["label"],
        truth=lambda folder: label or label_by_events(folder, run),
        old=Old([sql], label_by_rate, lacks),
        shown=shown,
    )


# Which slot.


def slots_in_text(texts: list[str]) -> set[Slot]:
    return {(int(env), slot) for env, slot in re.findall(r"^  env (\d+) (\S+): thrashing;", texts[0], re.M)}


def slots_in_data(contents: list[dict[str, Any]]) -> set[Slot]:
    return {(slot["env_id"], slot["slot_id"]) for slot in contents[0]["slots"] if slot["thrashing"]}


def which(run: str, slots: set[Slot] | None, asks: str, lacks: str = "") -> Question:
    sql = (
        old_pairs(run)
        + """SELECT env, slot_id, count(p) AS pairs, count(*) FILTER (p = -d) / count(p) AS rate FROM pairs
        GROUP BY ALL HAVING count(p) >= 10 AND rate > 0.7 ORDER BY rate DESC, env, slot_id"""
    )
    return Question(
        kind="slot",
        asks=asks,
        run=run,
        calls=verdict(run),
        text=slots_in_text,
        data=slots_in_data,
        truth=lambda folder: named(slots_of(events(folder, run))) if slots is None else slots,
        old=Old([sql], lambda answers: {(row["env"], row["slot_id"]) for row in answers[0]}, lacks),
    )


def how_sure(run: str, env: int, slot: str) -> Question:
    """The free rate of a slot with its interval, and the corrected one's lower end."""

    def truth(folder: Path) -> list[float]:
        slots = slots_of(events(folder, run))
        reversals, pairs = slots[env, slot].free_pairs
        low, high = score_interval(reversals, pairs) or (0, 0)
        assert looks_of(slots) == 4
        return [*rounded([reversals / pairs, low, high], 2), pairs]

    def data(contents: list[dict[str, Any]]) -> list[float]:
        (row,) = contents[0]["slots"]
        return [
            *rounded([row[f"free_{name}"] for name in ("reversal_rate", "low", "high")], 2),
            row["n_free_pairs"],
        ]

    sql = old_pairs(run) + (
        f"SELECT count(p) AS pairs, count(*) FILTER (p = -d) / count(p) AS rate FROM pairs "
        f"WHERE env = {env} AND slot_id = '{slot}'"
    )
    return Question(
        kind="slot",
        asks=f"How sure is it that `{slot}` of environment {env} of `{run}` reverses beyond chance?",
        run=run,
        calls=verdict(run, env_id=env, slot_id=slot),
        text=lambda texts: numbers(
            rf"  env {env} {slot}: \w+; free (\S+) \[(\S+), (\S+)\] of (\d+),", texts[0]
        ),
        data=data,
        truth=truth,
        old=Old([sql], None, "can't: a rate, but no interval and no correction for 4 slots"),
        shown=True,
    )


def ops_of_slots(run: str) -> Question:
    """GROW and SHRINK ops of each slot name."""

    def truth(folder: Path) -> dict[str, tuple[int, int]]:
        counts: dict[str, tuple[int, int]] = {}
        for (_, name), slot in slots_of(events(folder, run)).items():
            grown, shrunk = counts.get(name, (0, 0))
            counts[name] = (grown + slot.grow_count, shrunk + slot.shrink_count)
        return counts

    def read(rows: Rows) -> dict[str, tuple[int, int]]:
        return {row["slot_id"]: (int(row["grow_count"]), int(row["shrink_count"])) for row in rows}

    sql = (
        old_pairs(run)
        + """SELECT slot_id, count(*) FILTER (d > 0) AS grow_count, count(*) FILTER (d < 0) AS shrink_count
        FROM pairs GROUP BY ALL"""
    )
    return Question(
        kind="slot",
        asks=f"How often did each slot of `{run}` grow and shrink?",
        run=run,
        calls=[Call("internal_op_summary", {"run_dir": run})],
        text=lambda texts: read(text_rows(texts[0])),
        data=lambda contents: read(data_rows(contents[0])),
        truth=truth,
        old=Old([sql], lambda answers: read(answers[0])),
        shown=True,
    )


# Since when.


def since_in_text(texts: list[str]) -> dict[Slot, Any]:
    begin, end = r"; since episode (\d+) epoch (\d+)", r"(?:not ended|ended episode (\d+) epoch (\d+))"
    pattern = rf"^  env (\d+) (\S+): .*{begin}, {end}$"
    return {
        (int(env), slot): ((int(episode), int(epoch)), (int(last), int(end)) if end else None)
        for env, slot, episode, epoch, last, end in re.findall(pattern, texts[0], re.M)
    }


def since_in_data(contents: list[dict[str, Any]]) -> dict[Slot, Any]:
    def place(moment: dict[str, Any] | None) -> tuple[int, int] | None:
        return moment and (moment["episode_idx"], moment["epoch"])

    return {
        (slot["env_id"], slot["slot_id"]): (place(slot["since"]), place(slot["ended"]))
        for slot in contents[0]["slots"]
        if slot["since"] is not None
    }


def since_by_events(folder: Path, run: str) -> dict[Slot, Any]:
    """For each named slot: every stretch of its free pairs is weighed, and the heaviest is taken."""

    def place(event: dict[str, Any]) -> tuple[int, int]:
        return event["data"]["episode_idx"], event["epoch"]

    whole = events(folder, run)
    changes = [e for e in whole if e["event_type"] == "SEED_INTERNAL_LEVEL_CHANGED"]
    answer = {}
    for env, slot in named(slots_of(whole)):
        mine = [e for e in changes if (e["data"]["env_id"], e["slot_id"]) == (env, slot)]
        pairs = []
        for i, op in enumerate(mine):
            before = next((e for e in mine[:i][::-1] if e["seed_id"] == op["seed_id"]), None)
            if before is None or place(before)[0] != place(op)[0]:
                continue
            if 0 < before["data"]["to_level"] < before["data"]["max_level"]:
                turned = op["data"]["to_level"] == before["data"]["from_level"]
                pairs.append((turned, place(before), op))
        stretches = [(i, j) for i in range(len(pairs)) for j in range(i, len(pairs))]
        weight = {True: 0.4700036, False: -0.9162907}
        i, j = max(stretches, key=lambda s: sum(weight[turned] for turned, _, _ in pairs[s[0] : s[1] + 1]))
        # It has ended where ten pairs more tell so, or where the level has been left alone since.
        last_episode, last_epoch = max(place(e) for e in whole if e["event_type"] == "EPOCH_COMPLETED")
        episode, epoch = place(mine[-1])
        ended = len(pairs) - 1 - j >= 10 or episode < last_episode or last_epoch - epoch >= 10
        answer[env, slot] = (pairs[i][1], place(pairs[j][2]) if ended else None)
    return answer


def since(run: str, truth: dict[Slot, Any] | None, asks: str) -> Question:
    sql = (
        old_pairs(run)
        + "SELECT env, slot_id, episode, epoch, d, p FROM pairs ORDER BY env, slot_id, episode, timestamp"
    )
    return Question(
        kind="since",
        asks=asks,
        run=run,
        calls=verdict(run),
        text=since_in_text,
        data=since_in_data,
        truth=lambda folder: since_by_events(folder, run) if truth is None else truth,
        old=Old([sql], None, "can't: lists the ops, and leaves where it begins to the eye"),
    )


def first_ops(run: str, env: int, slot: str) -> Question:
    """Epoch and levels of a slot's first three level changes."""
    columns = ("epoch", "from_level", "to_level")

    def truth(folder: Path) -> list[tuple[int, ...]]:
        ops = [
            event["data"] | {"epoch": event["epoch"]}
            for event in events(folder, run)
            if event["event_type"] == "SEED_INTERNAL_LEVEL_CHANGED"
            and (event["data"]["env_id"], event["slot_id"]) == (env, slot)
        ]
        return [tuple(op[column] for column in columns) for op in ops[:3]]

    def read(rows: Rows) -> list[tuple[int, ...]]:
        return [tuple(int(row[column]) for column in columns) for row in rows]

    sql = f"""SELECT epoch, data->>'from_level' AS from_level, data->>'to_level' AS to_level FROM raw_events
    WHERE run_dir = '{run}' AND event_type = 'SEED_INTERNAL_LEVEL_CHANGED' AND slot_id = '{slot}'
    AND (data->>'env_id')::INT = {env} ORDER BY timestamp LIMIT 3"""
    return Question(
        kind="since",
        asks=f"What did `{slot}` of environment {env} of `{run}` do first?",
        run=run,
        calls=[Call("seed_internal_levels", {"run_dir": run, "env_id": env, "slot_id": slot, "limit": 3})],
        text=lambda texts: read(text_rows(texts[0])),
        data=lambda contents: read(data_rows(contents[0])),
        truth=truth,
        old=Old([sql], lambda answers: read(answers[0])),
        shown=True,
    )


FOUR = [(env, slot) for env in (0, 1) for slot in ("r0c0", "r0c1")]
QUESTIONS = [
    whether("oscillate", None, "Is `oscillate` thrashing?", shown=True),
    whether("heuristic", None, "Is `heuristic` thrashing?", shown=True),
    whether("flip", "thrashing", "Is a policy thrashing that reverses every op?"),
    whether("crowd", "not_thrashing", "Is a policy thrashing that flips a coin in 40 slots?"),
    whether(
        "two",
        "insufficient_data",
        "Is a policy thrashing whose seeds have one level, so that each op must reverse the last?",
        lacks="wrong: calls it thrashing, at a rate of 1.00",
    ),
    whether("idle", "insufficient_data", "Is a policy thrashing that does no internal op?"),
    which("oscillate", None, "Which slots of `oscillate` thrash?"),
    which("heuristic", None, "Which slots of `heuristic` thrash?"),
    which("late", {(1, "r0c1")}, "Which of 6 slots thrashes, where only one reverses its ops?"),
    which(
        "crowd",
        set(),
        "Which of 40 coin-flipping slots thrash?",
        lacks="wrong: names {n} slots that chance made",
    ),
    how_sure("oscillate", 0, "r0c0"),
    ops_of_slots("oscillate"),
    first_ops("oscillate", 0, "r0c0"),
    since("oscillate", None, "Since when does each slot of `oscillate` thrash?"),
    since("heuristic", {}, "Since when does `heuristic` thrash?"),
    since("flip", dict.fromkeys(FOUR, ((0, 0), None)), "Since when, where every op reversed?"),
    since("late", {(1, "r0c1"): ((0, 40), None)}, "Since when, where it began at epoch 40?"),
    since("over", {(0, "r0c0"): ((0, 20), (0, 58))}, "Since when, and has it ended?"),
]
