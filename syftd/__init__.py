"""syftd: a per-user daemon that shares datasites and runs reviewed jobs beside private data."""

__version__ = "0.1.0"
