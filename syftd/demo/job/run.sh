#!/usr/bin/env bash
# The data lies read-only at /data/<name>/; what is written to outputs/ is what the data owner may release.
set -euo pipefail
exec python3 analysis.py "${1:-/data/heart_failure/heart_failure.csv}" outputs
