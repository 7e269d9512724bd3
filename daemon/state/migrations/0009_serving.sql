-- When a launch is served, as JSON of domain.serving; parked: a request starts it
ALTER TABLE launches ADD COLUMN serving TEXT;
ALTER TABLE launches ADD COLUMN parked INTEGER NOT NULL DEFAULT 0;
