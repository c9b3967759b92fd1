-- title: Missing and repeated events
-- description: Where the sequence numbers of a file skip or repeat. A gap that the writer recorded itself (disk full) has a reason.
-- grain: one row per gap or repeat
-- key: filename, kind, first_seq
-- column run_dir: the run
-- column filename: event file, relative to the telemetry folder
-- column rank: process that wrote it
-- column kind: gap, replayed or repeat; replayed is a gap of what a resumed training has written anew since: nothing is missing
-- column first_seq: first missing, or the repeated, seq
-- column last_seq: last missing, or the repeated, seq
-- column event_count: events missing, or times too many
-- column before_timestamp: when the next event after it was written, UTC
-- column reason: what the writer said of it; null if it could say nothing
WITH steps AS (
    SELECT
        run_dir,
        filename,
        rank,
        seq,
        timestamp,
        coalesce(lag(seq) OVER (PARTITION BY filename ORDER BY seq, file_offset), -1) AS previous
    FROM events
    WHERE seq IS NOT NULL
),

gaps AS (
    SELECT
        run_dir,
        filename,
        rank,
        'gap' AS kind,
        previous + 1 AS first_seq,
        seq - 1 AS last_seq,
        seq - 1 - previous AS event_count,
        timestamp AS before_timestamp
    FROM steps
    WHERE seq > previous + 1
    UNION ALL
    SELECT
        run_dir,
        filename,
        any_value(rank),
        'repeat',
        seq,
        seq,
        count(*),
        min(timestamp)
    FROM steps
    WHERE seq = previous
    GROUP BY run_dir, filename, seq
),

environments AS (
    SELECT
        event.filename,
        event.attempt,
        min(event.seq) FILTER (
            event.episode_idx > point.episode_idx
            OR (event.episode_idx = point.episode_idx AND event.epoch > point.epoch)
        ) AS replayed_from,
        max(event.seq) AS last_seq
    FROM ev.epoch_completed AS event
    LEFT JOIN tail.resume_points AS point
        ON point.filename = event.filename
        AND point.attempt > event.attempt
        AND point.event_type IS NULL
        AND coalesce(point.env_id = event.env_id, true)
    WHERE event.filename IN (SELECT filename FROM tail.resume_points)
    GROUP BY event.filename, event.attempt, event.env_id
),

-- Where each environment of an attempt is past the checkpoint that a later one began with, all was done again.
replays AS (
    SELECT filename, max(replayed_from) AS first_seq, max(last_seq) AS last_seq
    FROM environments
    GROUP BY filename, attempt
    HAVING count(*) = count(replayed_from)
)

SELECT
    gaps.* REPLACE (
        CASE
            WHEN
                gaps.kind = 'gap' AND EXISTS (
                    SELECT 1
                    FROM replays
                    WHERE
                        replays.filename = gaps.filename
                        AND replays.first_seq < gaps.first_seq
                        AND replays.last_seq > gaps.last_seq
                )
                THEN 'replayed'
            ELSE gaps.kind
        END AS kind
    ),
    (
        SELECT any_value(dropped.reason)
        FROM ev.events_dropped AS dropped
        WHERE
            dropped.filename = gaps.filename
            AND dropped.first_seq <= gaps.last_seq
            AND dropped.last_seq >= gaps.first_seq
    ) AS reason
FROM gaps
