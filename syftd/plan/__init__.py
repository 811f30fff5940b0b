"""Pure thought: values in, values out. Nothing here reads a disk, a database or a clock."""
