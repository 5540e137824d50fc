"""Every example runs as a user would run it, shortly, and stays short."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
SHORT = {
    "by_hand": ["--epochs", "2"],
    "custom_op": ["--epochs", "1"],
    "digits": ["--epochs", "1"],
    "djuric_regression": ["--epochs", "3"],
    "nielsen_first": ["--epochs", "1", "--dataset", "digits"],
}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_runs_and_says_something(path):
    paths = [str(ROOT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, str(path), *SHORT.get(path.stem, [])]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_is_under_80_lines_and_says_what_it_shows(path):
    text = path.read_text()
    assert len(text.splitlines()) < 80
    assert text.startswith('"""')
