-- A pull has a number of its own: two quants of a model are two pulls. "terms" is called "policy" now
ALTER TABLE pulls RENAME TO pulls_by_model;
CREATE TABLE pulls (
    id      INTEGER PRIMARY KEY,            -- as the API counts pulls
    request TEXT NOT NULL,                  -- daemon.state.records.PullRequest as JSON; a URL in it may hold a password
    weights TEXT                            -- domain.model.Weights as JSON, once its files are known
) STRICT;
INSERT INTO pulls (request)
    SELECT CASE WHEN json_valid(body)
        THEN json_remove(json_set(body, '$.policy', json_extract(body, '$.terms')), '$.terms')
        ELSE body END
    FROM pulls_by_model ORDER BY rowid;
DROP TABLE pulls_by_model;
