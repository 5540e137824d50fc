"""A character GPT, or an LSTM, learns a text and goes on writing it; bits a character on its unseen last tenth.

python examples/shakespeare.py [--model lstm] [--text FILE] [--epochs 10] [--device cpu] [--quick]

Without --text it takes text/tinyshakespeare.txt in the folder CLNET_DATA, and this file where there is none.
"""

import argparse
import math
import os
import time
from pathlib import Path

import numpy as np

import clnet
from clnet import nn, optim, schedules

STEPS, BATCH = 128, 8


def network(kind: str, characters: int) -> nn.Layer:
    if kind == "lstm":
        body = [nn.Embedding(characters, 64), nn.LSTM(256, return_sequences=True)]
    else:
        block = {"feed_forward": 512, "dropout": 0.0, "activation": "gelu", "norm_first": True, "causal": True}
        blocks = (nn.TransformerEncoderLayer(128, 4, **block) for _ in range(4))
        body = [nn.Embedding(characters, 128), nn.PositionEmbedding(STEPS), *blocks, nn.LayerNorm()]
    return nn.Sequential(*body, nn.Dense(characters))


def windows(codes: np.ndarray, start: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(x, y), each (windows, STEPS): characters, and the ones that follow them."""
    count = (len(codes) - 1 - start) // STEPS
    x, y = (codes[start + shift : start + shift + count * STEPS].reshape(count, STEPS) for shift in (0, 1))
    return x, y


def write(model: clnet.Model, codes: np.ndarray, length: int, random: np.random.Generator) -> list[int]:
    """So many characters that follow the last of the codes, each drawn from what the model expects."""
    written = list(codes[-STEPS:])
    for _ in range(length):
        scores = model.predict(np.array([written[-STEPS:]], np.int32))[0, -1].astype(np.float64) / 0.8
        chances = np.exp(scores - scores.max())
        written.append(int(random.choice(len(chances), p=chances / chances.sum())))
    return written[STEPS:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=["gpt", "lstm"], default="gpt")
    parser.add_argument("--text", type=Path, help="any text; the more, the better")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--device", help="cpu, gpu, or part of a name, as `clnet devices` shows them")
    parser.add_argument("--quick", action="store_true", help="an epoch on a small part, to see that it runs")
    options = parser.parse_args()
    found = Path(os.environ.get("CLNET_DATA", "."), "text", "tinyshakespeare.txt")
    text = (options.text or (found if found.exists() else Path(__file__))).read_text()
    text, epochs = (text[:2418], 1) if options.quick else (text, options.epochs)  # two whole batches
    alphabet = sorted(set(text))
    codes = np.array([alphabet.index(c) for c in text], np.int32)
    train, unseen = np.split(codes, [len(codes) * 9 // 10])
    rate = schedules.CosineDecay(1.5e-3, decay=epochs * len(train) // (STEPS * BATCH), warmup=100)
    optimizer = optim.AdamW(rate, weight_decay=0.01, clip_norm=1.0)
    net = network(options.model, len(alphabet))
    model = clnet.Model(net, "softmax_cross_entropy", optimizer, device=clnet.device(options.device))
    random, begin = np.random.default_rng(0), time.perf_counter()
    for epoch in range(epochs):  # each cuts the text into windows at other places
        history = model.fit(*windows(train, random.integers(STEPS)), epochs=1, batch_size=BATCH, verbose=0)
        bits = model.evaluate(*windows(unseen), batch_size=BATCH)["loss"] / math.log(2)
        learned = history.history["loss"][-1] / math.log(2)
        seconds = time.perf_counter() - begin
        print(f"epoch {epoch + 1}, {seconds:.0f} s: {learned:.3f} bits a character, {bits:.3f} unseen", flush=True)
    print("".join(alphabet[code] for code in write(model, unseen, 20 if options.quick else 400, random)))


if __name__ == "__main__":
    main()
