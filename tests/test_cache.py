"""Files under CLNET_CACHE: replaced whole, and missed by nobody where nothing can be written."""

import shutil
from pathlib import Path

import pytest

from clnet import cache


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("CLNET_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_what_was_written_is_read(folder):
    assert cache.read("a/b") is None
    assert cache.write("a/b", b"one")
    assert cache.write("a/b", b"two")
    assert cache.read("a/b") == b"two"
    assert [path.name for path in (folder / "a").iterdir()] == ["b"]  # no temporary file stays


def test_remove(folder):
    cache.write("a", b"one")
    cache.remove("a")
    cache.remove("a")
    assert cache.read("a") is None


def test_a_file_in_the_way_is_survived(folder):
    cache.write("a", b"a file")
    assert not cache.write("a/b", b"below a file")
    assert cache.read("a/b") is None


@pytest.mark.parametrize("path", ["/proc/none", "/dev/null/none"])
def test_a_folder_that_cannot_be_made(path, monkeypatch):
    monkeypatch.setenv("CLNET_CACHE", path)
    assert cache.folder() != Path(path)
    assert cache.write("a", b"one")
    assert cache.read("a") == b"one"


def test_a_full_disk(folder, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(1 << 40, 1 << 40, 0))
    assert cache.folder() != folder


def test_without_clnet_cache_it_is_the_users(tmp_path, monkeypatch):
    monkeypatch.delenv("CLNET_CACHE", raising=False)
    monkeypatch.setattr(cache.platformdirs, "user_cache_dir", lambda name, **_: str(tmp_path / name))
    assert cache.folder() == tmp_path / "clnet"
