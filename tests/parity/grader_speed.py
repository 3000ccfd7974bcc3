"""How much faster our rules are than mathruler and math-verify, on the same answers, one after the other in one run.

    pip install mathruler==0.1.0 math-verify==0.9.0 latex2sympy2_extended==1.11.0 sympy==1.14.0 pylatexenc tqdm
    python tests/parity/grader_speed.py

Ours is timed by `cargo bench -p seethink-reward --bench judge`; theirs here, without their timeouts, in one process each as it is usually
called. Both are single-threaded.
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


def answers(rule):
    """Truths and answers of the fixture's cases of a rule, those that the benchmark takes."""
    lines = (ROOT / "crates/seethink-reward/tests/fixtures/grader.jsonl").read_text().splitlines()
    cases = [json.loads(line) for line in lines]
    pairs = [(c["gold"], c["prediction"]) for c in cases if c["rule"] == rule and c["kind"] != "completion_boxed"]
    return [pair for pair in pairs if max(len(text.encode()) for text in pair) <= LONGEST]


def math_verify(gold, answer):
    parsed = [parse(text, parsing_timeout=None) for text in (gold, answer)]
    return verify(*parsed, timeout_seconds=None)


def microseconds(grade, pairs):
    """Mean time of an answer: the median over all of them three times, after once to warm up."""
    passes = []
    for _ in range(4):
        begun = time.perf_counter()
        for gold, answer in pairs:
            try:
                grade(gold, answer)
            except Exception:
                pass
        passes.append(time.perf_counter() - begun)
    return 1e6 * statistics.median(passes[1:]) / len(pairs)


def ours(name, n):
    path = ROOT / "target/criterion/judge" / name / "new/estimates.json"
    return json.loads(path.read_text())["median"]["point_estimate"] / 1e3 / n


def main():
    subprocess.run(["cargo", "bench", "-p", "seethink-reward", "--bench", "judge"], cwd=ROOT, check=True)
    for name, rule, grade in [
        ("mathruler", "mathruler", lambda gold, answer: grade_answer(answer, gold)),
        ("math_verify", "math-verify", math_verify),
    ]:
        pairs = answers(rule)
        theirs, our = microseconds(grade, pairs), ours(name, len(pairs))
        print(f"{name}: {len(pairs)} answers, theirs {theirs:.0f} us, ours {our:.1f} us each: {theirs / our:.0f} times")


if __name__ == "__main__":
    main()
