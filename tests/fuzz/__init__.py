"""Fuzzing of what others write: files, servers, engines, drivers, clients and owners. See CONTRIBUTING.md."""
