"""What transformers computes with a checkpoint: one JSON file to compare another implementation with.

    python reference.py MODEL --image A.png --image B.png --prompt "What differs?" --out reference.json
                        [--device cuda] [--dtype float32|bfloat16]

MODEL is a folder or a name on the hub, of the families qwen2_5_vl, qwen3_vl or internvl (the -hf repositories). Two cases
are run, `text` (the prompt alone) and `image` (all images, then the prompt; only if there are images), each a batch of one
without padding. Images are handed over as Pillow opens them: transparency is dropped and EXIF orientation is not heeded.
They are copied beside the JSON file.

The file:

    model, family, dtype, device, attention
    versions            {transformers, torch, torchvision, pillow}
    config_sha256       of config.json
    images              [{file, sha256, width, height, mode}]; file is relative to the JSON file
    cases.NAME:
        messages        as given to the chat template; "image" is a file of `images`
        prompt          the rendered template, one placeholder for each image
        input_ids       [T], placeholders expanded
        position_ids    [3][T]; families with three axes only
        image_grid_thw  [images][3]; Qwen families      num_tiles  [images]; InternVL
        pixel_values    {shape, sha256, stride, values}
        vision_output   {shape, norm, stride, values}: after merger or projector
        deepstack_norms [levels]; Qwen3-VL
        hidden_norms    [L + 1]: input of each decoder layer, then input of the final norm
        final_norm      the same of the output of the final norm
        logits_last     {ids, values, logsumexp}: the 20 largest at the last position
        next_token_logprob  [T - 1]: log p of each next token of the prompt
        greedy          {tokens, logprobs, margins, text}: 32 tokens; no penalties, end tokens do not end it

A norm is the L2 norm over all elements, summed in f64. `values` are every `stride`-th element of the flattened tensor from
the first on, `stride` = (size // 256) | 1 for pixels and (size // 64) | 1 for the vision output. `sha256` of pixel_values is
over the little-endian f32 bytes. `margins` are the best logit minus the second: where one is within the noise of the dtype,
the tokens after it may differ in a correct implementation.
"""

import argparse
import hashlib
import sys
from pathlib import Path

import PIL
import torch
import torchvision
import transformers
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor, GenerationConfig
from transformers.utils import cached_file

from families import Trace, family_of, is_qwen, positions, read_json, replacing, write_json

N_TOKENS = 32
# Rows of logits that are widened to f64 at a time.
ROWS = 64


def sha256(data: bytes) -> str:
    """The hash in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def norm(tensor: torch.Tensor) -> float:
    """L2 norm of all elements."""
    return float(tensor.double().norm())


def sample(tensor: torch.Tensor, count: int) -> dict:
    """Elements at an odd stride, so that they do not keep to one channel."""
    stride = (tensor.numel() // count) | 1
    values = tensor.flatten()[::stride].double().tolist()
    return {"shape": list(tensor.shape), "stride": stride, "values": values}


def copy_images(paths: list[Path], out: Path) -> tuple[list[dict], list[Image.Image]]:
    """Copies the images beside the JSON file; what is said about them, and the open images."""
    facts, opened = [], []
    for index, path in enumerate(paths):
        data = path.read_bytes()
        target = out.with_name(f"{out.stem}_{index}{path.suffix}")
        with replacing(target) as temporary:
            temporary.write_bytes(data)
        image = Image.open(target)
        image.load()
        facts.append({"file": target.name, "sha256": sha256(data), "width": image.width, "height": image.height})
        facts[-1]["mode"] = image.mode
        opened.append(image)
    return facts, opened


def next_token_logprobs(logits: torch.Tensor, ids: torch.Tensor) -> list[float]:
    """log p of each next id; in parts, since f64 logits of a long prompt would fill the memory."""
    found = []
    for start in range(0, len(ids) - 1, ROWS):
        targets = ids[start + 1 : start + 1 + ROWS]
        rows = logits[start : start + len(targets)].double().log_softmax(-1)
        found += rows.gather(1, targets[:, None])[:, 0].tolist()
    return found


@torch.no_grad()
def greedy(model, processor, inputs: dict) -> dict:
    """The greedy continuation."""
    settings = GenerationConfig(do_sample=False, max_new_tokens=N_TOKENS, pad_token_id=processor.tokenizer.pad_token_id)
    # Otherwise penalties, sampling settings and end tokens of the checkpoint would fill the gaps of these.
    model.generation_config = settings
    output = model.generate(**inputs, generation_config=settings, output_logits=True, return_dict_in_generate=True)
    tokens = output.sequences[0, inputs["input_ids"].shape[1] :]
    logits = torch.stack(output.logits, 1)[0].double()
    best = logits.topk(2, -1).values
    return {
        "tokens": tokens.tolist(),
        "logprobs": logits.log_softmax(-1).gather(1, tokens[:, None])[:, 0].tolist(),
        "margins": (best[:, 0] - best[:, 1]).tolist(),
        "text": processor.tokenizer.decode(tokens, clean_up_tokenization_spaces=False),
    }


@torch.no_grad()
def run_case(family: str, model, processor, messages: list, images: list[Image.Image]) -> dict:
    """Everything about one prompt."""
    prompt = processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    inputs = dict(processor(text=[prompt], images=[images] if images else None, return_tensors="pt"))
    case = {"messages": messages, "prompt": prompt, "input_ids": inputs["input_ids"][0].tolist()}
    position_ids, _ = positions(family, model, inputs)
    if is_qwen(family):
        case["position_ids"] = position_ids[:, 0].tolist()
    if images:
        if is_qwen(family):
            case["image_grid_thw"] = inputs["image_grid_thw"].tolist()
        else:
            one_by_one = (processor.image_processor(images=[x], crop_to_patches=True) for x in images)
            case["num_tiles"] = [len(output["pixel_values"]) for output in one_by_one]
        pixels = inputs["pixel_values"].float().contiguous()
        case["pixel_values"] = sample(pixels, 256) | {"sha256": sha256(pixels.numpy().tobytes())}

    inputs = {name: value.to(model.device) for name, value in inputs.items()}
    with Trace(family, model, detail=False) as seen:
        logits = model(**inputs, position_ids=position_ids.to(model.device)).logits[0]
    if images:
        case["vision_output"] = sample(seen["vision.output"], 64) | {"norm": norm(seen["vision.output"])}
        deepstack = [tensor for name, tensor in seen.items() if name.startswith("vision.deepstack_")]
        if deepstack:
            case["deepstack_norms"] = [norm(tensor) for tensor in deepstack]
    hidden = [seen[f"hidden_{index}"] for index in range(len(model.model.language_model.layers) + 1)]
    case["hidden_norms"] = [norm(tensor) for tensor in hidden]
    case["final_norm"] = norm(seen["final_norm"])
    last = logits[-1].double()
    top = last.topk(20)
    case["logits_last"] = {"ids": top.indices.tolist(), "values": top.values.tolist()}
    case["logits_last"]["logsumexp"] = float(last.logsumexp(-1))
    case["next_token_logprob"] = next_token_logprobs(logits, inputs["input_ids"][0])
    case["greedy"] = greedy(model, processor, inputs)
    return case


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a checkpoint folder, or a name on the hub")
    parser.add_argument("--image", type=Path, action="append", default=[], help="may be given several times")
    parser.add_argument("--prompt", required=True)
    parser.add_argument("--out", type=Path, required=True, help="the JSON file")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--attention", choices=["sdpa", "eager"], default="sdpa")
    parser.add_argument("--threads", type=int, help="of the CPU; all by default")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    # The tensor cores' short formats would be far larger a difference than the one that is looked for.
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False

    config = Path(cached_file(args.model, "config.json"))
    family = family_of(read_json(config))
    processor = AutoProcessor.from_pretrained(args.model)
    model, loading = AutoModelForImageTextToText.from_pretrained(
        args.model, dtype=getattr(torch, args.dtype), attn_implementation=args.attention, output_loading_info=True
    )
    wrong = {kind: names for kind, names in loading.items() if names}
    if wrong:
        sys.exit(f"{args.model} does not fit its configuration: {wrong}")
    model = model.eval().to(args.device)

    facts, images = copy_images(args.image, args.out)
    words = {"type": "text", "text": args.prompt}
    pictures = [{"type": "image", "image": fact["file"]} for fact in facts]
    cases = {"text": run_case(family, model, processor, [{"role": "user", "content": [words]}], [])}
    if images:
        cases["image"] = run_case(family, model, processor, [{"role": "user", "content": [*pictures, words]}], images)
    versions = {module.__name__: module.__version__ for module in (transformers, torch, torchvision)}
    report = {
        "model": str(args.model), "family": family, "dtype": args.dtype, "device": args.device, "attention": args.attention,
        "versions": versions | {"pillow": PIL.__version__}, "config_sha256": sha256(config.read_bytes()),
        "images": facts, "cases": cases,
    }  # fmt: skip
    write_json(args.out, report, 1)
    lengths = [f"{name} ({len(case['input_ids'])} tokens)" for name, case in cases.items()]
    print(f"{args.out}: {', '.join(lengths)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
