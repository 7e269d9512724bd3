"""Test rigs: real things (a booted systemd, a vLLM) where a test would otherwise have to pretend."""
