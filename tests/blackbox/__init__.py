"""Daemons seen from outside: people write, read, delete and wait, and every observation must have an explanation."""
