"""What a change costs when there are many files and many peers: counts of calls, rows and steps, and what they take.

    python -m tests.scale [--quick]

The engine, its database (a file, as in a daemon), its disk and its router are the production ones; the transport is the
one in memory, and the control thread and its pools take turns in one thread. What is made up, and why it may be:

- A million files are rows, written straight into the tables `file`, `view` and `told`. They are not on the disk, so no
  walk of the whole tree is made (that is measured by ``make bench``, by its own clock); whatever changes is on the disk.
- Peers are rows and boxes on the transport. They read what lies for them by removing it, as a peer's acknowledgement
  does; their own engines do not run, except for the one that is measured.
- Views are 2,000,000 rows at the most: with more peers each has been shown fewer of the files.
"""
