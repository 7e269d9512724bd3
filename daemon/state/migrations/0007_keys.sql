-- Keys of clients that ask the gateway over the network; the key itself is known to nobody but its client
CREATE TABLE keys (
    name      TEXT PRIMARY KEY,
    id        TEXT NOT NULL,                -- the part of the key that is no secret, by which it is found
    hash      TEXT NOT NULL,                -- daemon.access.secret: scrypt with its parameters and its salt
    created   TEXT NOT NULL,                -- ISO 8601
    last_used TEXT
) STRICT;
-- What an owner switched on while the daemon ran
CREATE TABLE switches (
    name  TEXT PRIMARY KEY,                 -- lan: the gateway is open to the local network
    is_on INTEGER NOT NULL
) STRICT;
