"""The command line: what it prints, what it refuses, and with which status."""

import json

import numpy as np
import pytest

from clnet import Model
from clnet.cli import bench, run, train
from clnet.cli.course import Course
from clnet.data import load


def last_json(capsys):
    return json.loads(capsys.readouterr().out.splitlines()[-1])


@pytest.mark.parametrize(
    "arguments", [[], ["--help"], ["devices", "-h"], ["train", "-h"], ["predict", "-h"], ["bench", "-h"]]
)
def test_help(arguments, capsys):
    assert run(arguments) == 0
    assert "Usage: clnet" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        ["learn"],
        ["train"],
        ["train", "digits", "--epochs", "0"],
        ["train", "digits", "--epochs", "many"],
        ["train", "digits", "--hidden", "100,-5"],
        ["train", "digits", "--hidden", "wide"],
        ["train", "digits", "--loss", "sadness"],
        ["train", "digits", "--optimizer", "adam", "--momentum", "0.9"],
        ["train", "digits", "--dropout", "1"],
        ["train", "digits", "--sede", "1"],
        ["train", "digits", "--save", "no/such/folder/net.safetensors"],
        ["train", "digits", "--plot", "curves.txt"],
        ["train", "digits", "--device", "abacus"],
        ["train", "letters"],
        ["train", "missing.npz"],
        ["predict", "missing.safetensors", "missing.npz"],
        ["bench", "--shapes", "8x8"],
        ["bench", "--shapes", "0x8x8"],
    ],
)
def test_bad_arguments_get_one_line_and_status_2(arguments, capsys):
    assert run(arguments) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert len(error.splitlines()) == 1
    assert error.startswith("clnet")


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", __file__],
        ["train", "digits", "--loss", "mean_squared_error", "--epochs", "1"],
    ],
)
def test_refusals_get_status_1_and_no_traceback(arguments, capsys):
    assert run(arguments) == 1
    assert capsys.readouterr().err.startswith("clnet: ")


def test_devices(capsys):
    assert run(["devices"]) == 0
    header, first, *_ = capsys.readouterr().out.splitlines()
    assert header.split() == ["name", "kind", "platform", "driver", "units", "memory", "float16", "float64"]
    assert run(["devices", "--json"]) == 0
    record = last_json(capsys)["devices"][0]
    assert record["name"] in first
    assert record["kind"] in ("cpu", "gpu")


def test_digits_are_learned_with_the_defaults_kept_and_predicted(tmp_path, capsys):
    model, plot, samples = (str(tmp_path / name) for name in ("net.safetensors", "curves.png", "x.npz"))
    pytest.importorskip("matplotlib")
    assert run(["train", "digits", "--save", model, "--plot", plot, "--json"]) == 0
    outcome = last_json(capsys)
    assert outcome["accuracy"] >= 0.97
    assert outcome["epochs"] == len(outcome["history"]["loss"])
    assert {"device", "seconds", "loss", "best_epoch", "best_accuracy"} <= outcome.keys()
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")

    digits = load("digits")
    np.savez(samples, x=digits.x_test)
    assert run(["predict", model, samples, "--json"]) == 0
    answer = last_json(capsys)
    assert np.mean(np.array(answer["classes"]) == digits.y_test) == pytest.approx(outcome["accuracy"])
    assert np.allclose(np.sum(answer["probabilities"], axis=1), 1, atol=1e-5)
    assert run(["predict", model, samples]) == 0
    assert [int(line) for line in capsys.readouterr().out.splitlines()] == answer["classes"]


def test_a_csv_of_values_is_regressed_on(tmp_path, capsys):
    random = np.random.default_rng(0)
    x = random.random((400, 3))
    rows = np.column_stack([x, x @ [1.0, 2.0, -1.0]])
    file, model = tmp_path / "plane.csv", tmp_path / "plane.safetensors"
    np.savetxt(file, rows, delimiter=",", header="a,b,c,d", comments="")
    arguments = ["--hidden", "8", "--epochs", "200", "--learning-rate", "0.01", "--seed", "1", "--save", str(model)]
    assert run(["train", str(file), *arguments]) == 0
    printed = capsys.readouterr().out
    assert "mean absolute error" in printed.splitlines()[-1]

    np.savetxt(tmp_path / "new.csv", x[:5], delimiter=",", header="a,b,c", comments="")
    assert run(["predict", str(model), str(tmp_path / "new.csv")]) == 0
    values = [float(line) for line in capsys.readouterr().out.splitlines()]
    assert values == pytest.approx(list(rows[:5, 3]), abs=0.2)
    np.savetxt(tmp_path / "wide.csv", rows[:5], delimiter=",", header="a,b,c,d", comments="")
    assert run(["predict", str(model), str(tmp_path / "wide.csv")]) == 1
    assert "the model wants (3,)" in capsys.readouterr().err


def test_options_of_the_network_reach_it(capsys):
    network = {"hidden": "16,12", "activation": "tanh", "dropout": "0.1", "initializer": "lecun_normal"}
    learning = {"optimizer": "sgd", "learning-rate": "0.1", "momentum": "0.9", "lambda": "1"}
    course = {"loss": "sigmoid_cross_entropy", "validation": "0.2", "patience": "2", "epochs": "4", "batch-size": "50"}
    given = [word for name, value in (network | learning | course).items() for word in (f"--{name}", value)]
    assert run(["train", "digits", *given]) == 0
    out = capsys.readouterr().out
    assert "64-16-12-10" in out
    assert out.splitlines()[-1].startswith("held out: loss ")


def test_interrupted_training_keeps_the_model(tmp_path, capsys, monkeypatch):
    class Impatient(Course):
        def fit(self, model, samples, *, verbose):
            super().fit(model, samples, verbose=verbose)
            raise KeyboardInterrupt

    monkeypatch.setattr(train, "Course", Impatient)
    file = tmp_path / "net.safetensors"
    assert run(["train", "digits", "--epochs", "1", "--save", str(file)]) == 130
    assert capsys.readouterr().err == f"clnet: interrupted in epoch 2; {file} holds the model\n"
    assert Model.load(file).epoch == 1


def test_bench(capsys, monkeypatch):
    monkeypatch.setattr(bench, "SECONDS", 1e-3)
    monkeypatch.setattr(bench, "TIMINGS", 1)
    assert run(["bench", "--shapes", "5x7x3", "--forms", "--json"]) == 0
    figures = last_json(capsys)["figures"]
    assert {"peak", "bandwidth", "launch", "5x7x3"} == {figure["what"] for figure in figures}
    assert "reikna" in {figure["of"] for figure in figures}
    assert all(figure["value"] > 0 for figure in figures)
