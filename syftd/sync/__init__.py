"""The rooms a change walks through: own tree, publish, outbox; inbox, decide, apply; follow, mirror, propose, fetch."""
