"""How it is written down for others: the network's messages, our optional extension keys, and hard limits on both."""
