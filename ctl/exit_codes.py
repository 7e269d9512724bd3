"""Maps error codes to exit statuses. Scripts rely on the numbers: add to them, never change them."""

DONE = 0
FAILED = 1
INTERRUPTED = 130  # 128 + SIGINT, as in shells

EXIT_STATUS = {
    "failed": FAILED,
    "bad_model": FAILED,
    "bad_catalogue": FAILED,
    "unknown_launch": FAILED,
    "busy": FAILED,
    "not_permitted": FAILED,
    "state_failed": FAILED,
    "worker_lost": FAILED,
    "bad_usage": 2,
    "bad_config": 2,
    "unknown_model": 3,
    "does_not_fit": 4,
    "daemon_gone": 5,
    "engine_failed": 6,
    "engine_refused": 6,
    "download_failed": 7,
    "disk_full": 7,
}


def exit_status(code: str) -> int:
    """The exit status for an error ``code``; 1 for one that only a newer daemon has."""
    return EXIT_STATUS.get(code, FAILED)
