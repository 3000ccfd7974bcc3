"""New cases for `cargo xtask conformance grader --cases FILE`: answers of benchmarks as models may spell them, and mistakes in them, judged
by mathruler and by math-verify.

    pip install mathruler==0.1.0 math-verify==0.9.0 latex2sympy2_extended==1.11.0 sympy==1.14.0 pylatexenc tqdm
    python tests/parity/grader_cases.py --seed 1 --cases 4000 cases.jsonl
    python tests/parity/grader_cases.py --again crates/seethink-reward/tests/fixtures/spellings.jsonl cases.jsonl

The truths are those of the fixture; what is made of them is not in it. With `--again`, the cases of a file are judged anew, whatever it
says of them.
"""

import argparse
import hashlib
import json
import logging
import pathlib
import random
import re
import signal

from math_verify import parse, verify
from mathruler.grader import grade_answer

FIXTURE = pathlib.Path(__file__).resolve().parents[2] / "crates/seethink-reward/tests/fixtures/grader.jsonl"
FRACTION = r"\\[dt]?frac\{([^{}]*)\}\{([^{}]*)\}"
SECONDS = 3


def prefix(text):
    return lambda answer: text + answer


def suffix(text):
    return lambda answer: answer + text


def around(before, after):
    return lambda answer: before + answer + after


def swap(old, new):
    return lambda answer: answer.replace(old, new)


def pattern(old, new, count=0):
    return lambda answer: re.sub(old, new, answer, count=count)


def reversed_at(sign):
    return lambda answer: sign.join(reversed(answer.split(sign)))


def of_whole_numbers(write):
    """Where both parts of a fraction are whole numbers."""
    return pattern(r"\\frac\{(\d+)\}\{(\d+)\}", lambda found: write(int(found[1]), int(found[2]) or 1))


HABITS = [
    # Spelling.
    lambda answer: answer,
    around(" ", " "),
    swap(" ", ""),
    swap(",", ", "),
    pattern(r"([+\-=,<>])", r" \1 "),
    swap("\\frac", "\\dfrac"),
    swap("\\frac", "\\tfrac"),
    pattern(FRACTION, r"\1/\2"),
    pattern(FRACTION, r"(\1)/(\2)"),
    pattern(r"\\frac\{(\d)\}\{(\d)\}", r"\\frac\1\2"),
    pattern(r"(\d+)/(\d+)", r"\\frac{\1}{\2}"),
    swap("(", "\\left("),
    swap("\\left", ""),
    pattern(r"\\sqrt\{(\w)\}", r"\\sqrt\1"),
    pattern(r"\\sqrt\{([^{}]*)\}", r"sqrt(\1)"),
    pattern(r"\\sqrt\{([^{}]*)\}", r"(\1)^{1/2}"),
    swap("\\sqrt", "√"),
    swap("\\pi", "π"),
    swap("\\pi", "pi"),
    swap("\\infty", "∞"),
    swap("\\cup", "∪"),
    swap("\\times", "\\cdot"),
    swap("\\times", "*"),
    swap("^2", "^{2}"),
    swap("^", "**"),
    swap("\\le ", "\\leq "),
    swap("<", "\\lt "),
    swap("\\text{", "\\mathrm{"),
    pattern(r"\\text\{([^{}]*)\}", r"\1"),
    around("\\text{", "}"),
    around("\\mathbf{", "}"),
    around("\\(", "\\)"),
    around("(", ")"),
    prefix("\\displaystyle "),
    prefix("x="),
    prefix("x = "),
    prefix("f(x) = "),
    prefix("The answer is "),
    prefix("\\approx "),
    prefix("+"),
    suffix("."),
    suffix("\n"),
    suffix(" cm"),
    suffix("\\text{ cm}"),
    suffix("\\,\\text{cm}^2"),
    suffix("~\\text{cm}"),
    suffix(" square meters"),
    suffix(" units"),
    suffix(" dollars"),
    prefix("\\$"),
    suffix(" degrees"),
    suffix("^\\circ"),
    suffix("°"),
    swap("^\\circ", ""),
    swap("^{\\circ}", ""),
    swap("\\%", ""),
    suffix("\\%"),
    suffix("%"),
    pattern(r"(\d)(\d{3})\b", r"\1,\2"),
    swap(",", ""),
    swap(",", "{,}"),
    lambda answer: answer.split("=")[-1],
    swap(" or ", " and "),
    # Another form of the same.
    of_whole_numbers(lambda above, below: str(above / below)),
    of_whole_numbers(lambda above, below: f"\\frac{{{2 * above}}}{{{2 * below}}}"),
    pattern(r"\b(\d+)$", r"\1.0"),
    reversed_at(","),
    reversed_at("+"),
    around("\\{", "\\}"),
    # Mistakes.
    prefix("-"),
    prefix("2"),
    suffix("+1"),
    suffix("0"),
    swap("+", "-"),
    swap("-", "+"),
    swap("x", "y"),
    swap("(", "["),
    swap("[", "("),
    str.lower,
    str.upper,
    pattern(r"(\d+)", lambda found: str(int(found[1]) + 1), count=1),
]


class Late(BaseException):
    """No `Exception`: those, the originals take for a wrong answer."""


def late(*_):
    raise Late


def judged(rule, truth, answer):
    """The original's verdict; none if it takes too long."""
    signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        if rule == "mathruler":
            return bool(grade_answer(answer, truth))
        return bool(verify(*(parse(text, parsing_timeout=None) for text in (truth, answer)), timeout_seconds=None))
    except Late:
        return None
    except Exception:
        return False
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def made(seed, n):
    """So many new cases."""
    known = [json.loads(line) for line in FIXTURE.read_text().splitlines()]
    truths = sorted({case["gold"].strip("$") for case in known if case["kind"] in ("answer", "expr")})
    truths = [truth for truth in truths if len(truth) < 60]
    draw = random.Random(seed)
    cases = {}
    while len(cases) < n:
        truth = answer = draw.choice(truths)
        for _ in range(draw.choice([1, 1, 1, 2, 2])):
            answer = draw.choice(HABITS)(answer)
        rule, kind = draw.choice([("mathruler", "answer"), ("math-verify", "expr")])
        if rule == "math-verify":
            truth = f"${truth}$"
            answer = f"${answer}$" if draw.random() < 0.8 else answer
        key = hashlib.sha256(f"{rule}\n{truth}\n{answer}".encode()).hexdigest()[:12]
        verdict = None if key in cases else judged(rule, truth, answer)
        if verdict is not None:
            case = {"id": key, "rule": rule, "kind": kind, "gold": truth, "prediction": answer, "expected": verdict}
            cases[key] = case
    return cases.values()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=pathlib.Path)
    parser.add_argument("--cases", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--again", type=pathlib.Path)
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)
    if arguments.again:
        cases = [json.loads(line) for line in arguments.again.read_text().splitlines()]
        cases = [case | {"expected": judged(case["rule"], case["gold"], case["prediction"])} for case in cases]
        cases = [case for case in cases if case["expected"] is not None]
    else:
        cases = made(arguments.seed, arguments.cases)
    arguments.file.write_text("".join(json.dumps(case) + "\n" for case in cases))


if __name__ == "__main__":
    main()
