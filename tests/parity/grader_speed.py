"""How much faster our rules are than mathruler and math-verify, on the same answers, one after the other in one run.

    pip install mathruler==0.1.0 math-verify==0.9.0 latex2sympy2_extended==1.11.0 sympy==1.14.0 pylatexenc tqdm
    python tests/parity/grader_speed.py

Ours is timed by `cargo bench -p seethink-reward --bench judge`; theirs here, without their timeouts. Both are single-threaded. They take
turns, so that what else the machine does meets both, and theirs has seen all the answers before, which SymPy remembers; how long it takes
the first time is printed beside.
"""

import json
import pathlib
import statistics
import subprocess
import time

from math_verify import parse, verify
from mathruler.grader import grade_answer

ROOT = pathlib.Path(__file__).resolve().parents[2]
LONGEST = 200
ROUNDS = 7


def answers(rule):
    """Truths and answers of the fixture's cases of a rule, those that the benchmark takes."""
    lines = (ROOT / "crates/seethink-reward/tests/fixtures/grader.jsonl").read_text().splitlines()
    cases = [json.loads(line) for line in lines]
    pairs = [(c["gold"], c["prediction"]) for c in cases if c["rule"] == rule and c["kind"] != "completion_boxed"]
    return [pair for pair in pairs if max(len(text.encode()) for text in pair) <= LONGEST]


def math_verify(gold, answer):
    parsed = [parse(text, parsing_timeout=None) for text in (gold, answer)]
    return verify(*parsed, timeout_seconds=None)


def pass_over(grade, pairs):
    """Mean time of an answer in one pass over all of them, microseconds."""
    begun = time.perf_counter()
    for gold, answer in pairs:
        try:
            grade(gold, answer)
        except Exception:
            pass
    return 1e6 * (time.perf_counter() - begun) / len(pairs)


def ours(name, n):
    command = ["cargo", "bench", "-q", "-p", "seethink-reward", "--bench", "judge", "--", name]
    short = ["--warm-up-time", "1", "--measurement-time", "3"]
    subprocess.run(command + short, cwd=ROOT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    path = ROOT / "target/criterion/judge" / name / "new/estimates.json"
    return json.loads(path.read_text())["median"]["point_estimate"] / 1e3 / n


def main():
    for name, rule, grade in [
        ("mathruler", "mathruler", lambda gold, answer: grade_answer(answer, gold)),
        ("math_verify", "math-verify", math_verify),
    ]:
        pairs = answers(rule)
        first = pass_over(grade, pairs)
        rounds = [(pass_over(grade, pairs), ours(name, len(pairs))) for _ in range(ROUNDS)]
        theirs, our = (statistics.median(times) for times in zip(*rounds))
        ratios = sorted(theirs / our for theirs, our in rounds)
        print(
            f"{name}: {len(pairs)} answers, theirs {theirs:.0f} us (never seen before: {first:.0f} us), ours {our:.1f} us each:"
            f" {statistics.median(ratios):.0f} times ({ratios[0]:.0f} to {ratios[-1]:.0f})"
        )


if __name__ == "__main__":
    main()
