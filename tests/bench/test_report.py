"""The benchmark's own arithmetic: a target that cannot be missed would make every figure worthless."""

from __future__ import annotations

import json

from tests.bench.report import Report, Row, percentile, summary


def test_percentiles_are_values_that_were_measured() -> None:
    values = [float(n) for n in range(1, 21)]
    assert percentile(values, 0.95) == 19
    assert percentile(values, 0.5) == 10
    assert percentile([3.0], 0.95) == 3
    assert summary([2.0, 9.0, 1.0]) == (2, 1, 9)


def test_a_target_against_a_peer_is_met_missed_or_open() -> None:
    assert Row("g", "n", 5, "s", peer="P", peer_value=100, ratio_limit=0.06).met is True
    assert Row("g", "n", 7, "s", peer="P", peer_value=100, ratio_limit=0.06).met is False
    assert Row("g", "n", 7, "s", ratio_limit=0.06).met is None
    assert Row("g", "n", 7, "s").met is None


def test_a_target_in_the_unit_is_met_or_missed() -> None:
    assert Row("g", "n", 200, "ms", limit=200).met is True
    assert Row("g", "n", 201, "ms", limit=200).met is False


def test_the_report_names_what_was_missed_and_what_failed() -> None:
    report = Report({"filesystem": "tmpfs"}, [Row("g", "slow", 2, "s", limit=1)], {"idle": "TimeoutError: late"})
    assert [row.name for row in report.missed] == ["slow"]
    assert "MISSED" in report.table()
    assert "idle could not be measured: TimeoutError: late" in report.table()
    assert json.loads(report.document())["rows"][0]["met"] is False
