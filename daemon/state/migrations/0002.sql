CREATE TABLE weights (
    name        TEXT PRIMARY KEY,           -- as node-ctl models lists it
    pinned      INTEGER NOT NULL DEFAULT 0,
    used_at     TEXT,
    verified_at TEXT,
    damaged     TEXT                        -- what the last verify found wrong
) STRICT;

CREATE TABLE pulls (
    model TEXT PRIMARY KEY,                 -- as it was asked for: a pull that is under way comes back
    body  TEXT NOT NULL                     -- daemon.records.PullRequest as JSON
) STRICT;
