"""From a plan to a running engine: command lines, discovery of engines, one child process."""
