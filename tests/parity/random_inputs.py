"""Random tiny checkpoints and procedural images for make_fixtures.py."""

import math
import zlib
from pathlib import Path

import numpy
import torch
from PIL import Image, ImageDraw
from transformers import AutoConfig, AutoModelForImageTextToText

from families import copy_file, hub_name, read_json, replacing, write_json, write_tensors

# Not part of the tokenizer and template: made anew for each checkpoint.
MADE = ("config.json", "preprocessor_config.json", "video_preprocessor_config.json", "processor_config.json")


class Options:
    """Deals options: seeds in succession walk through the options of each question, so that few seeds cover all."""

    def __init__(self, family: str, seed: int):
        self._family, self._seed = family, seed
        self.chosen: dict = {}

    def pick(self, question: str, *options):
        """The seed's answer to a question."""
        start = zlib.crc32(f"{self._family} {question}".encode())
        # Forwards or backwards, so that questions with as many options do not go in lockstep.
        seed = self._seed if start & 4096 else -self._seed
        self.chosen[question] = options[(start + seed) % len(options)]
        return self.chosen[question]


def token_ids(tokenizer: Path) -> dict[str, int]:
    """Ids of the added tokens of a checkpoint folder."""
    return {token["content"]: token["id"] for token in read_json(tokenizer / "tokenizer.json")["added_tokens"]}


def qwen_special(ids: dict[str, int]) -> dict[str, int]:
    """Special tokens as the Qwen configurations name them."""
    return {
        "vision_start_token_id": ids["<|vision_start|>"], "vision_end_token_id": ids["<|vision_end|>"],
        "image_token_id": ids["<|image_pad|>"], "video_token_id": ids["<|video_pad|>"],
    }  # fmt: skip


def ends(ids: dict[str, int]) -> dict[str, int]:
    """First and last token of a text."""
    return {"bos_token_id": ids["<|endoftext|>"], "eos_token_id": ids["<|im_end|>"]}


def text_qwen2(options: Options, vocabulary: int) -> dict:
    """A Qwen2 decoder, without its `model_type` and rotary scaling."""
    width, heads, key_heads = options.pick(
        "text", (64, 4, 1), (48, 3, 3), (80, 5, 1), (64, 4, 4), (64, 2, 1), (48, 3, 1), (64, 4, 2)
    )
    return {
        "attention_dropout": 0.0, "hidden_act": "silu", "hidden_size": width, "initializer_range": 0.02,
        "intermediate_size": options.pick("intermediate", 136, 104, 120), "max_position_embeddings": 32768,
        "max_window_layers": 70, "num_attention_heads": heads, "num_hidden_layers": options.pick("layers", 2, 4, 3),
        "num_key_value_heads": key_heads, "rms_norm_eps": options.pick("eps", 1e-6, 1e-5),
        "rope_theta": options.pick("theta", 1000000.0, 10000.0), "sliding_window": None, "use_cache": True,
        "use_sliding_window": False, "tie_word_embeddings": options.pick("tied", True, False), "vocab_size": vocabulary,
    }  # fmt: skip


def text_qwen3(options: Options, vocabulary: int) -> dict:
    """A Qwen3 decoder, whose heads need not make up its width."""
    width, heads, key_heads, head = options.pick(
        "text", (64, 4, 4, 32), (48, 6, 2, 16), (64, 2, 1, 32), (56, 4, 1, 24), (48, 3, 3, 16), (64, 8, 2, 16)
    )
    text = text_qwen2(options, vocabulary) | {
        "hidden_size": width, "num_attention_heads": heads, "num_key_value_heads": key_heads, "head_dim": head,
        "attention_bias": options.pick("attention_bias", False, True, False), "max_position_embeddings": 40960,
    }  # fmt: skip
    del text["sliding_window"], text["max_window_layers"], text["use_sliding_window"]
    options.chosen["text"] = (width, heads, key_heads, head)
    return text


def qwen2_5_vl(options: Options, ids: dict[str, int]) -> tuple[dict, dict]:
    """config.json and preprocessor_config.json of a Qwen2.5-VL."""
    text = text_qwen2(options, max(ids.values()) + options.pick("more rows", 1, 34, 11)) | ends(ids)
    half = text["hidden_size"] // text["num_attention_heads"] // 2
    text |= {"max_position_embeddings": 128000}
    sections = {8: [[2, 3, 3], [4, 2, 2]], 16: [[4, 6, 6], [2, 8, 6]]}[half]
    sections = options.pick("sections", *sections)
    depth = options.pick("depth", 3, 4, 2)
    width, heads = options.pick("vision", (32, 4), (24, 1), (32, 2), (24, 3))
    full = {2: [[1], [0], [0, 1]], 3: [[0, 2], [1], [2]], 4: [[1, 3], [3], [0, 2]]}[depth]
    vision = {
        "depth": depth, "hidden_act": "silu", "hidden_size": width, "intermediate_size": options.pick("vision mlp", 76, 84),
        "num_heads": heads, "in_chans": 3, "out_hidden_size": text["hidden_size"], "patch_size": 14,
        "spatial_merge_size": 2, "spatial_patch_size": 14, "window_size": options.pick("window", 84, 56, 112),
        "fullatt_block_indexes": options.pick("full attention", *full), "tokens_per_second": 2, "temporal_patch_size": 2,
    }  # fmt: skip
    config = {"architectures": ["Qwen2_5_VLForConditionalGeneration"], "model_type": "qwen2_5_vl", **qwen_special(ids)}
    if options.pick("layout", "nested", "flat") == "flat":
        config |= text | {"rope_scaling": {"type": "mrope", "mrope_section": sections}, "vision_config": vision}
    else:
        scaling = {"mrope_section": sections, "rope_type": "default", "type": "default"}
        text |= {"rope_scaling": scaling, "model_type": "qwen2_5_vl_text"}
        config |= {"tie_word_embeddings": text["tie_word_embeddings"], "text_config": text} | ends(ids)
        config |= {"vision_config": vision | {"in_channels": 3, "model_type": "qwen2_5_vl"}}
    images = {
        **options.pick(
            "pixels",
            {"min_pixels": 3136, "max_pixels": 9408},
            {"size": {"shortest_edge": 4704, "longest_edge": 11760}},
            {"min_pixels": 6272, "max_pixels": 12544},
        ),
        "patch_size": 14, "temporal_patch_size": 2, "merge_size": 2,
        "image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711],
        "image_processor_type": options.pick("image processor", "Qwen2VLImageProcessorFast", "Qwen2VLImageProcessor"),
        "processor_class": "Qwen2_5_VLProcessor",
    }  # fmt: skip
    return config, images


def qwen3_vl(options: Options, ids: dict[str, int]) -> tuple[dict, dict]:
    """config.json and preprocessor_config.json of a Qwen3-VL."""
    text = text_qwen3(options, max(ids.values()) + options.pick("more rows", 46, 1, 20)) | ends(ids)
    sections = {32: [6, 5, 5], 24: [4, 4, 4], 16: [4, 2, 2]}[text["head_dim"]]
    tied = text["tie_word_embeddings"]
    text |= {
        "model_type": "qwen3_vl_text", "max_position_embeddings": 262144, "dtype": "float32",
        "rope_scaling": {"mrope_interleaved": True, "mrope_section": sections, "rope_type": "default"},
    }  # fmt: skip
    # No more levels than decoder layers.
    deepstack = options.pick("deepstack", [0, 2], [1], [1, 3], [2, 3])
    width, heads = options.pick("vision", (24, 3), (32, 4), (24, 1), (32, 2))
    vision = {
        "deepstack_visual_indexes": deepstack, "depth": options.pick("depth", 4, 5), "hidden_act": "gelu_pytorch_tanh",
        "hidden_size": width, "in_channels": 3, "initializer_range": 0.02, "intermediate_size": 76, "model_type": "qwen3_vl",
        "num_heads": heads, "num_position_embeddings": options.pick("positions", 25, 49, 16, 64),
        "out_hidden_size": text["hidden_size"], "patch_size": 16, "spatial_merge_size": 2, "temporal_patch_size": 2,
    }  # fmt: skip
    config = {
        "architectures": ["Qwen3VLForConditionalGeneration"], "model_type": "qwen3_vl", **qwen_special(ids),
        "text_config": text, "vision_config": vision, "tie_word_embeddings": tied,
    }  # fmt: skip
    smallest, largest = options.pick("pixels", (4096, 11264), (5120, 9216), (2048, 10240))
    images = {
        "size": {"longest_edge": largest, "shortest_edge": smallest}, "patch_size": 16, "temporal_patch_size": 2,
        "merge_size": 2, "image_mean": [0.5] * 3, "image_std": [0.5] * 3, "processor_class": "Qwen3VLProcessor",
        "image_processor_type": "Qwen2VLImageProcessorFast",
    }  # fmt: skip
    return config, images


def internvl(options: Options, ids: dict[str, int], text: dict) -> tuple[dict, dict]:
    """config.json and preprocessor_config.json of an InternVL around a decoder."""
    side, patch, tiles = options.pick("tile", (48, 8, 5), (28, 7, 6), (56, 14, 4), (24, 4, 9))
    width, heads = options.pick("vision", (32, 4), (48, 3), (32, 2))
    # As in the small (LayerNorm, biases) and the large (RMSNorm, query and key norms) published tower, and mixed.
    norm, qk_norm, bias, pooled = options.pick(
        "tower",
        ("rms_norm", True, False, True),
        ("layer_norm", False, True, True),
        ("rms_norm", False, True, False),
        ("layer_norm", True, False, False),
    )
    vision = {
        "architectures": ["InternVisionModel"], "attention_bias": bias, "attention_dropout": 0.0, "dropout": 0.0,
        "hidden_act": "gelu", "hidden_dropout_prob": 0.0, "hidden_size": width, "image_size": [side, side],
        "initializer_factor": 0.1, "initializer_range": 1e-10, "intermediate_size": options.pick("vision mlp", 88, 112),
        "layer_norm_eps": 1e-06, "layer_scale_init_value": 0.1, "model_type": "internvl_vision", "norm_type": norm,
        "num_attention_heads": heads, "num_channels": 3, "num_hidden_layers": options.pick("depth", 2, 4, 3),
        "patch_size": [patch, patch], "projection_dropout": 0.0, "use_absolute_position_embeddings": True,
        "use_mask_token": False, "use_mean_pooling": pooled, "use_qk_norm": qk_norm,
    }  # fmt: skip
    config = {
        "architectures": ["InternVLForConditionalGeneration"], "downsample_ratio": 0.5,
        "image_seq_length": (side // patch // 2) ** 2, "image_token_id": ids["<IMG_CONTEXT>"], "model_type": "internvl",
        "projector_hidden_act": "gelu", "text_config": text | ends(ids), "vision_config": vision,
        "vision_feature_layer": -1, "vision_feature_select_strategy": "default",
    }  # fmt: skip
    images = {
        "crop_to_patches": False, "data_format": "channels_first", "default_to_square": True, "do_convert_rgb": True,
        "do_normalize": True, "do_rescale": True, "do_resize": True, "image_mean": [0.485, 0.456, 0.406],
        "image_processor_type": "GotOcr2ImageProcessorFast", "image_std": [0.229, 0.224, 0.225],
        "max_patches": tiles, "min_patches": 1, "processor_class": "InternVLProcessor",
        "resample": 3, "rescale_factor": 0.00392156862745098, "size": {"height": side, "width": side},
    }  # fmt: skip
    return config, images


def internvl3(options: Options, ids: dict[str, int]) -> tuple[dict, dict]:
    """An InternVL with a Qwen2 decoder. The last added token may lie outside of the embedding table, as in InternVL3."""
    text = text_qwen2(options, max(ids.values()) + options.pick("more rows", 0, 17)) | {"model_type": "qwen2"}
    dynamic = {"factor": 2.0, "rope_type": "dynamic", "type": "dynamic"}
    text["rope_scaling"] = options.pick("rope scaling", None, dynamic)
    return internvl(options, ids, text)


def internvl3_5(options: Options, ids: dict[str, int]) -> tuple[dict, dict]:
    """An InternVL with a Qwen3 decoder."""
    text = text_qwen3(options, max(ids.values()) + options.pick("more rows", 29, 1)) | {"model_type": "qwen3"}
    return internvl(options, ids, text | {"rope_scaling": None})


CONFIGURATIONS = {"qwen2_5_vl": qwen2_5_vl, "qwen3_vl": qwen3_vl, "internvl3": internvl3, "internvl3_5": internvl3_5}


def initial(name: str, shape: torch.Size, text, random: torch.Generator) -> torch.Tensor:
    """A random parameter; the scales give logits of a deviation of two to three, and attention that is not flat."""
    short = name.split(".")[-2:]
    layer, kind = short if len(short) == 2 else ("", short[0])
    if kind.startswith("lambda_"):
        return torch.rand(shape, generator=random) * 0.8 + 0.4
    if kind == "weight" and len(shape) == 1:
        return torch.rand(shape, generator=random) * 0.8 + 0.6
    scale = 1 / math.sqrt(math.prod(shape[1:])) if len(shape) > 1 else 1.0
    if kind == "bias":
        scale = 0.1
    elif kind in ("cls_token", "position_embeddings") or layer == "pos_embed":
        scale = 0.5
    elif layer == "embed_tokens":
        scale = 2 / math.sqrt(shape[1]) if text.tie_word_embeddings else 0.6
    elif layer == "lm_head":
        scale *= 2.8
    elif layer in ("q_proj", "k_proj", "qkv"):
        scale *= 1.6
    elif text.tie_word_embeddings and "language_model" in name and layer in ("o_proj", "down_proj"):
        # Otherwise the token just read would always win.
        scale *= 4.5 if text.num_hidden_layers > 2 else 9.0
    return torch.randn(shape, generator=random) * scale


def write_weights(folder: Path, weights: dict[str, torch.Tensor], n_files: int) -> None:
    """One file, or several with an index."""
    metadata = {"format": "pt"}
    if n_files == 1:
        write_tensors(folder / "model.safetensors", weights, metadata)
        return
    names = sorted(weights)
    placed = {
        name: f"model-{i * n_files // len(names) + 1:05}-of-{n_files:05}.safetensors" for i, name in enumerate(names)
    }
    for file in sorted(set(placed.values())):
        write_tensors(folder / file, {name: weights[name] for name in names if placed[name] == file}, metadata)
    size = sum(weight.numel() * weight.element_size() for weight in weights.values())
    index = {"metadata": {"total_size": size}, "weight_map": placed}
    write_json(folder / "model.safetensors.index.json", index, 2)


def make_checkpoint(family: str, seed: int, init_seed: int, tokenizer: Path, folder: Path) -> dict:
    """Writes a checkpoint: configuration by `seed`, weights by `init_seed`, tokenizer from a folder. What was chosen."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    for path in tokenizer.iterdir():
        if path.name not in MADE and not path.name.startswith("model"):
            copy_file(path, folder / path.name)
    options = Options(family, seed)
    ids = token_ids(tokenizer)
    config, images = CONFIGURATIONS[family](options, ids)
    dtype = options.pick("dtype", "bfloat16", "float32", "float16")
    config |= {options.pick("dtype key", "torch_dtype", "dtype"): dtype, "transformers_version": "4.57.6"}
    if "dtype" in config.get("text_config", {}):
        config["text_config"]["dtype"] = dtype
    write_json(folder / "config.json", config, 2)
    write_json(folder / "preprocessor_config.json", images, 2)
    if (tokenizer / "processor_config.json").exists():
        processor = read_json(tokenizer / "processor_config.json") | {"image_seq_length": config["image_seq_length"]}
        write_json(folder / "processor_config.json", processor, 2)
    if (tokenizer / "video_preprocessor_config.json").exists():
        video = read_json(tokenizer / "video_preprocessor_config.json") | {"size": images["size"]}
        write_json(folder / "video_preprocessor_config.json", video, 2)

    model = AutoModelForImageTextToText.from_config(AutoConfig.from_pretrained(folder))
    text = model.config.get_text_config()
    random = torch.Generator().manual_seed(init_seed)
    hub_naming = family == "qwen3_vl" or options.pick("names", "hub", "module tree") == "hub"
    weights = {}
    for name, parameter in model.named_parameters():
        values = initial(name, parameter.shape, text, random).to(getattr(torch, dtype))
        weights[hub_name(family, name) if hub_naming else name] = values
    write_weights(folder, weights, options.pick("files", 1, 3, 1))
    return {question: list(x) if isinstance(x, tuple) else x for question, x in options.chosen.items()}


def picture(rng: numpy.random.Generator, width: int, height: int) -> Image.Image:
    """Slopes, a grating, shapes and some noise: smooth parts, hard edges and detail that a resize must blur."""
    y, x = numpy.mgrid[0:height, 0:width]
    layers = []
    for _ in range(3):
        angle, period = rng.uniform(0, math.pi), rng.uniform(5, 40)
        wave = 60 * numpy.sin((x * math.cos(angle) + y * math.sin(angle)) * 2 * math.pi / period)
        slope = rng.uniform(-80, 80) * x / max(width, 2) + rng.uniform(-80, 80) * y / max(height, 2)
        layers.append(128 + wave + slope + rng.normal(0, 6, x.shape))
    image = Image.fromarray(numpy.clip(numpy.stack(layers, -1), 0, 255).astype(numpy.uint8))
    draw = ImageDraw.Draw(image)
    for index in range(6):
        left, top = int(rng.uniform(0, width)), int(rng.uniform(0, height))
        box = (left, top, left + int(rng.uniform(1, width / 2 + 1)), top + int(rng.uniform(1, height / 2 + 1)))
        (draw.rectangle if index % 2 else draw.ellipse)(box, fill=tuple(int(v) for v in rng.integers(0, 256, 3)))
    return image


def with_alpha(rng: numpy.random.Generator, image: Image.Image) -> Image.Image:
    """The image with transparency of all degrees."""
    image = image.copy()
    slope = numpy.linspace(0, 255, image.width)[None] + rng.normal(0, 40, (image.height, image.width))
    image.putalpha(Image.fromarray(numpy.clip(slope, 0, 255).astype(numpy.uint8)))
    return image


def make_images(seed: int, folder: Path) -> None:
    """Images of many modes and sizes; the names used by the prompts are wide.png and gray.png."""
    rng = numpy.random.default_rng([seed, 20])

    def new(widths, heights):
        return picture(rng, int(rng.integers(*widths)), int(rng.integers(*heights)))

    def save(image, name, **options):
        kind = "JPEG" if name.endswith(".jpg") else "PNG"
        with replacing(folder / name) as temporary:
            image.save(temporary, kind, **options)

    save(new((130, 190), (70, 110)), "wide.png")
    save(new((60, 100), (110, 160)).convert("L"), "gray.png")
    save(with_alpha(rng, new((80, 130), (60, 110))), "rgba.png")
    save(new((500, 700), (350, 480)), "large.png")
    save(new((3, 25), (3, 25)), "tiny.png")
    save(new((1, 2), (1, 2)), "dot.png")
    save(new((220, 330), (5, 9)), "strip.png")
    save(new((4, 8), (150, 240)), "tower.png")
    save(with_alpha(rng, new((60, 110), (60, 110)).convert("L")), "gray_alpha.png")
    # A palette whose colors are transparent by degrees.
    palette = bytes(int(v) for v in rng.integers(0, 256, 40))
    save(new((60, 110), (60, 110)).quantize(40), "palette.png", transparency=palette)
    photo = new((90, 140), (60, 90))
    exif = Image.Exif()
    exif[0x0112] = int(rng.choice([6, 8, 5, 7]))
    save(photo, "rotated.jpg", quality=85, exif=exif)
