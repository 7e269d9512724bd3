"""The daemon: use cases, supervision, store, jobs, API."""
