"""What we remember: one SQLite database, one module per table, verbs without policy.

The control thread owns the only writing connection. Everything here can be rebuilt from the disk and the transport
except sequence counters, verdicts and decisions about jobs and peers.
"""
