"""The SQL behind the plot of levels. ``$1`` is the run; ``$2`` environments and ``$3`` slots, in pairs."""

from __future__ import annotations

MAX_CHANGES = 20_000
"""Level changes and lifecycle events taken of one slot, the last ones: a picture shows no more."""

EPISODES = """
    WITH slots AS (SELECT unnest($2::INTEGER[]) AS env_id, unnest($3::VARCHAR[]) AS slot_id),

    places AS (
        SELECT env_id, episode_idx, epoch FROM epochs WHERE run_dir = $1
        UNION ALL
        -- What an op changed is to be seen for an epoch at least.
        SELECT env_id, episode_idx, epoch + 1 FROM seed_internal_levels WHERE run_dir = $1
    )

    SELECT env_id, episode_idx, greatest(max(epoch), 1) AS length
    FROM places
    WHERE
        epoch IS NOT NULL
        AND EXISTS (SELECT 1 FROM slots WHERE slots.env_id IS NOT DISTINCT FROM places.env_id)
    GROUP BY env_id, episode_idx
    ORDER BY env_id, episode_idx NULLS FIRST"""
"""Of the slots' environments, in order."""

CHANGES = f"""
    WITH slots AS (SELECT unnest($2::INTEGER[]) AS env_id, unnest($3::VARCHAR[]) AS slot_id),

    found AS (
        SELECT
            env_id, slot_id, episode_idx, seed_id, epoch, 'changed' AS kind, from_level, to_level, rank, seq,
            file_offset
        FROM seed_internal_levels
        WHERE run_dir = $1
        UNION ALL
        SELECT
            env_id,
            slot_id,
            episode_idx,
            seed_id,
            epoch,
            CASE event_type
                WHEN 'SEED_GERMINATED' THEN 'germinated'
                WHEN 'SEED_PRUNED' THEN 'pruned'
                ELSE 'fossilized'
            END,
            level,
            level,
            rank,
            seq,
            file_offset
        FROM live.seed_lifecycle
        WHERE run_dir = $1 AND event_type IN ('SEED_GERMINATED', 'SEED_PRUNED', 'SEED_FOSSILIZED')
    )

    SELECT found.*
    FROM found
    JOIN slots
        ON found.env_id IS NOT DISTINCT FROM slots.env_id
        AND found.slot_id IS NOT DISTINCT FROM slots.slot_id
    WHERE found.epoch IS NOT NULL
    QUALIFY row_number() OVER (
        PARTITION BY found.env_id, found.slot_id
        ORDER BY found.rank DESC NULLS LAST, found.seq DESC NULLS LAST, found.file_offset DESC
    ) <= {MAX_CHANGES}
    ORDER BY found.rank NULLS FIRST, found.seq NULLS FIRST, found.file_offset"""

REVERSALS = f"""
    WITH slots AS (SELECT unnest($2::INTEGER[]) AS env_id, unnest($3::VARCHAR[]) AS slot_id)

    SELECT p.env_id, p.slot_id, p.episode_idx, p.epoch, p.middle_level, p.free
    FROM op_pairs AS p
    JOIN slots
        ON p.env_id IS NOT DISTINCT FROM slots.env_id
        AND p.slot_id IS NOT DISTINCT FROM slots.slot_id
    WHERE p.run_dir = $1 AND p.reversal AND p.epoch IS NOT NULL
    QUALIFY row_number() OVER (
        PARTITION BY p.env_id, p.slot_id
        ORDER BY p.rank DESC NULLS LAST, p.seq DESC NULLS LAST, p.file_offset DESC
    ) <= {MAX_CHANGES}
    ORDER BY p.rank NULLS FIRST, p.seq NULLS FIRST, p.file_offset"""
