"""The one place where error codes become exit statuses. Scripts rely on these numbers: add, never change."""

DONE = 0
FAILED = 1
INTERRUPTED = 130  # 128 + SIGINT, as shells count

EXIT_STATUS = {
    "failed": FAILED,
    "bad_model": FAILED,
    "unknown_launch": FAILED,
    "busy": FAILED,
    "state_failed": FAILED,
    "bad_usage": 2,
    "bad_config": 2,
    "unknown_model": 3,
    "does_not_fit": 4,
    "daemon_gone": 5,
    "engine_failed": 6,
    "download_failed": 7,
    "disk_full": 7,
}


def exit_status(code: str) -> int:
    """The exit status of an error ``code``; 1, failed, for one of a newer daemon."""
    return EXIT_STATUS.get(code, FAILED)
