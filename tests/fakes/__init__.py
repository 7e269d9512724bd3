"""Stand-ins for what tests can not have: real servers on real sockets, with canned answers."""
