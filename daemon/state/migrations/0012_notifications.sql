-- What each target of notifications was told: see daemon/notifications/. URLs are in the owner's file alone.
CREATE TABLE notifications (
    target    TEXT PRIMARY KEY,
    cursor    INTEGER NOT NULL,     -- the id of the last event that is done with
    digested  TEXT NOT NULL,        -- ISO 8601, UTC: when the last digest was due
    told      TEXT NOT NULL,        -- JSON: kind, launch and count of what went wrong, and has not ended
    last_sent TEXT                  -- ISO 8601, UTC
) STRICT;
