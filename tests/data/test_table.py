"""CSV: headers, labels, quirks; every bad cell with its line and column."""

import gzip

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from clnet.data import read_csv
from clnet.errors import DataError


@pytest.fixture
def table(tmp_path):
    """read_csv of this text."""

    def read(text, **options):
        path = tmp_path / "a.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_csv(path, **options)

    return read


def test_text_labels_become_classes_in_sorted_order(table):
    t = table("width,height,kind\n1,2,pear\n3,4,apple\n5,6,pear\n")
    np.testing.assert_array_equal(t.x, [[1, 2], [3, 4], [5, 6]])
    np.testing.assert_array_equal(t.y, [1, 0, 1])
    assert (t.x.dtype, t.y.dtype) == (np.float32, np.int32)
    assert (t.features, t.classes, t.task) == (("width", "height"), ("apple", "pear"), "classification")


def test_numbers_that_differ_are_values(table):
    t = table("a,b\n1,0.5\n2,1.5\n")
    assert (t.task, t.classes, t.y.dtype, t.y.tolist()) == ("regression", None, np.float32, [[0.5], [1.5]])


def test_whole_numbers_that_repeat_are_classes_by_value(table):
    t = table("1,10\n2,9\n3,9.0\n4,10\n")
    assert (t.task, t.classes, t.y.tolist()) == ("classification", ("9", "10"), [1, 0, 0, 1])
    assert t.features == ("1",)


def test_task_overrules_the_guess(table):
    assert table("1,1\n2,1\n3,2\n4,2\n", task="regression").y.tolist() == [[1], [1], [2], [2]]
    assert table("1,0.5\n2,1.5\n", task="classification").classes == ("0.5", "1.5")
    assert table("1,1\n2,2\n3,3b\n", task="classification").classes == ("1", "2", "3b")


@pytest.mark.parametrize("target", ["b", 1, -2])
def test_the_target_may_be_any_column(table, target):
    t = table("a,b,c\n1,2.5,3\n4,5.5,6\n", target=target)
    assert (t.features, t.x.tolist(), t.y.tolist()) == (("a", "c"), [[1, 3], [4, 6]], [[2.5], [5.5]])


def test_no_target_leaves_only_features(table):
    t = table("a,b\n1,2\n3,4\n", target=None)
    assert (t.features, t.x.tolist(), t.y.shape) == (("a", "b"), [[1, 2], [3, 4]], (2, 0))


@pytest.mark.parametrize("target", ["z", 2, -3])
def test_a_target_that_is_not_there_is_refused(table, target):
    with pytest.raises(DataError, match=f"a.csv: target {target!r}.*(header a, b|2 columns)"):
        table("a,b\n1,2\n", target=target)


def test_the_header_is_seen_or_told(table):
    assert table("1,2\n3,4\n").x.tolist() == [[1], [3]]
    assert table("1,2\n3,4\n", header=True).x.tolist() == [[3]]
    assert table("1,2\n3,4\n", header=True).features == ("1",)
    assert table("5.1,setosa\n4.9,setosa\n").classes == ("setosa",)


@pytest.mark.parametrize(
    "text",
    [
        "a;b\n1;2.5\n3;4.5\n",
        "a\tb\n1\t2.5\n3\t4.5\n",
        "\ufeffa,b\n1,2.5\n3,4.5\n",  # a byte order mark, as Excel writes it
        "a,b\r\n1,2.5\r\n3,4.5",  # Windows, and no newline at the end
        "\n\na,b\n\n1,2.5\n  \n3,4.5\n\n",
        '"a","b"\n"1"," 2.5"\n 3 ,4.5\n',
        '"a\nx",b\n1,2.5\n3,4.5e0\n',
    ],
)
def test_quirks_of_the_format(table, text):
    t = table(text)
    assert (t.x.tolist(), t.y.tolist()) == ([[1], [3]], [[2.5], [4.5]])


def test_gzip(tmp_path):
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"1,2.5\n3,4.5\n"))
    assert read_csv(tmp_path / "a.csv.gz").x.tolist() == [[1], [3]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("\n \n", "empty"),
        ("a,b\n", "0 rows and 2 columns"),
        ("a\n1\n", "1 rows and 1 columns besides the header: no features"),
        ("a,b,c\n1,2,3\n4,5\n", "line 3: 2 cells, the first row has 3"),
        ("a,b\n1,2\n3,4,5\n", "line 3: 3 cells, the first row has 2"),
        ("a,b\n1,2\n\n,4\n", r"line 4, column 1 \(a\): the value is missing"),
        ("a,b\n1,2\nx1,4\n", r"line 3, column 1 \(a\): 'x1' is not a finite number"),
        ("a,b\n1,2\nnan,4\n", r"line 3, column 1 \(a\): 'nan' is not"),
        ("a,b\n1,2\n1e39,4\n", r"line 3, column 1 \(a\): 'inf' is not"),
        ("1,2,3\n4,NA,5\n", r"line 2, column 2: 'NA' is not"),
        ("1,x,3\n4,5,6\n", r"line 1, column 2: 'x' is not"),
        ("a,b\n1,\n2,yes\n", r"line 2, column 2 \(b\): the value is missing"),
        ("a,b\n1,2\n2,?\n3,5\n", r"line 3, column 2 \(b\): '\?' is not"),
        ("a,b\n1,2\n2,inf\n3,5\n", r"line 3, column 2 \(b\): 'inf' is not"),
        ("a,b\n1,2\n2,1e300\n3,5\n", r"line 3, column 2 \(b\): '1e300' is not"),
        ('a,b\n1,"2\n', "not CSV"),
        ('a,b\n1,"' + "x" * 200_000 + '"\n', "not CSV: field larger"),
        (b"a,b\n1,\xff\n", "not UTF-8"),
        (b"\xff\xfea\0,\0", "not UTF-8"),
        (b"\x1f\x8bnot gzip", "damaged gzip"),
    ],
)
def test_bad_input_names_file_line_and_column(table, text, message):
    with pytest.raises(DataError, match=f"a.csv: {message}"):
        table(text)


def test_a_target_in_other_columns_keeps_the_columns_of_messages(table):
    with pytest.raises(DataError, match=r"line 2, column 3 \(c\)"):
        table("a,b,c\n1,2,x\n", target="b")


def test_regression_on_text_is_refused(table):
    with pytest.raises(DataError, match=r"line 2, column 2 \(b\): 'red' is not a finite number"):
        table("a,b\n1,red\n", task="regression")


@given(arrays(np.float32, st.tuples(st.integers(1, 9), st.integers(2, 5)), elements=st.floats(-1e9, 1e9, width=32)))
def test_round_trip(tmp_path_factory, values):
    path = tmp_path_factory.getbasetemp() / "round.csv"
    path.write_text("\n".join(",".join(map(repr, row)) for row in values.tolist()))
    t = read_csv(path, task="regression")
    np.testing.assert_array_equal(np.hstack([t.x, t.y]), values)


@given(content=st.text(alphabet='0123456789.,;\t\r\n"e-ax\0 ', max_size=40))
def test_noise_is_a_data_error_or_a_table(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "noise.csv"
    path.write_text(content)
    try:
        t = read_csv(path)
    except DataError:
        return
    assert np.isfinite(t.x).all()
    assert len(t.x) == len(t.y)


def test_a_named_target_implies_a_header(table):
    t = table("1,2\n3,4.5\n", target="2", header=False)
    assert (t.features, t.x.tolist(), t.y.tolist()) == (("1",), [[3]], [[4.5]])
