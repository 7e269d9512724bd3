"""The kinds of events, each with the level that notifications and ``node-ctl status`` go by."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Self


class Level(StrEnum):
    """``ERROR``: something isn't served, or its owner must act; ``WARNING``: something went wrong, and was
    dealt with or is watched; ``INFO``: all else."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"

    @property
    def rank(self) -> int:
        return list(Level).index(self)


class EventKind(StrEnum):
    """A kind is stored by its value. It keeps that: older events have it."""

    level: Level

    def __new__(cls, value: str, level: Level = Level.INFO) -> Self:
        kind = str.__new__(cls, value)
        kind._value_ = value
        kind.level = level
        return kind

    # A launch
    READY = "ready"
    ADOPTED = "adopted"
    STOPPED = "stopped"
    RESTARTED = "restarted"
    DISPLACED = "displaced", Level.WARNING
    YIELDED = "yielded"
    HELD = "held", Level.WARNING
    RELEASED = "released"
    DIED = "died", Level.WARNING
    FAILING = "failing", Level.ERROR
    FAILED = "failed", Level.ERROR
    QUARANTINED = "quarantined", Level.ERROR
    UNHEALTHY = "unhealthy", Level.WARNING
    SLOW = "slow", Level.WARNING
    FAST_AGAIN = "fast_again"
    REDUCED = "reduced", Level.WARNING
    LADDER_ENDED = "ladder_ended", Level.ERROR
    CLIMBING = "climbing"
    REPLANNED = "replanned"
    TUNED = "tuned"
    PROVEN = "proven"
    PROOF_FAILED = "proof_failed", Level.WARNING
    ENGINE_STUCK = "engine_stuck", Level.ERROR
    ENGINE_GONE = "engine_gone"
    CONVERSATIONS_LOST = "conversations_lost", Level.WARNING
    MEMORY_KEPT = "memory_kept", Level.WARNING
    MEMORY_BACK = "memory_back"
    # Weights
    DOWNLOAD_STARTED = "download_started"
    DOWNLOAD_PROGRESS = "download_progress"
    DOWNLOAD_PAUSED = "download_paused"
    DOWNLOAD_RESUMED = "download_resumed"
    DOWNLOAD_STOPPED = "download_stopped"
    DOWNLOAD_FAILED = "download_failed", Level.ERROR
    DOWNLOAD_DONE = "download_done"
    WEIGHTS_DAMAGED = "weights_damaged", Level.ERROR
    WEIGHTS_REMOVED = "weights_removed"
    WEIGHTS_UNMOUNTED = "weights_unmounted", Level.ERROR
    WEIGHTS_MOUNTED = "weights_mounted"
    CATALOGUE_UPDATED = "catalogue_updated"
    CATALOGUE_REJECTED = "catalogue_rejected", Level.WARNING
    # The machine
    DEVICE_CAME = "device_came"
    DEVICE_GONE = "device_gone", Level.WARNING
    DEVICE_CHANGED = "device_changed"
    DEVICE_WEDGED = "device_wedged", Level.ERROR
    DISK_LOW = "disk_low", Level.WARNING
    DISK_OK = "disk_ok"
    GPU_LOST = "gpu_lost", Level.ERROR
    GPU_BACK = "gpu_back"
    GPU_FAULT = "gpu_fault", Level.WARNING
    OOM_KILL = "oom_kill", Level.WARNING
    THROTTLED = "throttled", Level.WARNING
    MEMORY_SHORT = "memory_short", Level.WARNING
    HOT = "hot", Level.WARNING
    COOLER = "cooler"
    COOL = "cool"
    TENANT_CAME = "tenant_came"
    TENANT_LEFT = "tenant_left"
    SENSORS_HANG = "sensors_hang", Level.WARNING
    SENSORS_ANSWER = "sensors_answer"
    CLOCK_JUMPED = "clock_jumped"
    RESUMED = "resumed"
    MACHINE_DIED = "machine_died", Level.WARNING
    # Schedules
    SCHEDULE_DONE = "schedule_done"
    SCHEDULE_FAILED = "schedule_failed", Level.ERROR
    SCHEDULE_SKIPPED = "schedule_skipped", Level.WARNING
    # The daemon
    DAEMON_DIED = "daemon_died", Level.WARNING
    RESTORE_FAILED = "restore_failed", Level.ERROR
    JOB_FAILED = "job_failed", Level.WARNING
    SETTINGS_REJECTED = "settings_rejected", Level.WARNING
    STATE_RECOVERED = "state_recovered", Level.WARNING
    STATE_WRITABLE = "state_writable"
    REPAIRED = "repaired", Level.WARNING
    UNREADABLE = "unreadable", Level.WARNING
    TELEMETRY_PAUSED = "telemetry_paused", Level.WARNING
    TELEMETRY_RESUMED = "telemetry_resumed"
    TELEMETRY_LOST = "telemetry_lost", Level.WARNING
    SOCKET_GONE = "socket_gone", Level.WARNING
    SOCKET_BACK = "socket_back"
    GATEWAY_DOWN = "gateway_down", Level.ERROR
    GATEWAY_UP = "gateway_up"
    LAN_ON = "lan_on"
    LAN_OFF = "lan_off"
    KEY_ADDED = "key_added"
    KEY_REVOKED = "key_revoked"
    NOTIFY_FAILED = "notify_failed", Level.WARNING
    NOTIFY_BACK = "notify_back"


# What ends that which a warning or an error told, or is done about it.
REMEDIES = frozenset(
    {
        EventKind.RESTARTED,
        EventKind.RELEASED,
        EventKind.REPLANNED,
        EventKind.FAST_AGAIN,
        EventKind.CLIMBING,
        EventKind.ENGINE_GONE,
        EventKind.MEMORY_BACK,
        EventKind.DOWNLOAD_RESUMED,
        EventKind.WEIGHTS_MOUNTED,
        EventKind.DISK_OK,
        EventKind.GPU_BACK,
        EventKind.COOLER,
        EventKind.COOL,
        EventKind.SENSORS_ANSWER,
        EventKind.STATE_WRITABLE,
        EventKind.SOCKET_BACK,
        EventKind.GATEWAY_UP,
        EventKind.NOTIFY_BACK,
    }
)

# What each of these ends, or does about it: who was told of the one is told of the other.
ENDS: Mapping[str, frozenset[EventKind]] = {
    EventKind.READY: frozenset(
        {
            EventKind.DIED,
            EventKind.FAILING,
            EventKind.FAILED,
            EventKind.HELD,
            EventKind.QUARANTINED,
            EventKind.UNHEALTHY,
            EventKind.MEMORY_SHORT,
        }
    ),
    EventKind.RESTARTED: frozenset({EventKind.DIED, EventKind.FAILING, EventKind.UNHEALTHY}),
    EventKind.REPLANNED: frozenset({EventKind.DIED, EventKind.FAILING, EventKind.FAILED}),
    EventKind.RELEASED: frozenset({EventKind.HELD}),
    EventKind.FAST_AGAIN: frozenset({EventKind.SLOW}),
    EventKind.CLIMBING: frozenset({EventKind.REDUCED, EventKind.LADDER_ENDED}),
    EventKind.ENGINE_GONE: frozenset({EventKind.ENGINE_STUCK}),
    EventKind.MEMORY_BACK: frozenset({EventKind.MEMORY_KEPT}),
    EventKind.DOWNLOAD_RESUMED: frozenset({EventKind.DOWNLOAD_FAILED}),
    EventKind.DOWNLOAD_DONE: frozenset({EventKind.DOWNLOAD_FAILED}),
    EventKind.WEIGHTS_MOUNTED: frozenset({EventKind.WEIGHTS_UNMOUNTED}),
    EventKind.DISK_OK: frozenset({EventKind.DISK_LOW}),
    EventKind.GPU_BACK: frozenset({EventKind.GPU_LOST, EventKind.GPU_FAULT, EventKind.DEVICE_WEDGED}),
    EventKind.DEVICE_CAME: frozenset({EventKind.DEVICE_GONE}),
    EventKind.COOLER: frozenset({EventKind.HOT}),
    EventKind.COOL: frozenset({EventKind.HOT}),
    EventKind.SENSORS_ANSWER: frozenset({EventKind.SENSORS_HANG}),
    EventKind.STATE_WRITABLE: frozenset({EventKind.DISK_LOW}),
    EventKind.SOCKET_BACK: frozenset({EventKind.SOCKET_GONE}),
    EventKind.GATEWAY_UP: frozenset({EventKind.GATEWAY_DOWN}),
    EventKind.TELEMETRY_RESUMED: frozenset({EventKind.TELEMETRY_PAUSED}),
}
# Of these, what does something about it, and is not yet its end.
UNDER_WAY = frozenset({EventKind.RESTARTED, EventKind.REPLANNED, EventKind.CLIMBING, EventKind.COOLER})
# About notifications: told by node-ctl, never by a notification, which would be about itself.
NEVER_NOTIFIED = frozenset({EventKind.NOTIFY_FAILED, EventKind.NOTIFY_BACK})


def level_of(kind: str) -> Level:
    """``INFO`` for a kind that another version wrote."""
    try:
        return EventKind(kind).level
    except ValueError:
        return Level.INFO
