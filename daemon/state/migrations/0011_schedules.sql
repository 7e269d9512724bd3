-- What is done at times of the day: see daemon/schedules/
CREATE TABLE schedules (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,  -- an owner knows it by this: never used again
    request TEXT NOT NULL,                      -- JSON: domain.schedule.ScheduleRequest
    handled TEXT NOT NULL,                      -- ISO 8601, UTC: what was due up to here is done, or was skipped
    last    TEXT                                -- JSON: domain.schedule.ScheduleRun
) STRICT;
