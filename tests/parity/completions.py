"""Does the reference implementation load a trained model, and does it write the same completions?

    pip install transformers==4.57.1 torch torchvision pillow
    python tests/parity/completions.py RUN_FOLDER

loads RUN_FOLDER/model with transformers and answers greedily the problems of RUN_FOLDER/samples.jsonl that were answered
after the last stage. Exits with 1 if a tensor is missing or left over, or a completion differs.
"""

import base64
import io
import json
import sys
from pathlib import Path

import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

# grpo.prompt.suffix of the configurations under configs/micro.
SUFFIX = "\nThink in <think> </think>, then answer in \\boxed{}."


def main(run: Path) -> int:
    processor = AutoProcessor.from_pretrained(run / "model")
    model, loading = AutoModelForImageTextToText.from_pretrained(
        run / "model", dtype=torch.float32, output_loading_info=True
    )
    wrong = {kind: names for kind, names in loading.items() if names}
    print(type(model).__name__, wrong or "loaded without missing or left-over tensors")
    samples = [json.loads(line) for line in (run / "samples.jsonl").read_text().splitlines()]
    samples = [sample for sample in samples if sample["step"] == samples[-1]["step"]]
    equal = 0
    for sample in samples:
        images = [Image.open(io.BytesIO(base64.b64decode(image))) for image in sample["images"]]
        content = [{"type": "image", "image": image} for image in images]
        content.append({"type": "text", "text": sample["prompt"].replace("<image>", "") + SUFFIX})
        inputs = processor.apply_chat_template(
            [{"role": "user", "content": content}],
            tokenize=True,
            add_generation_prompt=True,
            return_dict=True,
            return_tensors="pt",
        )
        with torch.no_grad():
            tokens = model.generate(**inputs, do_sample=False, max_new_tokens=64)
        text = processor.batch_decode(tokens[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)[0]
        if text == sample["completion"]:
            equal += 1
        else:
            print(f"{sample['problem']}: {text!r} instead of {sample['completion']!r}")
    print(f"{equal} of {len(samples)} completions are equal")
    return int(bool(wrong) or equal < len(samples))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
