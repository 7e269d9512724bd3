"""What happened: the event log, progress logs, and how followers are woken."""
