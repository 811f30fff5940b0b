"""Speed and weight, measured: `python -m tests.bench` or `make bench`."""
