-- What a key may do: keys that were made before may do all
ALTER TABLE keys ADD COLUMN models TEXT NOT NULL DEFAULT '[]';          -- JSON: names of launches, none for all
ALTER TABLE keys ADD COLUMN priority TEXT NOT NULL DEFAULT 'interactive';
ALTER TABLE keys ADD COLUMN rate TEXT;                                  -- 60/min, 100000 tokens/hour
