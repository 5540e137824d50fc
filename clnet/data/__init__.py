"""Data: named sets, files of the user's, splits and batches, all as NumPy arrays.

load("digits" | "mnist" | "fashion-mnist" | "FILE.npz" | "FILE.csv") -> Dataset
    model.fit(*data.train, validation_data=data.test)
split(x, y, fraction=0.1) -> (x, y), (x_held, y_held)
expand(x, y) -> five times as many: pictures shifted by a pixel
Batches(x, y, batch_size=128): what does not fit the device, or the host
read_idx, write_idx, read_npz, read_csv: what a file holds, checked
"""

from clnet.data.batches import Batches
from clnet.data.catalog import NAMES, load
from clnet.data.dataset import Dataset
from clnet.data.expansion import expand
from clnet.data.idx import read_idx, write_idx
from clnet.data.npz import read_npz
from clnet.data.splits import split
from clnet.data.table import Table, read_csv

__all__ = [
    "NAMES",
    "Batches",
    "Dataset",
    "Table",
    "expand",
    "load",
    "read_csv",
    "read_idx",
    "read_npz",
    "split",
    "write_idx",
]
