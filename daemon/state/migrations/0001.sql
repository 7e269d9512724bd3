CREATE TABLE launches (
    name        TEXT PRIMARY KEY,
    request     TEXT NOT NULL,              -- daemon.records.Request as JSON
    desired     INTEGER NOT NULL,           -- 1: comes back after a crash, a restart, a reboot
    plan        TEXT,                       -- domain.plan.Plan as JSON
    fingerprint TEXT,                       -- what the plan was made for: another one makes it stale
    ready       TEXT,                       -- launchers' Ready as JSON; NULL: never answered
    reused      TEXT NOT NULL DEFAULT '[]',
    state       TEXT NOT NULL,
    since       TEXT NOT NULL,
    restarts    INTEGER NOT NULL DEFAULT 0,
    last_error  TEXT,
    created_at  TEXT NOT NULL
) STRICT;

CREATE TABLE runs (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    launch         TEXT NOT NULL,
    command        TEXT NOT NULL,           -- launchers' Command as JSON: how to stop what survives us
    port           INTEGER NOT NULL,
    pid            INTEGER,
    start_ticks    INTEGER,                 -- with the pid: this very process, not a later one of that number
    engine_version TEXT,
    started_at     TEXT NOT NULL,
    ended_at       TEXT,
    outcome        TEXT
) STRICT;
CREATE INDEX runs_open ON runs (launch) WHERE ended_at IS NULL;

CREATE TABLE facts (
    key         TEXT PRIMARY KEY,
    value       TEXT NOT NULL,
    boot_id     TEXT,                       -- set where a reboot makes the fact stale
    measured_at TEXT NOT NULL
) STRICT;

CREATE TABLE events (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    at      TEXT NOT NULL,
    kind    TEXT NOT NULL,
    launch  TEXT,
    message TEXT NOT NULL
) STRICT;
