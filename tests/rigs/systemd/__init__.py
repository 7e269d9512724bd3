"""A real systemd as PID 1 of a throwaway box; tests use ``box.Box``. Needs root, systemd, dbus, polkit."""
