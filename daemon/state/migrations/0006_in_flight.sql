-- What the daemon does now that its death may be due to, stored before it begins: see daemon/quarantine/
CREATE TABLE in_flight (
    kind     TEXT NOT NULL,                 -- launch, pull, job
    name     TEXT NOT NULL,                 -- of the launch or the job; the number of the pull
    doing    TEXT NOT NULL,                 -- in words, for the owner
    boot_id  TEXT,
    sequence INTEGER NOT NULL,              -- the highest one began last
    running  INTEGER NOT NULL,              -- 0: it waits, or the daemon was told to stop meanwhile
    deaths   INTEGER NOT NULL DEFAULT 0,    -- of daemons while it ran
    reboots  INTEGER NOT NULL DEFAULT 0,    -- without a shutdown, while it ran
    poison   INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (kind, name)
) STRICT;
