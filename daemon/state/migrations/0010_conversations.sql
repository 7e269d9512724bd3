-- Conversations of launches that files hold as their engine had them
CREATE TABLE conversations (
    launch        TEXT NOT NULL,
    file          TEXT NOT NULL,            -- a bare name in the folder of the launch
    identity      TEXT NOT NULL,            -- what an engine must have in common to take it back
    chain         BLOB NOT NULL,            -- digests of its messages, 8 bytes each
    text_bytes    INTEGER NOT NULL,
    tokens        INTEGER NOT NULL,
    prompt_tokens INTEGER,
    size_bytes    INTEGER NOT NULL,
    used_at       REAL NOT NULL,            -- seconds since 1970
    PRIMARY KEY (launch, file)
) STRICT;
