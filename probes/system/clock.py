"""Whether the clock of this machine follows a time server."""

import ctypes

# A clock below this possible error is disciplined by something; above it nobody does
# (systemd src/basic/time-util.c, ntp_synced)
LARGEST_ERROR_US = 16_000_000
ROOM_BYTES = 512  # struct timex has 208 bytes on 64-bit machines


class _Timex(ctypes.Structure):
    """The first fields of struct timex (linux/timex.h). With modes 0 the kernel only writes to it."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("frequency", ctypes.c_long),
        ("maximum_error_us", ctypes.c_long),
        ("rest", ctypes.c_char * ROOM_BYTES),
    )


def synchronised() -> bool | None:
    """``None`` where the kernel may not be asked: a sandbox that protects the clock forbids that, too."""
    told = _Timex()
    try:
        state = ctypes.CDLL(None).adjtimex(ctypes.byref(told))
    except AttributeError:  # not Linux
        return None
    return None if state < 0 else bool(told.maximum_error_us < LARGEST_ERROR_US)
