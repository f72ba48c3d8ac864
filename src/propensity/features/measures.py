"""What the sweep can measure of the records in a slot, and what it must hold for each measure."""

MEASURES = (
    "count",
    "trend",
    "share",
    "sum",
    "days",
    "mean",
    "min",
    "max",
    "distinct",
    "recency",
    "since_first",
    "gap_mean",
    "gap_sd",
    "gap_last",
    "streak",
    "streak_longest",
)
(
    COUNT,
    TREND,
    SHARE,
    SUM,
    DAYS,
    MEAN,
    MIN,
    MAX,
    DISTINCT,
    RECENCY,
    SINCE_FIRST,
    GAP_MEAN,
    GAP_SD,
    GAP_LAST,
    STREAK,
    STREAK_LONGEST,
) = range(len(MEASURES))

OF_COUNTS = ("count", "trend", "share")
"""Measures that only ask how many records there are."""

ZERO_WITHOUT_RECORDS = ("count", "sum", "days", "trend", "distinct", "streak", "streak_longest")
"""Measures that are 0 where there is no record; the others are missing."""

ALL_TIME = ("since_first", "gap_mean", "gap_sd", "gap_last", "streak", "streak_longest")
"""Measures that look back over all time."""

NEEDS_TOTAL, NEEDS_LAST, NEEDS_DAYS, NEEDS_RANGE, NEEDS_FIRST, NEEDS_KEYS = 1, 2, 4, 8, 16, 32
NEEDS = {
    "sum": NEEDS_TOTAL,
    "mean": NEEDS_TOTAL,
    "min": NEEDS_RANGE,
    "max": NEEDS_RANGE,
    "days": NEEDS_DAYS,
    "gap_mean": NEEDS_DAYS,
    "gap_sd": NEEDS_DAYS,
    "gap_last": NEEDS_DAYS,
    "streak": NEEDS_DAYS,
    "streak_longest": NEEDS_DAYS,
    "recency": NEEDS_LAST,
    "since_first": NEEDS_FIRST,
    "distinct": NEEDS_KEYS,
}
"""What a slot must hold, besides the number of records, for a measure."""

NEEDS_TIME = NEEDS_LAST | NEEDS_DAYS | NEEDS_FIRST | NEEDS_KEYS
"""What is asked of records in the order of time; everything else adds up in any order."""
