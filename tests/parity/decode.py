"""Decodes the pictures of a folder as the reference sees them, into PNG files beside them.

    python decode.py ../fixtures/decoding

`NAME.decoded.png` holds the pixels without transparency, `NAME.white.png` a transparent picture laid on white, and
`NAME.upright.png` a picture turned as its EXIF data ask.
"""

import sys
from pathlib import Path

from PIL import Image, ImageOps

from make_fixtures import is_transparent, on_white

WRITTEN = (".decoded", ".white", ".upright")


def main() -> None:
    folder = Path(sys.argv[1])
    for path in sorted(folder.iterdir()):
        if path.suffix not in (".jpg", ".png") or path.stem.endswith(WRITTEN):
            continue
        picture = Image.open(path)
        picture.convert("RGB").save(folder / f"{path.stem}.decoded.png")
        if is_transparent(picture):
            Image.fromarray(on_white(picture)).save(folder / f"{path.stem}.white.png")
        if 0x0112 in picture.getexif():
            ImageOps.exif_transpose(picture).convert("RGB").save(folder / f"{path.stem}.upright.png")


if __name__ == "__main__":
    main()
