"""Whether the clock of this machine is synchronised with a time server."""

import ctypes

# A clock with a smaller maximum error is synchronised (systemd src/basic/time-util.c, ntp_synced)
MAX_ERROR_US = 16_000_000
BUFFER_BYTES = 512  # struct timex has 208 bytes on 64-bit machines


class _Timex(ctypes.Structure):
    """The first fields of struct timex (linux/timex.h). With modes 0 the kernel only writes to it."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("frequency", ctypes.c_long),
        ("maximum_error_us", ctypes.c_long),
        ("rest", ctypes.c_char * BUFFER_BYTES),
    )


def is_synchronised() -> bool | None:
    """None if the call is not permitted: a sandbox that protects the clock denies reading it, too."""
    timex = _Timex()
    try:
        state = ctypes.CDLL(None).adjtimex(ctypes.byref(timex))
    except AttributeError:  # not Linux
        return None
    return None if state < 0 else bool(timex.maximum_error_us < MAX_ERROR_US)
