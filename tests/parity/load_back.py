"""Does transformers load a checkpoint folder that seethink saved, and is nothing lost?

    python load_back.py --load DIR [--against DIR2] [--image A.png] [--prompt TEXT]

Loads model and processor, writes greedy completions of a text prompt and an image prompt, and with `--against` compares
names, types, shapes and bytes of all tensors with those of another checkpoint folder. Exits with 1 if a tensor is missing,
left over, of a wrong shape or different.
"""

import argparse
import sys
from pathlib import Path

import torch
import transformers
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor, GenerationConfig

from families import read_tensors

N_SHOWN = 10


def stripes() -> Image.Image:
    """An image for those who bring none."""
    image = Image.new("RGB", (96, 64))
    image.putdata([(255 * (x // 8 % 2), 2 * x, 4 * y) for y in range(64) for x in range(96)])
    return image


def complete(model, processor, content: list) -> str:
    """The greedy completion of one turn of the user, 32 tokens at most."""
    inputs = processor.apply_chat_template(
        [{"role": "user", "content": content}],
        tokenize=True,
        add_generation_prompt=True,
        return_dict=True,
        return_tensors="pt",
    )
    ends, pad = model.generation_config.eos_token_id, processor.tokenizer.pad_token_id
    settings = GenerationConfig(do_sample=False, max_new_tokens=32, eos_token_id=ends, pad_token_id=pad)
    # Otherwise sampling settings and penalties of the checkpoint would fill the gaps of these.
    model.generation_config = settings
    with torch.no_grad():
        tokens = model.generate(**inputs, generation_config=settings)
    return processor.tokenizer.decode(tokens[0, inputs["input_ids"].shape[1] :])


def differences(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> list[str]:
    """In what two sets of tensors differ; the bits count, so that negative zero is not zero."""
    wrong = [f"{name} is {'missing' if name in expected else 'new'}" for name in sorted(found.keys() ^ expected.keys())]
    for name in sorted(found.keys() & expected.keys()):
        a, b = found[name], expected[name]
        if a.shape != b.shape or a.dtype != b.dtype:
            wrong.append(f"{name}: {a.dtype} {tuple(a.shape)} instead of {b.dtype} {tuple(b.shape)}")
        elif not torch.equal(a.contiguous().view(-1).view(torch.uint8), b.contiguous().view(-1).view(torch.uint8)):
            wrong.append(f"{name}: off by up to {float((a.double() - b.double()).abs().max()):.3e}")
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--load", type=Path, required=True, help="the checkpoint folder")
    parser.add_argument("--against", type=Path, help="a checkpoint folder whose tensors must be the same")
    parser.add_argument("--image", type=Path, help="for the image prompt; stripes if none is given")
    parser.add_argument("--prompt", default="What is shown here?")
    args = parser.parse_args()
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()

    processor = AutoProcessor.from_pretrained(args.load)
    model, loading = AutoModelForImageTextToText.from_pretrained(
        args.load, dtype=torch.float32, output_loading_info=True
    )
    wrong = [f"{kind}: {names}" for kind, names in loading.items() if names]
    print(f"{type(model).__name__}, {type(processor).__name__}: {'; '.join(wrong) or 'all tensors in their places'}")
    words = {"type": "text", "text": args.prompt}
    image = Image.open(args.image) if args.image else stripes()
    print(f"text:  {complete(model, processor, [words])!r}")
    print(f"image: {complete(model, processor, [{'type': 'image', 'image': image}, words])!r}")
    if args.against:
        found, expected = read_tensors(args.load), read_tensors(args.against)
        different = differences(found, expected)
        print(f"{len(found)} tensors, {len(expected)} in {args.against}: {len(different)} differences")
        for line in different[:N_SHOWN]:
            print(f"    {line}")
        wrong += different
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
