"""System calls that no engine needs, refused by a filter of the kernel. Source: seccomp(2), and the calls in
systemd's sets @mount, @debug, @module, @keyring, @clock, @reboot, @swap and @raw-io.

A deny list: GPU drivers and their compilers use too many calls to name them all. Not pidfd_getfd: by it
PyTorch shares memory of GPUs between workers. libseccomp would need its library on the system.
"""

import ctypes
import errno
import os
import struct

# x86_64, aarch64; None where that architecture has no such call
REFUSED: dict[str, tuple[int | None, int | None]] = {
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "setns": (308, 268),
    "open_by_handle_at": (304, 265),
    "fanotify_init": (300, 262),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "adjtimex": (159, 171),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "syslog": (103, 116),
    "vhangup": (153, 58),
    "iopl": (172, None),
    "ioperm": (173, None),
    "modify_ldt": (154, None),
    "uselib": (134, None),
}
SECCOMP = 317, 277
CLONE, CLONE3, UNSHARE, IOCTL = (56, 220), (435, 435), (272, 97), (16, 29)
SOCKET, CONNECT, SENDTO, SENDMSG, SENDMMSG = (41, 198), (42, 203), (44, 206), (46, 211), (307, 269)
ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # column above, AUDIT_ARCH_*
X32 = 0x40000000  # calls of x86_64's 32 bit ABI

NAMESPACES = 0x7E020000  # CLONE_NEW*
FAST_OPEN = 0x20000000  # MSG_FASTOPEN connects
TIOCSTI, TIOCLINUX = 0x5412, 0x541C  # they type into a terminal
AF_UNIX, AF_INET, AF_INET6, AF_NETLINK = 1, 2, 10, 16
SOCK_STREAM, SOCK_TYPE_MASK, IPPROTO_TCP = 1, 0xF, 6

LOAD, AND, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x54, 0x15, 0x35, 0x45, 0x06
ALLOW, ERRNO = 0x7FFF0000, 0x00050000
FILTER_MODE = 1  # SECCOMP_SET_MODE_FILTER
SPECULATION_ALLOWED = 4  # else kernels before 5.16 slow down every process with a filter

Step = tuple[int, int, int, int]  # code, jump if true, jump if false, operand: sock_filter of linux/filter.h


def program(machine: str, *, connects: bool) -> tuple[Step, ...] | None:
    """The filter for that kind of CPU, ``None`` for one whose numbers of calls are not here. Without
    ``connects`` no connection can be opened, to a Unix socket neither."""
    if machine not in ARCHITECTURES:
        return None
    column, architecture = ARCHITECTURES[machine]
    steps: list[Step] = [_load(4), (EQUAL, 1, 0, architecture), _refuse(errno.ENOSYS), _load(0)]
    if machine == "x86_64":
        steps += [(AT_LEAST, 0, 1, X32), _refuse(errno.ENOSYS)]
    for numbers in REFUSED.values():
        if (number := numbers[column]) is not None:
            steps += _on(number, [_refuse(errno.EPERM)])
    # its flags are behind a pointer, where no filter can look: glibc falls back to clone
    steps += _on(CLONE3[column], [_refuse(errno.ENOSYS)])
    for call in (CLONE, UNSHARE):
        steps += _on(call[column], _refuse_bits(0, NAMESPACES))
    for call, argument in ((SENDTO, 3), (SENDMSG, 2), (SENDMMSG, 3)):
        steps += _on(call[column], _refuse_bits(argument, FAST_OPEN))
    steps += _on(IOCTL[column], _ioctl())
    steps += _on(SOCKET[column], _socket())
    if not connects:
        steps += _on(CONNECT[column], [_refuse(errno.EACCES)])
    return (*steps, (RETURN, 0, 0, ALLOW))


def install(*, connects: bool) -> bool:
    """For this process and its children, for good; false where kernel or CPU has no such filter. Needs
    no_new_privs."""
    steps = program(os.uname().machine, connects=connects)
    if steps is None:
        return False
    code = b"".join(struct.pack("=HBBI", *step) for step in steps)
    buffer = ctypes.create_string_buffer(code, len(code))
    filters = struct.pack("@HP", len(steps), ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    call = SECCOMP[ARCHITECTURES[os.uname().machine][0]]
    flags = ctypes.c_uint(SPECULATION_ALLOWED)
    if libc.syscall(ctypes.c_long(call), ctypes.c_uint(FILTER_MODE), flags, filters) == 0:
        return True
    if ctypes.get_errno() in (errno.EINVAL, errno.ENOSYS):  # CONFIG_SECCOMP_FILTER is not set
        return False
    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _load(offset: int) -> Step:
    """A word of struct seccomp_data: call at 0, architecture at 4, arguments of 8 bytes from 16."""
    return LOAD, 0, 0, offset


def _argument(number: int) -> Step:
    return _load(16 + 8 * number)  # the low half: both architectures are little-endian


def _refuse(number: int) -> Step:
    return RETURN, 0, 0, ERRNO | number


def _on(call: int, steps: list[Step]) -> list[Step]:
    """``steps`` decide on ``call``; they are skipped for any other."""
    return [(EQUAL, 0, len(steps), call), *steps]


def _refuse_bits(argument: int, bits: int) -> list[Step]:
    return [_argument(argument), (ANY_BIT, 0, 1, bits), _refuse(errno.EPERM), (RETURN, 0, 0, ALLOW)]


def _ioctl() -> list[Step]:
    typed: list[Step] = [(EQUAL, 1, 0, TIOCSTI), (EQUAL, 0, 1, TIOCLINUX)]
    return [_argument(1), *typed, _refuse(errno.EPERM), (RETURN, 0, 0, ALLOW)]


def _socket() -> list[Step]:
    """Unix, netlink (lists of devices and addresses) and TCP. Not UDP: its destinations can't be limited. Not
    MPTCP: landlock does not see it as TCP."""
    return [
        _argument(0),
        (EQUAL, 10, 0, AF_UNIX),
        (EQUAL, 9, 0, AF_NETLINK),
        (EQUAL, 1, 0, AF_INET),
        (EQUAL, 0, 6, AF_INET6),
        _argument(1),
        (AND, 0, 0, SOCK_TYPE_MASK),
        (EQUAL, 0, 3, SOCK_STREAM),
        _argument(2),
        (EQUAL, 2, 0, 0),
        (EQUAL, 1, 0, IPPROTO_TCP),
        _refuse(errno.EACCES),
        (RETURN, 0, 0, ALLOW),
    ]
