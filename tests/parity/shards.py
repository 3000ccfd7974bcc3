"""Writes ../fixtures/parquet/: a data set in two shards, as the Hub stores them (datasets 5.2.0, pyarrow 26.0.1, Pillow 13.0.0)."""

from pathlib import Path

from datasets import Dataset, Features, Image, Sequence, Value
from PIL import Image as Picture

features = Features(
    {
        "images": Sequence(Image()),
        "problem": Value("string"),
        "answer": Value("string"),
        "dataset": Value("string"),
        "level": Value("int64"),
        "pass_rate": Value("float32"),
    }
)


def row(i):
    n_images = i % 3
    pictures = [Picture.new("RGB", (8 + i, 6 + j), (40 * i, 90, 120 * j)) for j in range(n_images)]
    return {
        "images": pictures,
        "problem": "<image>" * n_images + f"What is {i} + 1?",
        "answer": str(i + 1),
        "dataset": "geometry3k" if n_images else "orz",
        "level": i // 2,
        "pass_rate": i / 4 if i < 4 else None,
    }


dataset = Dataset.from_list([row(i) for i in range(5)], features=features)
for shard in range(2):
    path = Path(__file__).parent.parent / "fixtures" / "parquet" / f"train-{shard:05}-of-00002.parquet"
    dataset.shard(2, shard, contiguous=True).to_parquet(path)
