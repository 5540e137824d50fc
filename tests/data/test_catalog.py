"""load: named sets and files become Datasets, or an error that names the file."""

import hashlib

import numpy as np
import pytest

from clnet.data import load
from clnet.errors import ArgumentError, DataError

RANDOM = np.random.default_rng(0)


def test_digits_are_scikit_learns():
    datasets = pytest.importorskip("sklearn.datasets", reason="scikit-learn is not installed")
    theirs, ours = datasets.load_digits(), load("digits")
    rows = [np.column_stack([x.reshape(len(x), 64) * 16, y]) for x, y in (ours.train, ours.test)]
    assert sorted(np.vstack(rows).tolist()) == sorted(np.column_stack([theirs.data, theirs.target]).tolist())


def test_digits_have_a_split_that_never_changes():
    data = load("digits")
    assert (data.x_train.shape, data.x_test.shape) == ((1438, 8, 8, 1), (359, 8, 8, 1))
    assert (data.x_train.dtype, data.y_train.dtype) == (np.float32, np.int32)
    assert (data.x_train.min(), data.x_train.max()) == (0, 1)
    assert data.classes == tuple("0123456789")
    assert set(np.bincount(data.y_test)) <= {35, 36, 37}
    assert hashlib.sha256(data.x_test.astype("<f4").tobytes()).hexdigest()[:16] == "f985f70e8de55dfc"


def test_npz_as_keras_names_it(tmp_path):
    x, y = RANDOM.integers(0, 256, (6, 3, 3), np.uint8), np.array([5, 7, 5, 7, 9, 9])
    np.savez(tmp_path / "toy.npz", x_train=x[:4], y_train=y[:4], x_test=x[4:], y_test=y[4:])
    data = load(tmp_path / "toy.npz")
    np.testing.assert_array_equal(data.x_train, x[:4] / np.float32(255))
    assert (data.name, data.classes) == ("toy", ("5", "7", "9"))
    assert (data.y_train.tolist(), data.y_test.tolist()) == ([0, 1, 0, 1], [2, 2])


def test_npz_to_be_split(tmp_path):
    x = RANDOM.normal(size=(50, 4))
    np.savez(tmp_path / "a.npz", x=x, y=x[:, :2], other=np.array(1))
    data = load(str(tmp_path / "a.npz"))
    assert (data.x_train.shape, data.y_train.shape, data.x_test.shape) == ((40, 4), (40, 2), (10, 4))
    assert (data.task, data.outputs, data.y_train.dtype) == ("regression", 2, np.float32)
    np.testing.assert_array_equal(data.y_test, data.x_test[:, :2])
    assert len(load(tmp_path / "a.npz", test_fraction=0).x_test) == 0
    assert load(tmp_path / "a.npz", seed=1).x_test.tolist() != data.x_test.tolist()


def test_task_overrules_the_dtype(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.ones((4, 1)), y=np.array([0.0, 1.0, 0.0, 1.0]))
    assert load(tmp_path / "a.npz").task == "regression"
    assert load(tmp_path / "a.npz", task="classification").classes == ("0", "1")


X, Y = np.ones((4, 2)), np.array([0, 1, 0, 1])


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": X, "labels": Y}, "holds images, labels; wants x_train, y_train, x_test, y_test, or x, y"),
        ({"x_train": X, "y_train": Y}, "holds x_train, y_train; wants"),
        ({}, "holds nothing; wants"),
        ({"x": X, "y": Y[:3]}, "x_train has 4 samples, y_train has 3"),
        ({"x": X[:0], "y": Y[:0]}, "nothing to train on"),
        ({"x": Y, "y": Y}, r"x is int64 of shape \(4,\), wants numbers"),
        ({"x": np.array([["a"]]), "y": Y[:1]}, r"x is <U1 of shape"),
        ({"x": X * [1, np.nan], "y": Y}, r"x has 4 values that are not finite float32 numbers, first at \(0, 1\)"),
        ({"x": X * 1e39, "y": Y}, r"x has 8 values that are not finite"),
        ({"x": X, "y": np.array([0, 1, np.inf, 2])}, r"y has 1 values that are not finite .* first at \(2,\)"),
        ({"x": X, "y": np.array(1)}, r"targets have shapes \(\)"),
        ({"x_train": X, "y_train": Y, "x_test": X, "y_test": X}, r"targets have shapes \(4,\) and \(4, 2\)"),
        ({"x_train": X, "y_train": Y, "x_test": X[:, :1], "y_test": Y}, r"a sample is \(2,\)"),
    ],
)
def test_an_npz_that_does_not_fit_is_named(tmp_path, arrays, message):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(DataError, match=f"a.npz: .*{message}"):
        load(tmp_path / "a.npz")


def test_csv(tmp_path):
    text = "\n".join(f"{'ab'[i % 2]},{i},{i * i}" for i in range(20))
    (tmp_path / "a.csv").write_text(f"kind,i,square\n{text}\n")
    data = load(tmp_path / "a.csv", target="kind", test_fraction=0.3)
    assert (data.name, data.classes, data.input_shape) == ("a", ("a", "b"), (2,))
    assert np.bincount(data.y_test).tolist() == [3, 3]
    (tmp_path / "b.tsv").write_text("1\t2\n3\t2\n")
    assert load(tmp_path / "b.tsv").classes == ("2",)
    assert load(tmp_path / "b.tsv", task="regression").outputs == 1


@pytest.mark.parametrize("name", ["mnits", "a.png", "", "digits.zip"])
def test_an_unknown_name_lists_the_known_ones(name):
    with pytest.raises(DataError, match=f"load: '{name}' is none of digits, mnist, fashion-mnist, cifar10, nor"):
        load(name)


@pytest.mark.parametrize("name", ["absent.npz", "absent.csv"])
def test_an_absent_file_is_named(tmp_path, name):
    with pytest.raises(DataError, match=f"{name}: cannot be read: No such file"):
        load(tmp_path / name)


def test_a_fraction_that_leaves_nothing_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", x=X, y=Y)
    with pytest.raises(ArgumentError, match="split: fraction=1"):
        load(tmp_path / "a.npz", test_fraction=1)
