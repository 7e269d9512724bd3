-- The launch at rest that a new one of its name replaces once it has served, as JSON of its columns
ALTER TABLE launches ADD COLUMN replaced TEXT;
