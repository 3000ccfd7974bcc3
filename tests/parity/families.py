"""What the scripts of this folder know about the four model families, and how they look into a forward pass.

A family is told from `config.json`: `qwen2_5_vl`, `qwen3_vl`, `internvl3` (InternVL with a Qwen2 decoder) or `internvl3_5`
(InternVL with a Qwen3 decoder).
"""

import contextlib
import json
import os
import re
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch.overrides import TorchFunctionMode
from transformers import AutoModelForImageTextToText

FAMILIES = ("qwen2_5_vl", "qwen3_vl", "internvl3", "internvl3_5")

# Names of the module tree -> names on the hub. Qwen3-VL has one naming only.
HUB_NAMES = {
    "qwen2_5_vl": [(r"^model\.visual\.", "visual."), (r"^model\.language_model\.", "model.")],
    "qwen3_vl": [],
    "internvl": [
        (r"^model\.language_model\.", "language_model.model."),
        (r"^lm_head\.", "language_model.lm_head."),
        (r"^model\.vision_tower\.", "vision_tower."),
        (r"^model\.multi_modal_projector\.", "multi_modal_projector."),
    ],
}


def family_of(config: dict) -> str:
    """The family that a parsed `config.json` describes."""
    kind = config["model_type"]
    if kind == "internvl":
        return {"qwen2": "internvl3", "qwen3": "internvl3_5"}[config["text_config"]["model_type"]]
    return kind


def is_qwen(family: str) -> bool:
    """Whether the family has three position axes and images of any size."""
    return family.startswith("qwen")


def hub_name(family: str, name: str) -> str:
    """The name that the published checkpoints of the family use for a parameter."""
    for pattern, replacement in HUB_NAMES["internvl" if family.startswith("internvl") else family]:
        renamed, count = re.subn(pattern, replacement, name)
        if count:
            return renamed
    return name


def checkpoint_names(family: str, model, stored: set[str]) -> dict[str, str]:
    """Parameter names of `model` -> names of the same parameters in a checkpoint that holds `stored`."""
    names = [name for name, _ in model.named_parameters()]
    return {name: name if name in stored else hub_name(family, name) for name in names}


def read_json(path: Path):
    """Parses a file."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


@contextlib.contextmanager
def replacing(path: Path):
    """A temporary name that becomes `path` when all went well, so that no half-written file is ever seen."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    try:
        yield Path(name)
        os.chmod(name, 0o644)
        os.replace(name, path)
    finally:
        Path(name).unlink(missing_ok=True)


def copy_file(source: Path, target: Path) -> None:
    """Copies a file whole."""
    with replacing(target) as temporary:
        temporary.write_bytes(Path(source).read_bytes())


def write_text(path: Path, text: str) -> None:
    """Writes a text file whole."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value, indent: int | None = None) -> None:
    """Writes a JSON file whole; not a number is an error."""
    write_text(path, json.dumps(value, ensure_ascii=False, indent=indent, allow_nan=False) + "\n")


def write_tensors(path: Path, tensors: dict, metadata: dict | None = None) -> None:
    """Writes a safetensors file whole."""
    with replacing(path) as temporary:
        save_file({name: tensor.clone().contiguous() for name, tensor in tensors.items()}, temporary, metadata)


def read_tensors(folder: Path) -> dict[str, torch.Tensor]:
    """All tensors of a checkpoint folder, sharded or not."""
    index = Path(folder) / "model.safetensors.index.json"
    if index.exists():
        placed = read_json(index)["weight_map"]
        tensors = {}
        for file in sorted(set(placed.values())):
            tensors |= load_file(Path(folder) / file)
        if set(tensors) != set(placed):
            raise ValueError(f"{folder}: the index and the files name different tensors")
        return tensors
    return load_file(Path(folder) / "model.safetensors")


def load_model(folder, dtype=torch.float32, attention: str = "eager"):
    """The model of a checkpoint in evaluation mode; raises if a tensor is missing, left over or of another shape."""
    model, loading = AutoModelForImageTextToText.from_pretrained(
        folder, dtype=dtype, attn_implementation=attention, output_loading_info=True
    )
    wrong = {kind: names for kind, names in loading.items() if names}
    if wrong:
        raise ValueError(f"{folder}: {wrong}")
    return model.eval()


class Trace:
    """Keeps what flows through a model, by the names of the fixtures (the README beside the fixtures defines them).

    `detail` adds the inside of the vision tower. Hooks and not `output_hidden_states`: these are the same for all families,
    and show DeepStack additions where they are made.
    """

    def __init__(self, family: str, model, detail: bool = True):
        self.tensors: dict[str, torch.Tensor] = {}
        self._hooks = []
        self._text(model.model.language_model)
        if is_qwen(family):
            self._qwen(model.model.visual, detail)
        else:
            self._internvl(model.model, detail)

    def __enter__(self):
        return self.tensors

    def __exit__(self, *_):
        for hook in self._hooks:
            hook.remove()

    def _keep(self, name: str, value) -> None:
        value = value[0] if isinstance(value, tuple) else value
        # A decoding step runs the model again; the first pass counts.
        self.tensors.setdefault(name, value.detach().clone())

    def _input(self, module, name: str) -> None:
        def hook(_, args, kwargs):
            self._keep(name, args[0] if args else kwargs["hidden_states"])

        self._hooks.append(module.register_forward_pre_hook(hook, with_kwargs=True))

    def _output(self, module, name: str) -> None:
        self._hooks.append(module.register_forward_hook(lambda _, __, output: self._keep(name, output)))

    def _text(self, text) -> None:
        for index, layer in enumerate(text.layers):
            self._input(layer, f"hidden_{index}")
        self._input(text.norm, f"hidden_{len(text.layers)}")
        self._output(text.norm, "final_norm")

    def _qwen(self, visual, detail: bool) -> None:
        self._output(visual, "vision.output")
        for index, merger in enumerate(getattr(visual, "deepstack_merger_list", [])):
            self._output(merger, f"vision.deepstack_{index}")
        if detail:
            self._output(visual.patch_embed, "vision.patch_embed")
            if hasattr(visual, "pos_embed"):
                self._input(visual.blocks[0], "vision.embed_plus_pos")
            for index, block in enumerate(visual.blocks):
                self._output(block, f"vision.block_{index}")

    def _internvl(self, model, detail: bool) -> None:
        self._output(model.multi_modal_projector, "vision.output")
        if detail:
            self._output(model.vision_tower.embeddings, "vision.embeddings")
            for index, layer in enumerate(model.vision_tower.encoder.layer):
                self._output(layer, f"vision.block_{index}")
            self._output(model.vision_tower.layernorm, "vision.last_hidden_state")
            self._input(model.multi_modal_projector, "vision.pixel_shuffled")


class InDouble(TorchFunctionMode):
    """Makes the places where a model asks for f32 (norms, rotary embeddings, softmax) take f64 instead.

    With `model.double()` this gives a reference whose own rounding does not count.
    """

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function is torch.Tensor.float:
            return args[0].double()

        def wider(value):
            return torch.float64 if value is torch.float32 else value

        kwargs = {name: wider(value) for name, value in (kwargs or {}).items()}
        return function(*(wider(value) for value in args), **kwargs)


def positions(family: str, model, inputs: dict) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Position ids of a batch (`[3, B, T]` or `[B, T]`), and for the Qwen families the rope deltas `[B, 1]`."""
    mask = inputs["attention_mask"]
    if is_qwen(family):
        grid = inputs.get("image_grid_thw")
        return model.model.get_rope_index(inputs["input_ids"], grid, None, attention_mask=mask)
    return (mask.long().cumsum(-1) - 1).masked_fill(mask == 0, 1), None
