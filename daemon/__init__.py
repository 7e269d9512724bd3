"""Where side effects meet: use cases, supervision, store, jobs, API."""
