"""What an engine may do: landlock, seccomp and limits, set in its process before it is executed."""
