"""Who survives heart failure? Kaplan-Meier curves and a small logistic regression, with the standard library only.

Usage: analysis.py TABLE.csv OUTPUT_FOLDER. Only figures of groups are written; groups of fewer than ten are left out.
"""

from __future__ import annotations

import csv
import json
import math
import sys
from pathlib import Path

Patient = dict[str, float]
SMALLEST_GROUP = 10


def read(table: Path) -> list[Patient]:
    with table.open(newline="", encoding="utf-8") as lines:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(lines)]


def survival(patients: list[Patient], day: float) -> float:
    """The Kaplan-Meier estimate of surviving `day` days; who left the study alive counts until then."""
    alive = 1.0
    for moment in sorted({p["time"] for p in patients if p["DEATH_EVENT"] and p["time"] <= day}):
        at_risk = sum(p["time"] >= moment for p in patients)
        died = sum(p["time"] == moment and p["DEATH_EVENT"] == 1 for p in patients)
        alive *= 1 - died / at_risk
    return alive


def standardised(patients: list[Patient], name: str) -> list[float]:
    values = [p[name] for p in patients]
    mean = sum(values) / len(values)
    spread = math.sqrt(sum((v - mean) ** 2 for v in values) / (len(values) - 1)) or 1.0
    return [(v - mean) / spread for v in values]


def odds_ratios(patients: list[Patient], names: list[str], rounds: int = 400) -> dict[str, float]:
    """Logistic regression of death by gradient ascent: the odds ratio of one standard deviation more of each name."""
    columns = [[1.0] * len(patients)] + [standardised(patients, name) for name in names]
    died = [p["DEATH_EVENT"] for p in patients]
    weights = [0.0] * len(columns)
    for _ in range(rounds):
        errors = [
            y - 1 / (1 + math.exp(-sum(w * c[i] for w, c in zip(weights, columns, strict=True))))
            for i, y in enumerate(died)
        ]
        for k, column in enumerate(columns):
            weights[k] += 2.0 * sum(e * x for e, x in zip(errors, column, strict=True)) / len(patients)
    return {name: round(math.exp(w), 2) for name, w in zip(names, weights[1:], strict=True)}


def main(table: Path, outputs: Path) -> None:
    patients = read(table)
    groups = {
        "ejection fraction up to 30 %": [p for p in patients if p["ejection_fraction"] <= 30],
        "ejection fraction above 30 %": [p for p in patients if p["ejection_fraction"] > 30],
    }
    result = {
        "patients": len(patients),
        "deaths": int(sum(p["DEATH_EVENT"] for p in patients)),
        "survival": {
            name: {"patients": len(group), **{f"{day} days": round(survival(group, day), 3) for day in (30, 90, 180)}}
            for name, group in groups.items()
            if len(group) >= SMALLEST_GROUP
        },
        "odds ratio of death per standard deviation": odds_ratios(
            patients, ["age", "ejection_fraction", "serum_creatinine", "serum_sodium"]
        ),
    }
    outputs.mkdir(exist_ok=True)
    (outputs / "result.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(f"{result['patients']} patients, {result['deaths']} deaths: result.json written")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
