"""Moving bytes between people: mailboxes and the router over them. Knows nothing of files, rules or message formats."""
