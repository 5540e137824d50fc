"""Every example runs as a user would run it, shortly, and stays short."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted((ROOT / "examples").glob("*.py"))
EXAMPLES = [path for path in FILES if "__main__" in path.read_text()]
SHORT = {
    "brackets": ["--quick"],
    "by_hand": ["--epochs", "2"],
    "cifar10": ["--quick"],
    "custom_op": ["--epochs", "1"],
    "digits": ["--epochs", "1"],
    "djuric": ["--quick"],
    "djuric_mnist": ["--quick"],
    "ensemble": ["--quick"],
    "shakespeare": ["--quick"],
    "nielsen": ["--quick", "few", "relu", "expanded-100"],
    "transfer": ["--quick"],
    "vae": ["--quick"],
}
DOWNLOADED = {"cifar10", "djuric_mnist", "nielsen"}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_runs_and_says_something(path):
    if path.stem in DOWNLOADED and "CLNET_DATA" not in os.environ:
        pytest.skip("wants its pictures in the folder that CLNET_DATA names")
    paths = [str(ROOT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, str(path), *SHORT.get(path.stem, [])]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_is_under_80_lines_and_says_what_it_shows(path):
    text = path.read_text()
    assert len(text.splitlines()) < 80
    assert text.startswith('"""')
