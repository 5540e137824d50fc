"""Every network of Michael Nielsen's book, Neural Networks and Deep Learning, on MNIST: its figure and ours.

python examples/nielsen.py --list                        what there is
python examples/nielsen.py quadratic-30 softmax-100      these rows; without names, all but those on expanded data
python examples/nielsen.py --json --plot nielsen.png     the table as JSON and as a picture

They learn from 50,000 pictures in batches of 10. A figure is the best epoch's, on the 10,000 test pictures or, where
the book says so, on the 10,000 for validation. As luck decides some tenths of a percent, rows that fig/overfitting.py
in the book's repository made start with its weights and take pictures in its order. CLNET_DATA: MNIST's folder.
"""

import argparse
import json
import time

import numpy as np
from nielsen_rows import ROWS, Row

import clnet
from clnet import data


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", metavar="ROW", help="names of rows")
    parser.add_argument("--list", action="store_true", help="show the rows and stop")
    parser.add_argument("--quick", action="store_true", help="one epoch on 1,000 pictures")
    parser.add_argument("--seeds", type=int, default=1, help="train rows so often, but those of the book's own draws")
    parser.add_argument("--until-book", action="store_true", help="stop rows at the book's figure")
    parser.add_argument("--device", help="cpu, gpu, or part of a name, as `clnet devices` shows them")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    parser.add_argument("--plot", metavar="FILE.png")
    options = parser.parse_args()
    if unknown := sorted(set(options.rows) - {row.name for row in ROWS}):
        parser.error(f"no rows {unknown}; --list shows those that there are")
    chosen = [row for row in ROWS if row.name in options.rows or (not options.rows and options.list >= row.expanded)]
    results = []
    for row in chosen:
        print(f"{row.name:<20}{row.what:<36} book {row.book:.2f} %", end="\n" if options.list else "  ", flush=True)
        if not options.list:
            runs = [train(row, options, seed) for seed in range(1 if row.orders else options.seeds)]
            here, seconds = (float(np.mean(each)) for each in zip(*runs, strict=True))
            results.append({"name": row.name, "what": row.what, "book": row.book, "here": here, "seconds": seconds})
            print(f"here {here:.2f} %, {seconds:.1f} s")
    if options.plot:
        picture(results, options.plot)
    if options.json:
        print(json.dumps({"device": repr(clnet.device(options.device)), "rows": results}))


def train(row: Row, options: argparse.Namespace, seed: int) -> tuple[float, float]:
    """(accuracy of the best epoch, or of the vote, in percent; seconds)."""
    pictures = data.load("mnist")
    learned, held_out = data.split(*pictures.train, fraction=1 / 6, seed=None)  # the last 10,000 are for validation
    taken = [each[: 1000 if options.quick else row.samples] for each in learned]
    x, y = data.expand(*taken) if row.expanded else taken
    judged = held_out if row.validation else pictures.test
    start, epochs = time.perf_counter(), 1 if options.quick else row.epochs
    models = [row.model(len(x), clnet.device(options.device), 10 * seed + vote) for vote in range(row.votes)]
    best = max(row.fit(m, (x, y), judged, epochs, options.until_book) for m in models)
    if len(models) > 1:
        votes = sum(np.eye(10)[model.predict(judged[0]).argmax(1)] for model in models).argmax(1)
        best = float((votes == judged[1]).mean())
    return 100 * best, time.perf_counter() - start


def picture(results: list[dict[str, object]], path: str) -> None:
    from matplotlib.figure import Figure

    axes = (figure := Figure(figsize=(8, 1 + 0.3 * len(results)), layout="constrained")).subplots()
    for key, marker in (("book", "|"), ("here", "o")):
        axes.plot([row[key] for row in results], [row["name"] for row in results], marker, label=key, markersize=8)
    axes.set(xlabel="% of pictures right", ylim=(len(results) - 0.5, -0.5))
    axes.legend()
    figure.savefig(path)


if __name__ == "__main__":
    main()
