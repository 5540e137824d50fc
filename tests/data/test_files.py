"""The readers' files: what fails is named, what is written is whole or not there."""

import gzip

import pytest

from clnet.data.files import opened, replacing, take
from clnet.errors import DataError


def test_gzip_is_known_by_content_not_by_name(tmp_path):
    (tmp_path / "plain.gz").write_bytes(b"plain")
    (tmp_path / "packed").write_bytes(gzip.compress(b"packed"))
    with opened(tmp_path / "plain.gz") as file:
        assert file.read() == b"plain"
    with opened(tmp_path / "packed") as file:
        assert file.read() == b"packed"


@pytest.mark.parametrize("name", ["absent", ""])
def test_what_cannot_be_opened_is_named(tmp_path, name):
    with pytest.raises(DataError, match=f"{tmp_path / name}: cannot be read"), opened(tmp_path / name):
        pass


def test_take_stops_at_its_limit(tmp_path):
    path = tmp_path / "three"
    path.write_bytes(b"abc")
    with path.open("rb") as file:
        assert (take(file, 2), take(file, 2**62), take(file, 1)) == (b"ab", b"c", b"")


def test_a_failed_write_keeps_the_old_file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(TypeError), replacing(path) as file:
        file.write(None)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
