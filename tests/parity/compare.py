"""Compares two sets of model fixtures: numbers that are counted must be equal, numbers that are computed nearly so."""

import math
from pathlib import Path

from safetensors.torch import load_file

from families import read_json

FAMILY_FILES = (
    "preprocess.json", "preprocess.safetensors", "prompts.json", "forward.json", "forward.safetensors", "generate.json",
    "train.json", "train.safetensors", "tokenizer_cases.json",
)  # fmt: skip
COMMON_FILES = ("preprocess_tables.json", "real_scale_preprocess.safetensors")

# Largest difference of computed values, relative where they are larger than one. The reference's own noise is below 1e-4.
TOLERANCE = 5e-4
# Values that measure rounding differ from run to run; these may only not grow.
NOISE = ("noise", "_max_abs")
NOISE_FACTOR, NOISE_FLOOR = 20.0, 1e-5
# Depend on machine and moment.
NOT_COMPARED = ("files", "total_bytes", "cpu_capability", "versions")


class Report:
    """The differences of one file."""

    def __init__(self):
        self.values = 0
        self.largest = (0.0, "")
        self.noise = (0.0, "")
        self.wrong: list[str] = []

    def number(self, where: str, found: float, expected: float) -> None:
        """Compares two computed numbers."""
        self.values += 1
        if any(word in where for word in NOISE):
            self.noise = max(self.noise, (found, where))
            if not found <= NOISE_FACTOR * expected + NOISE_FLOOR:
                self.wrong.append(f"{where}: {found} instead of {expected}")
            return
        difference = abs(found - expected) / max(1.0, abs(expected))
        if math.isnan(difference):
            self.wrong.append(f"{where}: {found} instead of {expected}")
        self.largest = max(self.largest, (difference, where))

    def json(self, where: str, found, expected) -> None:
        """Compares two JSON values, keys and lengths included."""
        if isinstance(found, dict) and isinstance(expected, dict):
            for key in found.keys() | expected.keys():
                if key in NOT_COMPARED:
                    continue
                if key in found and key in expected:
                    self.json(f"{where}.{key}", found[key], expected[key])
                else:
                    self.wrong.append(f"{where}.{key} is {'missing' if key in expected else 'new'}")
        elif isinstance(found, list) and isinstance(expected, list):
            if len(found) != len(expected):
                self.wrong.append(f"{where}: {len(found)} instead of {len(expected)} entries")
            for index in range(min(len(found), len(expected))):
                self.json(f"{where}[{index}]", found[index], expected[index])
        elif isinstance(found, float) and isinstance(expected, float):
            self.number(where, found, expected)
        else:
            self.values += 1
            if type(found) is not type(expected) or found != expected:
                self.wrong.append(f"{where}: {found!r} instead of {expected!r}")

    def tensors(self, found: dict, expected: dict) -> None:
        """Compares tensors by name."""
        for name in sorted(found.keys() ^ expected.keys()):
            self.wrong.append(f"{name} is {'missing' if name in expected else 'new'}")
        for name in sorted(found.keys() & expected.keys()):
            a, b = found[name], expected[name]
            self.values += a.numel()
            if a.shape != b.shape or a.dtype != b.dtype:
                self.wrong.append(f"{name}: {a.dtype} {tuple(a.shape)} instead of {b.dtype} {tuple(b.shape)}")
            elif not a.is_floating_point():
                if not a.equal(b):
                    self.wrong.append(f"{name}: {int((a != b).sum())} of {a.numel()} values differ")
            elif a.numel():
                difference = (a - b).abs() / b.abs().clamp(min=1.0)
                self.largest = max(self.largest, (float(difference.max()), name))
                if difference.isnan().any():
                    self.wrong.append(f"{name}: not a number")

    def good(self) -> bool:
        """Whether the two agree."""
        return not self.wrong and self.largest[0] <= TOLERANCE


def compare(found: Path, expected: Path, families) -> bool:
    """Prints the differences file by file; whether all are small."""
    good = True
    for name in [f"{family}/{file}" for family in families for file in FAMILY_FILES] + list(COMMON_FILES):
        report = Report()
        if not (found / name).exists() or not (expected / name).exists():
            report.wrong.append("the file is missing")
        elif name.endswith(".json"):
            report.json("", read_json(found / name), read_json(expected / name))
        else:
            report.tensors(load_file(found / name), load_file(expected / name))
        good &= report.good()
        line = f"{'ok ' if report.good() else 'BAD'} {name}: {report.values} values"
        line += f", largest difference {report.largest[0]:.1e}"
        line += f" at {report.largest[1]}" if report.largest[0] else ""
        line += f", noise up to {report.noise[0]:.1e} at {report.noise[1]}" if report.noise[1] else ""
        print(line)
        for wrong in report.wrong[:10]:
            print(f"      {wrong[:300]}")
        if len(report.wrong) > 10:
            print(f"      and {len(report.wrong) - 10} more")
    return good
