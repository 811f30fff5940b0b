"""Jobs: what others ask to run beside the owner's data, and what we asked others to run.

A job is a folder in a datasite; its place is its identity. This package reads and changes files only through
`syftd.tree`, and knows nothing of how they travel.
"""
