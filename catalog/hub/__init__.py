"""The model hub: listings, headers by range, search, errors, retries, and a cache of what it said."""
