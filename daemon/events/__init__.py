"""Events: the event log, progress logs, and the broadcast that wakes their followers."""
