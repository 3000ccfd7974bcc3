"""Regenerates the fixtures of the model families: what transformers computes with tiny checkpoints, f32 on the CPU.

    python make_fixtures.py --out DIR --checkpoints FIXTURES [--check FIXTURES]
        takes the checkpoints and images of FIXTURES and recomputes all the rest. The arbitrary choices of an existing set
        (which logit columns, which end tokens, which sizes and texts) are taken over, so that the result can be compared.
    python make_fixtures.py --out DIR --seed N [--tokenizers FIXTURES]
        makes new random checkpoints and images first (random_inputs.py): configurations differ from seed to seed. Tokenizers
        and chat templates are those of FIXTURES.
    python make_fixtures.py --out DIR --check FIXTURES --only-check
        compares two sets.

The layout is described in the README.md beside the fixtures. What is more in a set made from a seed: other image modes; for
a JPEG `NAME.decoded_u8` (decoders differ by a level or two) and, if it has an EXIF orientation, `NAME.pixel_values_u8_exif`
and `exif` in preprocess.json for the upright picture, which the reference sees only where it opens the file itself.
"""

import argparse
import copy
import hashlib
import platform
import random
import sys
from pathlib import Path

import numpy
import PIL
import safetensors
import tokenizers
import torch
import torchvision
import transformers
from PIL import Image, ImageOps
from transformers import AutoProcessor, GenerationConfig
from transformers.models.got_ocr2.image_processing_got_ocr2 import get_optimal_tiled_canvas
from transformers.models.got_ocr2.image_processing_got_ocr2_fast import GotOcr2ImageProcessorFast
from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize
from transformers.models.qwen2_vl.image_processing_qwen2_vl_fast import Qwen2VLImageProcessorFast

import random_inputs
from compare import compare
from families import (
    FAMILIES,
    InDouble,
    Trace,
    checkpoint_names,
    copy_file,
    is_qwen,
    load_model,
    positions,
    read_json,
    read_tensors,
    write_json,
    write_tensors,
)

NEW_TOKENS = 32
SMALLEST_MARGIN = 0.002

# Images whose normalised values are stored, the others before normalisation, which is smaller.
FLOAT_IMAGES = ("gray.png", "tiny.png", "wide.png")
# Images that Pillow resizes too.
PIL_IMAGES = ("large.png", "wide.png")


def user(*content):
    """A turn of the user: file names are images, all else is text."""
    return {"role": "user", "content": [image(x) if x.endswith(".png") else text(x) for x in content]}


def image(name):
    """An image item of a message."""
    return {"type": "image", "image": name}


def text(words):
    """A text item of a message."""
    return {"type": "text", "text": words}


TWO_IMAGES = [user("wide.png", "and", "gray.png", "What is the difference?")]
MULTI_TURN = [
    {"role": "system", "content": "Be brief."},
    user("wide.png", "How many circles?"),
    {"role": "assistant", "content": [text("There are 3.")]},
    user("And here? ", "gray.png"),
]
# Name -> messages, options of the chat template.
PROMPTS = {
    "text_only": ([user("What is 12 + 7? Answer with \\boxed{}.")], {}),
    "text_only_string": ([{"role": "user", "content": "Plain string content, 你好 😀."}], {}),
    "one_image": ([user("wide.png", "Describe this image.")], {}),
    "two_images": (TWO_IMAGES, {}),
    "system": (
        [
            {"role": "system", "content": [text("You are a careful math tutor. Reason step by step.")]},
            user("gray.png", "Find x.\n\n  Show steps."),
        ],
        {},
    ),
    "multi_turn": (MULTI_TURN, {}),
    "multi_turn_no_generation_prompt": (MULTI_TURN, {"add_generation_prompt": False}),
    "two_images_vision_id": (TWO_IMAGES, {"add_vision_id": True}),
}
# Name -> one list of messages for each row.
CASES = {
    "one_image": [PROMPTS["one_image"][0]],
    "two_images": [TWO_IMAGES],
    "batch": [
        [user("gray.png", "Area?")],
        [user("wide.png", "Describe the picture in detail, please. Count the objects too.")],
    ],
    "text_only": [PROMPTS["text_only"][0]],
}

# Parameters whose gradients are stored, by the names of the module tree; those a model does not have are left out.
SAVED_GRADIENTS = {
    "model.visual.patch_embed.proj.weight": "first8",
    "model.visual.patch_embed.proj.bias": "full",
    "model.visual.pos_embed.weight": "full",
    "model.visual.blocks.0.attn.qkv.weight": "full",
    "model.visual.blocks.0.attn.qkv.bias": "full",
    "model.visual.blocks.1.mlp.gate_proj.weight": "full",
    "model.visual.blocks.1.mlp.linear_fc1.weight": "full",
    "model.visual.blocks.1.norm1.weight": "full",
    "model.visual.blocks.1.norm1.bias": "full",
    "model.visual.merger.ln_q.weight": "full",
    "model.visual.merger.mlp.0.weight": "full",
    "model.visual.merger.norm.weight": "full",
    "model.visual.deepstack_merger_list.0.linear_fc2.weight": "full",
    "model.visual.deepstack_merger_list.1.norm.weight": "full",
    "model.vision_tower.embeddings.patch_embeddings.projection.weight": "first8",
    "model.vision_tower.embeddings.cls_token": "full",
    "model.vision_tower.embeddings.position_embeddings": "full",
    "model.vision_tower.encoder.layer.0.attention.q_proj.weight": "full",
    "model.vision_tower.encoder.layer.0.attention.q_norm.weight": "full",
    "model.vision_tower.encoder.layer.0.attention.k_norm.weight": "full",
    "model.vision_tower.encoder.layer.0.lambda_1": "full",
    "model.vision_tower.encoder.layer.1.mlp.fc1.weight": "full",
    "model.vision_tower.encoder.layer.1.layernorm_before.weight": "full",
    "model.vision_tower.layernorm.weight": "full",
    "model.multi_modal_projector.layer_norm.weight": "full",
    "model.multi_modal_projector.linear_1.weight": "full",
    "model.language_model.layers.0.self_attn.q_proj.weight": "full",
    "model.language_model.layers.0.self_attn.k_proj.weight": "full",
    "model.language_model.layers.0.self_attn.o_proj.bias": "full",
    "model.language_model.layers.1.mlp.down_proj.weight": "full",
    "model.language_model.layers.0.input_layernorm.weight": "full",
    "model.language_model.layers.1.post_attention_layernorm.weight": "full",
    "model.language_model.norm.weight": "full",
    "model.language_model.embed_tokens.weight": "rows",
    "model.language_model.layers.0.self_attn.v_proj.bias": "full",
    "model.language_model.layers.0.self_attn.q_norm.weight": "full",
    "model.language_model.layers.1.self_attn.k_norm.weight": "full",
    "lm_head.weight": "rows",
}
# Left out to keep the files small: the two Qwen families share these names, and one of them is enough.
NOT_SAVED = {"qwen3_vl": ("model.visual.blocks.0.attn.qkv.bias", "model.visual.blocks.1.norm1.weight")}

SMART_RESIZE = [
    ("qwen2_5_vl_hub", 28, 3136, 12845056),
    ("qwen2_5_vl_small_budget", 28, 3136, 1003520),
    ("qwen3_vl_hub", 32, 65536, 16777216),
    ("odd_36", 36, 5184, 777600),
]
TILES = [(448, 1, 12), (448, 1, 6), (448, 1, 1), (448, 2, 12), (336, 4, 9), (448, 1, 40)]
SPECIAL_SIZES = [
    (14, 14), (42, 42), (70, 70), (28, 28), (56, 56), (98, 70), (1, 1), (1, 200), (199, 1), (448, 448), (448, 896),
    (896, 448), (640, 480), (1080, 1920), (4000, 4000), (3, 500), (32, 48), (80, 112), (16, 48), (600, 600), (450, 300),
    (300, 450), (1344, 448), (2000, 333),
]  # fmt: skip
# Used when there is no older list of texts.
TEXTS = [
    "", " ", "  x\t y\n\n z \r\n", "I'm YOU'RE can't", "123456789 3.14 ½ ٣٤٥", "\\boxed{42} $\\frac{1}{2}$",
    "你好，世界！", "안녕하세요 Привет مرحبا", "😀👩‍💻🏳️‍🌈", "cafe\u0301 Å", "<|im_start|>user\nHi<|im_end|>\n",
    "<think>\nx\n</think>", "\u0000\ufffd",
]  # fmt: skip


class Choices:
    """The arbitrary choices of a family's fixtures: those of an older set, or random ones that depend on its checkpoint."""

    def __init__(self, older: Path | None, family: str, seed: int):
        self._older = older / family if older else None
        self._random = random.Random(f"{family} {seed}")

    def _read(self, name: str):
        path = self._older / name if self._older else None
        return read_json(path) if path and path.exists() else None

    def columns(self, vocabulary: int, special: list[int]) -> list[int]:
        """48 columns of the logits."""
        older = self._read("forward.json")
        if older:
            return older["_logit_columns"]
        chosen = {0, vocabulary - 1, *(i for i in special if i < vocabulary)}
        rest = [i for i in range(vocabulary) if i not in chosen]
        return sorted([*chosen, *self._random.sample(rest, 48 - len(chosen))])

    def rows(self, used: list[int], vocabulary: int) -> list[int]:
        """Rows of the embedding table: those of the tokens in use and 60 others."""
        older = self._read("train.json")
        if older:
            return older["grad_rows"]
        return sorted({*used, *self._random.sample(range(vocabulary), 60)})

    def end_token(self, case: str, rows: list[list[int]]) -> int | None:
        """A token that ends the first row neither at once nor late, and no other row; None if there is none."""
        older = self._read("generate.json")
        if older:
            return older[case]["eos_token_id"][0]
        first = rows[0]
        found = [
            t for i, t in enumerate(first) if 6 <= i <= 28 and t not in first[:i] and all(t not in r for r in rows[1:])
        ]
        return self._random.choice(found) if found else None

    def texts(self, tokenizers_of: Path) -> list[str]:
        """Texts for the tokenizer."""
        older = self._read("tokenizer_cases.json")
        if older:
            return [case["text"] for case in older]
        beside = tokenizers_of / "tokenizer_cases.json"
        texts = [case["text"] for case in read_json(beside)] if beside.exists() else TEXTS
        return texts + [self._words() for _ in range(60)]

    def _words(self) -> str:
        alphabets = [
            "abcdefghijklmnop", "ABCXYZ", "0123456789", " \t\n\r", " ", ".,;:!?-'\"", "\\{}$^_=+*/()[]<>|", "éüßøçñ",
            "图中红色三角形", "かなカナ한국어", "абвґ", "😀👍🏽\u200d\ufe0f", "e\u0301a\u030a", "\u00a0\u2003\u0000",
        ]  # fmt: skip
        pieces = []
        for _ in range(self._random.randint(1, 12)):
            alphabet = self._random.choice(alphabets)
            pieces += self._random.choices(alphabet, k=self._random.randint(1, 6))
        return "".join(pieces)


class Family:
    """A checkpoint with its processor, and the images of the set."""

    def __init__(self, name: str, checkpoint: Path, images: Path, choices: Choices):
        self.name, self.checkpoint, self.images, self.choices = name, checkpoint, images, choices
        self.processor = AutoProcessor.from_pretrained(checkpoint)
        self.tokenizer = self.processor.tokenizer
        self.tokenizer.padding_side = "left"
        self.model = load_model(checkpoint)
        # Greedy, without the sampling settings and end tokens of the checkpoint.
        self.model.generation_config = GenerationConfig(pad_token_id=self.tokenizer.pad_token_id)
        self.vocabulary = self.model.config.get_text_config().vocab_size
        self.image_token = self.model.config.image_token_id

    def open(self, name: str) -> Image.Image:
        """An image of the set, as Pillow opens it."""
        return Image.open(self.images / name)

    def encode_images(self, pictures, **options):
        """The image processor as the family's processor calls it."""
        if not is_qwen(self.name):
            options["crop_to_patches"] = True
        return self.processor.image_processor(images=pictures, return_tensors="pt", **options)

    def render(self, messages, **options) -> str:
        """The chat template."""
        options = {"add_generation_prompt": True, **options}
        return self.processor.apply_chat_template(messages, tokenize=False, **options)

    def encode(self, prompts: list[str], names: list[list[str]]) -> dict:
        """The processor on rendered prompts and the images of each."""
        pictures = [[self.open(name) for name in row] for row in names]
        pictures = pictures if any(pictures) else None
        return dict(self.processor(text=prompts, images=pictures, return_tensors="pt", padding=True))

    def case(self, rows) -> tuple[list[str], list[list[str]], dict]:
        """Prompts, image names by row and inputs of a case."""
        prompts = [self.render(messages) for messages in rows]
        names = [images_of(messages) for messages in rows]
        return prompts, names, self.encode(prompts, names)


def images_of(messages) -> list[str]:
    """Image names in order of appearance."""
    items = [item for message in messages if isinstance(message["content"], list) for item in message["content"]]
    return [item["image"] for item in items if item["type"] == "image"]


def short(values) -> list[float]:
    """f32 values with as many digits as they need."""
    return [float(str(numpy.float32(value))) for value in values]


def on_white(picture: Image.Image) -> numpy.ndarray:
    """A picture with transparency composited on white, `[H, W, 3]`; the exact rounding of the newer reference."""
    values = numpy.asarray(picture.convert("RGBA")).astype(numpy.int64)
    color, alpha = values[..., :3], values[..., 3:]
    return ((color * alpha + 255 * (255 - alpha) + 127) // 255).astype(numpy.uint8)


def is_transparent(picture: Image.Image) -> bool:
    """Whether dropping transparency and compositing on white can differ."""
    return picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info


def planes(values: numpy.ndarray) -> torch.Tensor:
    """`[H, W, 3]` to `[3, H, W]`."""
    return torch.from_numpy(numpy.array(values)).permute(2, 0, 1).contiguous()


def unpatch(values: torch.Tensor, grid: list[int], patch: int, merge: int) -> torch.Tensor:
    """Rows of patches in merge-block order back to one frame `[3, H, W]`."""
    _, rows, columns = grid
    values = values.reshape(rows // merge, columns // merge, merge, merge, 3, -1, patch, patch)
    if not torch.equal(values[:, :, :, :, :, 0], values[:, :, :, :, :, -1]):
        raise ValueError("the frames of a still image differ")
    return values[:, :, :, :, :, 0].permute(4, 0, 2, 5, 1, 3, 6).reshape(3, rows * patch, columns * patch)


def resized(family: Family, picture: Image.Image) -> tuple[dict[str, torch.Tensor], torch.Tensor, dict]:
    """The picture after the resize (and the thumbnail), the values before normalisation, and sizes and counts."""
    levels = family.encode_images([picture], do_rescale=False, do_normalize=False)
    values = levels["pixel_values"].to(torch.uint8)
    if not torch.equal(values.to(levels["pixel_values"].dtype), levels["pixel_values"]):
        raise ValueError("levels are not whole numbers")
    settings = family.processor.image_processor
    if is_qwen(family.name):
        grid = levels["image_grid_thw"][0].tolist()
        frame = unpatch(values, grid, settings.patch_size, settings.merge_size)
        count = grid[0] * grid[1] * grid[2]
        facts = {
            "image_grid_thw": grid, "resized_height": frame.shape[1], "resized_width": frame.shape[2],
            "num_patches": count, "num_image_tokens": count // settings.merge_size**2,
        }  # fmt: skip
        return {"resized_u8": frame}, values, facts
    side = settings.size["height"], settings.size["width"]
    columns, rows = get_optimal_tiled_canvas(picture.size[::-1], side, settings.min_patches, settings.max_patches)
    tiles = values[: rows * columns].reshape(rows, columns, 3, *side)
    parts = {"resized_u8": tiles.permute(2, 0, 3, 1, 4).reshape(3, rows * side[0], columns * side[1])}
    if len(values) > rows * columns:
        parts["thumb_u8"] = values[-1]
    facts = {
        "grid_columns": columns, "grid_rows": rows, "num_tiles": len(values),
        "num_image_tokens": len(values) * family.processor.image_seq_length,
    }  # fmt: skip
    return parts, values, facts


def preprocess(family: Family, out: Path) -> None:
    """preprocess.json and preprocess.safetensors."""
    facts, tensors = {}, {}
    for path in sorted(family.images.iterdir()):
        name, picture = path.name, Image.open(path)
        values = family.encode_images([picture])["pixel_values"]
        parts, levels, counts = resized(family, picture)
        facts[name] = {"width": picture.width, "height": picture.height, "mode": picture.mode}
        facts[name] |= {"pixel_values_shape": list(values.shape), **counts}
        for key, part in parts.items():
            tensors[f"{name}.{key}"] = part
        if name in FLOAT_IMAGES:
            tensors[f"{name}.pixel_values"] = values
        else:
            tensors[f"{name}.pixel_values_u8"] = levels
        differences = []
        for key, part in parts.items():
            size = part.shape[2], part.shape[1]
            by_pillow = planes(picture.convert("RGB").resize(size, Image.Resampling.BICUBIC))
            differences.append(int((by_pillow.int() - part.int()).abs().max()))
            if name in PIL_IMAGES:
                tensors[f"{name}.{key}_pil"] = by_pillow
        facts[name]["pil_vs_torchvision_max_level_diff"] = max(differences)
        if is_transparent(picture):
            white = on_white(picture)
            tensors[f"{name}.white_rgb_u8"] = planes(white)
            tensors[f"{name}.pixel_values_u8_white"] = resized(family, Image.fromarray(white))[1]
        if path.suffix == ".jpg":
            tensors[f"{name}.decoded_u8"] = planes(numpy.asarray(picture.convert("RGB")))
            upright = ImageOps.exif_transpose(picture)
            if upright.getexif() != picture.getexif():
                _, tensors[f"{name}.pixel_values_u8_exif"], counts = resized(family, upright)
                facts[name]["exif"] = {"width": upright.width, "height": upright.height, **counts}
    write_json(out / "preprocess.json", facts, 1)
    write_tensors(out / "preprocess.safetensors", tensors)


def prompts(family: Family, out: Path) -> None:
    """prompts.json."""
    rendered = {}
    for name, (messages, options) in PROMPTS.items():
        if "add_vision_id" in options and not is_qwen(family.name):
            continue
        options = {"add_generation_prompt": True, **options}
        prompt, names = family.render(messages, **options), images_of(messages)
        inputs = family.encode([prompt], [names])
        ids = inputs["input_ids"][0].tolist()
        expanded = family.tokenizer.decode(ids, clean_up_tokenization_spaces=False)
        if family.tokenizer(expanded)["input_ids"] != ids:
            raise ValueError(f"{name}: the expanded prompt does not stand for its tokens")
        entry = {
            "messages": messages,
            **options,
            "prompt": prompt,
            "expanded": expanded,
            "input_ids": ids,
            "images": names,
        }
        if is_qwen(family.name):
            if names:
                entry["image_grid_thw"] = inputs["image_grid_thw"].tolist()
            position_ids, delta = positions(family.name, family.model, inputs)
            entry |= {"position_ids": position_ids[:, 0].tolist(), "rope_delta": int(delta)}
        else:
            entry["num_tiles"] = [len(family.encode_images([family.open(name)])["pixel_values"]) for name in names]
        rendered[name] = entry
    write_json(out / "prompts.json", rendered, 1)


@torch.no_grad()
def run(family: Family, model, inputs: dict, position_ids) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """All that flows through a forward pass, and the logits."""
    with Trace(family.name, model) as tensors:
        logits = model(**inputs, position_ids=position_ids).logits
    return tensors, logits


def in_double(inputs: dict) -> dict:
    """Inputs for a model in f64."""
    return {name: value.double() if value.is_floating_point() else value for name, value in inputs.items()}


def windows(family: Family, inputs: dict) -> dict[str, torch.Tensor]:
    """Order and bounds of the attention windows; nothing for families and batches without."""
    if family.name != "qwen2_5_vl" or "image_grid_thw" not in inputs:
        return {}
    index, bounds = family.model.model.visual.get_window_index(inputs["image_grid_thw"])
    bounds = torch.unique_consecutive(torch.tensor(bounds))
    return {"vision.window_index": index.long(), "vision.cu_window_seqlens": bounds.long()}


def kept(family: Family, case: str, name: str, tensor: torch.Tensor) -> torch.Tensor | None:
    """The part of a traced vision tensor that is stored: the inside of the tower for one case only, two tiles of it."""
    if not name.startswith("vision.") or name == "vision.output" or "deepstack" in name:
        return tensor
    if case != "one_image":
        return None
    return tensor if is_qwen(family.name) else tensor[:2]


def noise(single: dict, double: dict, real: torch.Tensor) -> dict[str, float]:
    """How far f32 is from f64, padding left out."""
    differences = {name: (single[name] - double[name]).abs() for name in single}
    return {name: float((x if name.startswith("vision.") else x[real]).max()) for name, x in differences.items()}


def forward(family: Family, out: Path) -> None:
    """forward.json and forward.safetensors."""
    special = [family.tokenizer.pad_token_id, family.tokenizer.eos_token_id, family.image_token]
    columns = family.choices.columns(family.vocabulary, special)
    double = copy.deepcopy(family.model).double()
    sdpa = load_model(family.checkpoint, attention="sdpa")
    facts, tensors, sdpa_difference = {}, {}, 0.0
    for case, rows in CASES.items():
        texts, names, inputs = family.case(rows)
        ids, mask = inputs["input_ids"], inputs["attention_mask"]
        position_ids, deltas = positions(family.name, family.model, inputs)
        traced, logits = run(family, family.model, inputs, position_ids)
        with InDouble():
            exact, exact_logits = run(family, double, in_double(inputs), position_ids)
        real = mask.bool()
        sdpa_logits = run(family, sdpa, inputs, position_ids)[1]
        sdpa_difference = max(sdpa_difference, float((sdpa_logits - logits)[real].abs().max()))
        facts[case] = {
            "prompts": texts,
            "images": [name for row in names for name in row],
            "shape": list(ids.shape),
            "noise_f32_vs_f64_max_abs": noise(traced | {"logits": logits}, exact | {"logits": exact_logits}, real),
            "hidden_rms_last": float(traced["final_norm"][real].pow(2).mean().sqrt()),
            "logits_std": float(logits[real].std()),
        }
        more = windows(family, inputs)
        if more:
            facts[case]["num_windows"] = len(more["vision.cu_window_seqlens"]) - 1
        log_probs = logits.log_softmax(-1)[:, :-1].gather(2, ids[:, 1:, None])[..., 0]
        more |= {
            "input_ids": ids, "attention_mask": mask, "position_ids": position_ids, "argmax": logits.argmax(-1) * mask,
            "logits_last": logits[:, -1], "logits_sel": logits[:, :, columns] * mask[..., None],
            "logsumexp": logits.logsumexp(-1) * mask, "next_token_logprob": log_probs * mask[:, :-1],
        }  # fmt: skip
        if deltas is not None:
            more["rope_deltas"] = deltas
        if "image_grid_thw" in inputs:
            more["image_grid_thw"] = inputs["image_grid_thw"]
        for name, tensor in traced.items():
            tensor = kept(family, case, name, tensor)
            if tensor is not None:
                more[name] = tensor if name.startswith("vision.") else tensor * mask[..., None]
        tensors |= {f"{case}.{name}": tensor for name, tensor in more.items()}
    facts |= {"_logit_columns": columns, "_eager_vs_sdpa_logits_max_abs": sdpa_difference}
    write_json(out / "forward.json", facts, 1)
    write_tensors(out / "forward.safetensors", tensors)


def decode_greedily(family: Family, inputs: dict, **options):
    """Generated tokens `[B, n]` and their raw logits `[B, n, V]`."""
    pad = family.tokenizer.pad_token_id
    settings = GenerationConfig(do_sample=False, max_new_tokens=NEW_TOKENS, pad_token_id=pad, **options)
    output = family.model.generate(
        **inputs, generation_config=settings, output_logits=True, return_dict_in_generate=True
    )
    return output.sequences[:, inputs["input_ids"].shape[1] :], torch.stack(output.logits, 1)


@torch.no_grad()
def full_logits(family: Family, inputs: dict, tokens: torch.Tensor) -> torch.Tensor:
    """The logits of the generated tokens from one pass without a cache."""
    more = torch.ones_like(tokens)
    inputs = inputs | {
        "input_ids": torch.cat([inputs["input_ids"], tokens], 1),
        "attention_mask": torch.cat([inputs["attention_mask"], more], 1),
    }
    logits = family.model(**inputs, position_ids=positions(family.name, family.model, inputs)[0]).logits
    return logits[:, -1 - tokens.shape[1] : -1]


def generation(family: Family) -> dict | None:
    """The contents of generate.json; None if a margin is too small, a row is monotonous or unfit, or no end token fits."""
    results = {}
    ends = {}
    for case, rows in CASES.items():
        texts, names, inputs = family.case(rows)
        tokens, logits = decode_greedily(family, inputs)
        top = logits.topk(5, -1)
        margin = float((top.values[..., 0] - top.values[..., 1]).min())
        if margin < SMALLEST_MARGIN or min(len(set(row)) for row in tokens.tolist()) < 6:
            return None
        # The model would look for an image that belongs to it.
        if (tokens == family.image_token).any():
            return None
        results[case] = {
            "images": [name for row in names for name in row],
            "prompts": texts,
            "tokens": tokens.tolist(),
            "logprobs": [short(row) for row in logits.log_softmax(-1).gather(2, tokens[..., None])[..., 0]],
            "text": family.tokenizer.batch_decode(tokens, clean_up_tokenization_spaces=False),
            "top5_ids": top.indices.tolist(),
            "top5_logits": [[short(step) for step in row] for row in top.values],
            "min_top1_top2_logit_margin": margin,
            "cached_vs_full_forward_logits_max_abs": float((full_logits(family, inputs, tokens) - logits).abs().max()),
        }
        if case in ("one_image", "batch"):
            ends[case] = family.choices.end_token(f"{case}_eos", tokens.tolist())
    for case, end in ends.items():
        if end is None:
            return None
        _, _, inputs = family.case(CASES[case])
        results[f"{case}_eos"] = {
            "images": results[case]["images"],
            "prompts": results[case]["prompts"],
            "eos_token_id": [end],
            "pad_token_id": family.tokenizer.pad_token_id,
            "tokens": decode_greedily(family, inputs, eos_token_id=[end])[0].tolist(),
        }
    _, _, inputs = family.case(CASES["one_image"])
    results["one_image_repetition_penalty_1.05"] = {
        "images": results["one_image"]["images"],
        "prompts": results["one_image"]["prompts"],
        "repetition_penalty": 1.05,
        "tokens": decode_greedily(family, inputs, repetition_penalty=1.05)[0].tolist(),
    }
    return results


def labels_of(family: Family, inputs: dict) -> torch.Tensor:
    """Every token that has a real predecessor is a target, except image tokens."""
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    predicted = mask.clone()
    predicted[:, 1:] *= mask[:, :-1]
    # The first token of a row without padding has no predecessor either, but the shift leaves it out by itself.
    return ids.masked_fill((predicted == 0) | (ids == family.image_token), -100)


OPTIMIZER = {"lr": 1e-3, "weight_decay": 0.01, "betas": [0.9, 0.999], "eps": 1e-8}
CLIP = 1.0


def step(model, inputs: dict, labels: torch.Tensor) -> dict:
    """One step of clipped AdamW on all parameters: losses, gradients before clipping, parameters before and after."""
    named = dict(model.named_parameters())
    before = {name: parameter.detach().clone() for name, parameter in named.items()}
    loss = model(**inputs, labels=labels).loss
    loss.backward()
    gradients = {name: parameter.grad.detach().clone() for name, parameter in named.items()}
    norm = torch.nn.utils.clip_grad_norm_(named.values(), CLIP)
    torch.optim.AdamW(named.values(), **OPTIMIZER).step()
    after = {name: parameter.detach().clone() for name, parameter in named.items()}
    with torch.no_grad():
        loss_after = model(**inputs, labels=labels).loss
    losses = {"loss": float(loss.detach()), "loss_after_step": float(loss_after), "grad_norm": float(norm)}
    return losses | {"before": before, "gradients": gradients, "after": after}


def norms(name: str, single: dict, double: dict) -> dict[str, float]:
    """What train.json says about a parameter."""
    update, exact_update = (run["after"][name].double() - run["before"][name].double() for run in (single, double))
    after = float(single["after"][name].double().norm())
    return {
        "grad_norm": float(single["gradients"][name].double().norm()),
        "norm_before": float(single["before"][name].double().norm()),
        "norm_after": after,
        "update_norm": float(update.norm()),
        "noise_grad_max_abs": float((single["gradients"][name] - double["gradients"][name]).abs().max()),
        "noise_norm_after": abs(after - float(double["after"][name].norm())),
        "noise_update_norm_rel": abs(float(update.norm() / exact_update.norm()) - 1),
    }


def train(family: Family, out: Path) -> None:
    """train.json and train.safetensors."""
    _, names, inputs = family.case(CASES["batch"])
    labels = labels_of(family, inputs)
    position_ids, _ = positions(family.name, family.model, inputs)
    inputs = inputs | {"position_ids": position_ids}
    model = copy.deepcopy(family.model)
    single = step(model, inputs, labels)
    with InDouble():
        double = step(copy.deepcopy(family.model).double(), in_double(inputs), labels)

    stored = checkpoint_names(family.name, model, set(read_tensors(family.checkpoint)))
    params = {stored[name]: norms(name, single, double) for name in single["before"]}
    rows = family.choices.rows(inputs["input_ids"].unique().tolist(), family.vocabulary)
    tensors, saved = {"labels": labels}, {}
    for name, part in SAVED_GRADIENTS.items():
        if name not in stored or name in NOT_SAVED.get(family.name, ()):
            continue
        gradient, key = single["gradients"][name], f"grad.{stored[name]}"
        saved[stored[name]] = part
        if part == "full":
            tensors[key] = gradient
        else:
            tensors[f"{key}.{part}"] = gradient[rows] if part == "rows" else gradient[:8]
    write_tensors(out / "train.safetensors", tensors)
    write_json(
        out / "train.json",
        {
            "case": "batch",
            "images": [name for row in names for name in row],
            "loss": single["loss"],
            "loss_f64": double["loss"],
            "num_target_tokens": int((labels[:, 1:] != -100).sum()),
            "grad_global_norm_before_clip": single["grad_norm"],
            "clip": CLIP,
            "optimizer": {"name": "AdamW", **OPTIMIZER, "note": "one parameter group: weight decay on every parameter"},
            "loss_after_step": single["loss_after_step"],
            "loss_after_step_f64": double["loss_after_step"],
            "grad_rows": rows,
            "saved_grads": saved,
            "ill_conditioned_updates": [k for k, v in params.items() if v["noise_update_norm_rel"] > 0.01],
            "params": params,
        },
        1,
    )


def tokenizer_cases(family: Family, out: Path, tokenizers_of: Path) -> None:
    """tokenizer_cases.json."""
    cases = []
    for words in family.choices.texts(tokenizers_of):
        ids = family.tokenizer(words)["input_ids"]
        decoded, skipped = (family.tokenizer.decode(ids, skip_special_tokens=skip) for skip in (False, True))
        cases.append({"text": words, "ids": ids, "decoded": decoded, "decoded_skip_special": skipped})
    write_json(out / "tokenizer_cases.json", cases, 0)


def smart_resized(size, factor: int, smallest: int, largest: int) -> list:
    """A row of the table of sizes."""
    try:
        return [*size, *smart_resize(*size, factor, smallest, largest)]
    except ValueError:
        return [*size, None, None]


def hub_processors() -> dict:
    """The image processors with the settings of the published checkpoints."""
    clip = {"image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711]}
    halves = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    imagenet = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
    return {
        "qwen2_5_vl": Qwen2VLImageProcessorFast(min_pixels=3136, max_pixels=12845056, patch_size=14, **clip),
        "qwen3_vl": Qwen2VLImageProcessorFast(
            size={"shortest_edge": 65536, "longest_edge": 16777216}, patch_size=16, **halves
        ),
        "internvl": GotOcr2ImageProcessorFast(
            size={"height": 448, "width": 448}, crop_to_patches=True, max_patches=12, **imagenet
        ),
    }


def tables(images: Path, out: Path, older: Path | None, seed: int) -> None:
    """preprocess_tables.json and real_scale_preprocess.safetensors."""
    if older and (older / "preprocess_tables.json").exists():
        rows = read_json(older / "preprocess_tables.json")["tiles"][0]["rows_height_width_to_columns_rows"]
        sizes = [tuple(row[:2]) for row in rows]
    else:
        rng = random.Random(f"sizes {seed}")
        sizes = [tuple(int(8 * 750 ** rng.random()) for _ in range(2)) for _ in range(168)] + SPECIAL_SIZES
    facts, tensors = {}, {}
    for path in sorted(images.iterdir()):
        for family, processor in hub_processors().items():
            output = processor(images=[Image.open(path)], return_tensors="pt")
            values = output["pixel_values"]
            stride = (values.numel() // 2000) | 1
            key = f"{family}/{path.name}"
            tensors[key] = values.flatten()[::stride]
            wide = values.double()
            facts[key] = {
                "shape": list(values.shape), "stride_over_flattened": stride, "mean": float(wide.mean()),
                "std": float(wide.std()), "sum_abs": float(wide.abs().sum()),
            }  # fmt: skip
            if "image_grid_thw" in output:
                facts[key]["image_grid_thw"] = output["image_grid_thw"][0].tolist()
            else:
                facts[key]["num_tiles"] = len(values)
    resizes = [
        {
            "name": name, "factor": factor, "min_pixels": smallest, "max_pixels": largest,
            "rows_height_width_to_height_width_or_null_if_aspect_error": [
                smart_resized(size, factor, smallest, largest) for size in sizes
            ],
        }
        for name, factor, smallest, largest in SMART_RESIZE
    ]  # fmt: skip
    tiles = [
        {
            "tile": tile, "min_patches": fewest, "max_patches": most,
            "rows_height_width_to_columns_rows": [
                [*size, *get_optimal_tiled_canvas(size, (tile, tile), fewest, most)] for size in sizes
            ],
        }
        for tile, fewest, most in TILES
    ]  # fmt: skip
    write_json(
        out / "preprocess_tables.json", {"smart_resize": resizes, "tiles": tiles, "real_scale_preprocess": facts}
    )
    write_tensors(out / "real_scale_preprocess.safetensors", tensors)


def manifest(out: Path, init_seeds: dict, variants: dict) -> None:
    """manifest.json: versions, and sizes and hashes of all files but the images."""
    files = {}
    for path in sorted(out.rglob("*")):
        name = path.relative_to(out).as_posix()
        if path.is_file() and name != "manifest.json" and not name.startswith("images/"):
            data = path.read_bytes()
            files[name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    pictures = {}
    for path in sorted((out / "images").iterdir()):
        picture = Image.open(path)
        pictures[path.name] = {"width": picture.width, "height": picture.height, "mode": picture.mode}
        pictures[path.name]["bytes"] = path.stat().st_size
    versions = {"python": platform.python_version()}
    for module in (torch, torchvision, transformers, tokenizers, safetensors, numpy):
        versions[module.__name__] = module.__version__
    versions["pillow"] = PIL.__version__
    total = sum(file["bytes"] for file in files.values()) + sum(picture["bytes"] for picture in pictures.values())
    found = {
        "init_seeds": init_seeds, "variants": variants, "versions": versions,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(), "images": pictures, "total_bytes": total, "files": files,
    }  # fmt: skip
    write_json(out / "manifest.json", found if variants else {k: v for k, v in found.items() if k != "variants"}, 1)


def smallest_lead(family: Family) -> float:
    """How far apart the two best logits are at least, over all positions of all cases."""
    leads = []
    for rows in CASES.values():
        inputs = family.case(rows)[2]
        logits = run(family, family.model, inputs, positions(family.name, family.model, inputs)[0])[1]
        top = logits[inputs["attention_mask"].bool()].topk(2, -1).values
        leads.append(float((top[:, 0] - top[:, 1]).min()))
    return min(leads)


def new_checkpoint(name: str, args) -> tuple[int, dict]:
    """Writes random checkpoints until rounding cannot change an answer and the penalty does; seed and configuration."""
    folder = args.out / name / "checkpoint"
    for attempt in range(200):
        seed = 1000 * args.seed + attempt
        variant = random_inputs.make_checkpoint(name, args.seed, seed, args.tokenizers / name / "checkpoint", folder)
        family = Family(name, folder, args.out / "images", Choices(None, name, args.seed))
        # The lead comes first: it is cheap, and rules most attempts out.
        found = generation(family) if smallest_lead(family) >= SMALLEST_MARGIN / 4 else None
        if found and found["one_image_repetition_penalty_1.05"]["tokens"] != found["one_image"]["tokens"]:
            return seed, variant
    raise SystemExit(f"{name}: 200 checkpoints and none with clear margins")


def recompute(name: str, args) -> None:
    """All files of a family except the checkpoint."""
    out = args.out / name
    family = Family(name, out / "checkpoint", args.out / "images", Choices(args.checkpoints, name, args.seed))
    preprocess(family, out)
    prompts(family, out)
    forward(family, out)
    found = generation(family)
    if found is None:
        raise SystemExit(f"{name}: the greedy answers of this checkpoint are too close to call")
    write_json(out / "generate.json", found)
    train(family, out)
    tokenizer_cases(family, out, args.tokenizers / name)


def copy_tree(source: Path, target: Path) -> None:
    """Copies the files of a folder."""
    for path in source.iterdir():
        copy_file(path, target / path.name)


def make(args) -> None:
    """Makes a whole set."""
    seeds, variants = {}, {}
    if args.checkpoints:
        copy_tree(args.checkpoints / "images", args.out / "images")
        older = args.checkpoints / "manifest.json"
        seeds = read_json(older)["init_seeds"] if older.exists() else {}
    else:
        random_inputs.make_images(args.seed, args.out / "images")
    for name in args.families:
        if args.checkpoints:
            copy_tree(args.checkpoints / name / "checkpoint", args.out / name / "checkpoint")
        else:
            seeds[name], variants[name] = new_checkpoint(name, args)
            print(f"{name}: {variants[name]}", flush=True)
        recompute(name, args)
        print(f"{name}: {sum(p.stat().st_size for p in (args.out / name).rglob('*') if p.is_file())} bytes", flush=True)
    tables(args.out / "images", args.out, args.checkpoints, args.seed)
    manifest(args.out, seeds, variants)


def main() -> int:
    here = Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="the folder of the set")
    parser.add_argument("--families", nargs="+", choices=FAMILIES, default=FAMILIES)
    parser.add_argument("--seed", type=int, default=0, help="of new checkpoints, images and choices")
    parser.add_argument("--checkpoints", type=Path, help="a set whose checkpoints and images are taken")
    parser.add_argument("--tokenizers", type=Path, default=here.parent / "fixtures" / "models")
    parser.add_argument("--check", type=Path, help="a set to compare with")
    parser.add_argument("--only-check", action="store_true", help="compare what is in --out already")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    if args.only_check and not args.check:
        parser.error("--only-check needs --check")
    if args.out.resolve() in [path.resolve() for path in (args.checkpoints, args.tokenizers) if path]:
        parser.error("--out is a folder that is read from")
    if not args.only_check:
        make(args)
    return int(not compare(args.out, args.check, args.families)) if args.check else 0


if __name__ == "__main__":
    sys.exit(main())
