"""Writes ../fixtures/image_limits/: pictures and sizes within EasyR1's limits of pixels (Pillow 12.0.0).

    python image_limits.py

Pillow is pinned apart from the other scripts: a later one takes the vertical pass first in some cases. `fitted` states EasyR1's rule
(`process_image` at `b44b311`) in its own arithmetic, Python's floats and Pillow's default filter.
"""

import json
import math
import random
from pathlib import Path

import PIL
from PIL import Image

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"

# Picture, fewest and most pixels.
PICTURES = [
    ("large", None, 20_000),
    ("wide", 20_000, None),
    ("wide", None, 5_000),
    ("tiny", 3_000, 4_000),
    ("gray", None, 1_000),
]

# The released pairs, and pairs that leave little room.
LIMITS = [(262_144, 4_194_304), (262_144, 500_000), (None, 50_000), (90_000, None), (60_000, 60_000)]


def fitted(width, height, least, most):
    """Width and height that a picture is resized to."""
    for limit, holds in ((most, lambda area: area <= most), (least, lambda area: area >= least)):
        if limit is not None and not holds(width * height):
            factor = math.sqrt(limit / (width * height))
            width, height = int(width * factor), int(height * factor)
    return width, height


def main() -> None:
    assert PIL.__version__ == "12.0.0", PIL.__version__
    folder = FIXTURES / "image_limits"
    for name, least, most in PICTURES:
        picture = Image.open(FIXTURES / "models/images" / f"{name}.png")
        resized = picture.resize(fitted(*picture.size, least, most))
        resized.convert("RGB").save(folder / f"{name}.{least or ''}-{most or ''}.png", optimize=True)
    draw = random.Random(1)
    sizes = [(draw.randint(20, 5000), draw.randint(20, 5000)) for _ in range(60)]
    sizes += [(448, 448), (512, 512), (640, 480), (1024, 1024), (1920, 1080), (2048, 2048), (4000, 3000)]
    rows = [[w, h, *limits, *fitted(w, h, *limits)] for limits in LIMITS for w, h in sizes]
    lines = ",\n".join(json.dumps(row) for row in rows)
    (folder / "sizes.json").write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
