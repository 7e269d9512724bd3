"""Downloads: a child process per set of files, resumable, throttled, verified."""
