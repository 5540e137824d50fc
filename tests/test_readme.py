"""README's table of what there is: complete, and nothing that is not; its summary of a plan: what is printed."""

import re
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

import clnet
from clnet import callbacks, losses, metrics, nn, optim, schedules
from clnet.model import PrecisionName
from clnet.nn.activation import ActivationName
from clnet.nn.initializers import InitializerName

README = (Path(__file__).resolve().parent.parent / "README.md").read_text()
SECTION = README.partition("## What there is\n")[2].partition("\n\n")[0]
ROWS = [line.strip("| ").split(" | ") for line in SECTION.splitlines() if line.startswith("| ")][1:]
# What they are made of, and what looks names up: for those who read the reference.
BENEATH = {
    "losses": {"loss"},
    "metrics": {"metric", "Mean"},
    "optim": {"Optimizer", "Averaging", "Minimum"},
    "schedules": {"Schedule"},
    "callbacks": {"Run", "Trainee"},
    "nn": {"initializers"},
}
MODULES = {
    "nn": nn,
    "losses": losses,
    "metrics": metrics,
    "optim": optim,
    "schedules": schedules,
    "callbacks": callbacks,
}


def named(module: str) -> set[str]:
    """The names in the rows of a module."""
    rows = [names for title, names in ROWS if f"`{module}`" in title]
    assert rows, f"README has no row of {module}"
    return {name for row in rows for name in re.findall(r"`(\w+)`", row)}


@pytest.mark.parametrize("module", MODULES)
def test_the_table_has_every_public_name_and_no_other(module):
    public = set(MODULES[module].__all__) - BENEATH[module]
    assert public <= named(module), f"README lacks {sorted(public - named(module))}"
    assert named(module) <= public, f"README has {sorted(named(module) - public)}, which clnet.{module} has not"


def test_names_that_select():
    assert named("ops") >= set(get_args(ActivationName))
    assert named("Model") == set(get_args(PrecisionName))
    assert named("nn.initializers") == set(get_args(InitializerName))
    last = {name for title, names in ROWS[-2:] for name in re.findall(r"`(\w+)`", names)} - {"ops"}
    assert last <= set(clnet.__all__)
    assert {"hvp", "value_and_grad", "Ensemble", "grid_search", "cross_validate"} <= last


def test_names_of_metrics_and_losses_are_those_of_the_table():
    """What a `Model` takes by name is what the modules have."""
    assert set(get_args(losses.LossName)) == named("losses")
    made = {metrics.metric(name).name for name in get_args(metrics.MetricName)}
    assert made == set(get_args(metrics.MetricName))
    assert len(made) == len(named("metrics") - {"Metric"})


def test_the_summary_is_what_the_step_by_hand_prints():
    if clnet.device().kind != "cpu":
        pytest.skip("a CPU's launches are shown")
    code, shown = re.search(r"```python\n([^`]*def step[^`]*)```.*?```\n(launch.*?)```", README, re.DOTALL).groups()
    scope = {}
    exec(code, scope)  # README's own
    x, labels = np.zeros((10, 784), np.float32), np.zeros(10, np.int32)
    plan = scope["step"].plan(clnet.tensor(x), clnet.tensor(labels))
    assert plan.summary().splitlines()[:-2] == shown.splitlines()[:-2]
