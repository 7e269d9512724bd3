"""The child that holds the testbed: a line of JSON in, ``["uevent", DEVICE, "change"]``, a line out."""

import ctypes
import json
import sys

OBJECT, TEXT, FLAG = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
LIBRARY = ctypes.CDLL("libumockdev.so.0")

# Name -> how many texts it takes, whether it ends in a GError** and then returns whether it worked
CALLS = {
    "add_from_file": (1, True),
    "add_from_string": (1, True),
    "set_attribute": (3, False),
    "set_property": (3, False),
    "uevent": (2, False),
    "remove_device": (1, False),
}


def main() -> None:
    new, root = LIBRARY.umockdev_testbed_new, LIBRARY.umockdev_testbed_get_root_dir
    new.restype, root.argtypes, root.restype = OBJECT, [OBJECT], TEXT
    testbed = new()
    say({"ok": root(testbed).decode()})
    for line in sys.stdin:
        name, *texts = json.loads(line)
        say({"ok": name} if call(testbed, name, texts) else {"error": f"{name} failed"})
    unref = ctypes.CDLL("libgobject-2.0.so.0").g_object_unref
    unref.argtypes = [OBJECT]
    unref(testbed)


def call(testbed: int, name: str, texts: list[str]) -> bool:
    count, may_fail = CALLS[name]
    function = getattr(LIBRARY, f"umockdev_testbed_{name}")
    function.argtypes = [OBJECT, *[TEXT] * count, *[OBJECT] * may_fail]
    function.restype = FLAG if may_fail else None
    done = function(testbed, *(text.encode() for text in texts), *[None] * may_fail)
    return bool(done) if may_fail else True


def say(answer: dict[str, str]) -> None:
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
