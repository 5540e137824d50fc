"""Model: a network with what it learns by; fit, evaluate, predict, save and load."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

import clnet
from clnet import checkpoint, recipe, tree
from clnet.callbacks import Callback, History, ProgressBar, Run
from clnet.checkpoint import Checkpoint
from clnet.compiled import compile
from clnet.device import Device
from clnet.device import device as find
from clnet.errors import ArgumentError, CheckpointError, ClnetError
from clnet.nn.layer import Layer, Seed, tree_map
from clnet.nn.summary import table
from clnet.optim import Adam, Optimizer
from clnet.tensor import check_dtype
from clnet.training.arrays import host, is_array, padded, samples_of, split, take, weighted
from clnet.training.feed import Feed
from clnet.training.intake import Intake
from clnet.training.interrupt import Interrupt
from clnet.training.objective import Objective
from clnet.training.scaling import LossScale
from clnet.training.steps import Steps
from clnet.variable import Variable

PrecisionName = Literal["float32", "mixed_float16"]


class Model:
    """A network, a loss, an optimizer and metrics on a device.

    net: any layer. loss: a name or function of `clnet.losses`; metrics: names or functions of `clnet.metrics`; a tuple
    or dict of either for a network with several outputs, whose losses are added with the factors `loss_weights`, as are
    the layers' regularizers. Without an optimizer it is `Adam()`; without a loss the model only predicts. The seed
    chooses the first weights, the order of samples in each epoch, and what dropout drops.
    augmentation: a function (x, y, *, key) -> (x, y) of each training batch, such as `nn.MixUp`, traced with the step;
    what changes pictures alone is a layer of the network, such as `nn.RandomFlip`.
    precision: "mixed_float16" lets products and convolutions take their operands as float16, and what they give lies in
    memory as float16, gradients too; sums, normalization, softmax, losses and weights are float32, and the loss is
    scaled (`clnet.training.scaling`). `DTypeError` on a device without float16.

    Inputs are cast to float32, uint8 pictures on the device and unscaled; int32 stays, for layers that look things up.
    `epoch` counts the epochs that the network has been trained, `history` is that of the last `fit`.
    """

    def __init__(
        self,
        net: Layer,
        loss: Any = None,
        optimizer: Optimizer | None = None,
        metrics: Any = (),
        *,
        loss_weights: Any = None,
        augmentation: Callable[..., Any] | None = None,
        precision: PrecisionName = "float32",
        device: object = None,
        seed: Seed = 0,
    ) -> None:
        if not isinstance(net, Layer):
            raise ArgumentError(f"Model: net is {net!r}, wants a layer such as nn.Sequential(...)")
        self.net = net
        self.loss = loss
        self.loss_weights = loss_weights
        self.metrics = metrics
        self.optimizer = Adam() if optimizer is None else optimizer
        self.device = find(device)
        self.seed: Seed = tuple(seed) if isinstance(seed, (tuple, list)) else int(seed)
        self.epoch = 0
        self.history = History()
        self.stop_training = False
        objective = None if loss is None else Objective(loss, metrics, loss_weights)
        self.augmentation = augmentation
        self.precision = precision
        options: dict[str, Any] = {"augmentation": augmentation, "scaling": _scaling(precision, self.device)}
        self._steps = Steps(net, objective, self.optimizer, self.device, seed=self.seed, **options)
        self._intake = Intake(net, self.device, self.seed)

    def fit(
        self,
        x: Any,
        y: Any = None,
        *,
        epochs: int = 1,
        batch_size: int = 32,
        validation_data: Any = None,
        validation_split: float = 0.0,
        shuffle: bool = True,
        callbacks: Sequence[Callback] = (),
        verbose: Literal[0, 1, 2] = 1,
        sample_weight: Any = None,
        class_weight: Mapping[int, float] | None = None,
        initial_epoch: int = 0,
    ) -> History:
        """Train from epoch `initial_epoch` to `epochs`, every sample once an epoch.

        x, y: arrays (samples, ...) or tensors, or tuples or dicts of them for several inputs and outputs; or x alone,
        something that gives batches (x, y) or (x, y, weights) every time it is iterated. They lie on the device if it
        has room for them, else they are streamed. validation_data: (x, y), (x, y, weights) or batches; or
        validation_split: the last part of x and y, in (0, 1), which is then not trained on. sample_weight: (samples,);
        class_weight: {label: factor}, 1 where there is none; as in Keras. verbose: 0 is silent, 1 shows a bar on
        a terminal, 2 a line an epoch.

        The order of an epoch is a function of (seed, `epoch`), so that a model that is saved and loaded goes on with
        the same bits. Ctrl-C raises KeyboardInterrupt when the device is between two steps and the callbacks know; the
        model can be used, saved and trained on, from where in the epoch it stopped. `DivergenceError`: the loss is no
        number any more.
        """
        if epochs < 0 or initial_epoch < 0 or batch_size < 1:
            raise ArgumentError(
                f"fit: epochs={epochs}, initial_epoch={initial_epoch}, batch_size={batch_size}; want 0, 0 and 1 or more"
            )
        if validation_split:
            if validation_data is not None:
                raise ArgumentError("fit: got validation_data and validation_split, wants one of them")
            (x, y, sample_weight), validation_data = split((x, y, sample_weight), validation_split)
        if class_weight is not None:
            sample_weight = weighted(y, sample_weight, class_weight)
        feed = self._feed((x, y, sample_weight), batch_size, "fit", shuffle=shuffle)
        judged = None
        if validation_data is not None:
            parts = validation_data if isinstance(validation_data, tuple) else (validation_data,)
            judged = self._intake.feed((*parts, None, None)[:3], max(batch_size, 256), "fit: validation_data")
        steps = -(-feed.samples // batch_size) if feed.samples else len(x) if hasattr(x, "__len__") else None
        self.history = History()
        bar = [ProgressBar(verbose=verbose)] if verbose else []
        self._run(feed, judged, initial_epoch, Run(epochs, steps), [self.history, *bar, *callbacks])
        return self.history

    def _feed(self, data: Any, batch_size: int, who: str, *, shuffle: bool = False) -> Feed:
        """Samples to train on or to judge by."""
        return self._intake.feed(data, batch_size, who, shuffle=shuffle)

    def _run(self, feed: Feed, judged: Feed | None, first: int, run: Run, callbacks: Sequence[Callback]) -> None:
        self.stop_training = False
        for callback in callbacks:
            callback.model, callback.run = self, run
        try:
            with Interrupt() as interrupt:
                for callback in callbacks:
                    callback.on_train_begin()
                for epoch in range(first, run.epochs):
                    self._run_epoch(feed, judged, epoch, callbacks, interrupt)
                    if self.stop_training:
                        break
        except KeyboardInterrupt:
            self.device.finish()
            for callback in callbacks:
                callback.on_interrupt()
            raise
        finally:
            self._steps.release()
            for callback in callbacks:
                callback.on_train_end()

    def _run_epoch(
        self, feed: Feed, judged: Feed | None, epoch: int, callbacks: Sequence[Callback], interrupt: Interrupt
    ) -> None:
        for callback in callbacks:
            callback.on_epoch_begin(epoch)
        logs: dict[str, float] = {}
        for done, logs in self._steps.train(feed, self.epoch):
            for callback in callbacks:
                callback.on_window(epoch, done, logs)
            interrupt.check()
        self.epoch += 1
        if judged is not None:
            found = self._steps.evaluate(judged, interrupt.check)
            scalars = {name: value for name, value in found.items() if np.shape(value) == np.shape(found["loss"])}
            logs = logs | {f"val_{name}": value for name, value in scalars.items()}
        for callback in callbacks:
            callback.on_epoch_end(epoch, logs)

    def evaluate(self, x: Any, y: Any = None, *, batch_size: int = 256, sample_weight: Any = None) -> dict[str, Any]:
        """{"loss": mean loss, metric: number or array} over all samples; x and y as for `fit`."""
        found = self._steps.evaluate(self._feed((x, y, sample_weight), batch_size, "evaluate"))
        self._steps.release()
        return found

    def predict(self, x: Any, *, batch_size: int = 256) -> Any:
        """The network's outputs for x (samples, ...), as NumPy arrays (samples, ...) in the nest that it gives."""
        return self._outputs(x, batch_size, 0)

    def _outputs(self, x: Any, batch_size: int, axis: int) -> Any:
        """The outputs for x, samples along this axis."""
        inputs = tree_map(np.asarray, host(x, "predict: x"))
        samples = samples_of(inputs, "predict: x")
        self._intake.build(inputs)
        size = min(batch_size, 1 << (samples - 1).bit_length())  # few sizes, so few plans
        parts = []
        for start in range(0, samples, size):
            batch = padded(take(inputs, slice(start, start + size)), size)
            leaves, structure = tree.flatten(self._steps.predict(batch), is_array)
            real = (slice(None),) * axis + (slice(samples - start),)
            parts.append([leaf.numpy()[real] for leaf in leaves])
        return tree.unflatten(structure, iter([np.concatenate(part, axis) for part in zip(*parts, strict=True)]))

    @contextmanager
    def averaged(self) -> Iterator[Model]:
        """Inside, the weights are the running means that the optimizer keeps (`average=optim.EMA()`), once it has some.

            with model.averaged():
                model.evaluate(x, y)

        Not for `fit`. Running statistics of batch normalizations stay what they are.
        """
        if self.optimizer.average is None:
            raise ArgumentError("averaged: the optimizer keeps no means; give it average=optim.EMA() or optim.SWA()")
        swap = compile(self._swap, device=self.device)
        swap()
        try:
            yield self
        finally:
            swap()

    def _swap(self) -> None:
        for path, mean in self.optimizer.averages().items():
            weight = self.net.variables()[path]
            weight.assign(mean)
            mean.assign(weight)  # what it was on entry

    def summary(self) -> str:
        """A table of the layers: output shape, parameters, bytes."""
        return table(self.net)

    def variables(self) -> dict[str, Variable]:
        """Path -> Variable of the network."""
        return self.net.variables()

    def save(self, path: str | Path) -> None:
        """Write a checkpoint (see `clnet.checkpoint`), atomically: network, optimizer, and where training is."""
        if self.net.signature is None:
            raise ArgumentError("save: the network has no variables yet; fit, or build it first")
        arrays = {
            **{f"net/{name}": each.numpy() for name, each in self.net.variables().items()},
            **{f"optimizer/{name}": each.numpy() for name, each in self.optimizer.variables().items()},
            **{f"training/{name}": each for name, each in self._steps.meter.arrays().items()},
            **{f"scaling/{name}": each.numpy() for name, each in self._scaled().items()},
        }
        checkpoint.write(path, Checkpoint(arrays, self._settings()), version=clnet.__version__)

    def _scaled(self) -> dict[str, Variable]:
        """Name -> Variable of the loss scale, in mixed precision."""
        return {} if self._steps.scaling is None else self._steps.scaling.variables()

    def _settings(self) -> dict[str, Any]:
        """What a checkpoint holds beside arrays."""
        return {
            "net": _recipe(self.net),
            "frozen": [path for path, member, _ in self.net.walk() if not member.trainable],
            "signature": recipe.write(self.net.signature),
            "loss": _recipe(self.loss),
            "loss_weights": recipe.write(self.loss_weights),
            "optimizer": _recipe(self.optimizer),
            "metrics": _recipe(self.metrics),
            "augmentation": _recipe(self.augmentation),
            "precision": self.precision,
            "seed": self.seed,
            "epoch": self.epoch,
            "length": self._steps.length,
        }

    @classmethod
    def load(
        cls,
        path: str | Path,
        net: Layer | None = None,
        *,
        loss: Any = None,
        optimizer: Optimizer | None = None,
        metrics: Any = None,
        augmentation: Callable[..., Any] | None = None,
        device: object = None,
    ) -> Model:
        """The model that `save` wrote, to go on as if it had never stopped.

        net, loss, metrics, augmentation: wanted where they are of the user's own making, which the file cannot make
        again. optimizer: another one, which starts afresh. `CheckpointError` if the file is damaged, or is of another
        network.
        """
        file = checkpoint.read(path)
        try:
            parts = {"net": net, "loss": loss, "metrics": metrics, "optimizer": optimizer, "augmentation": augmentation}
            parts = {name: _remade(path, file.settings, name) if part is None else part for name, part in parts.items()}
            parts["loss_weights"] = recipe.read(file.settings.get("loss_weights"))
            parts["precision"] = file.settings.get("precision", "float32")
            model = cls._remake(file.settings, **parts, device=device)
            inputs, named = recipe.read(file.settings["signature"])
            model.epoch, model._steps.length = int(file.settings["epoch"]), file.settings["length"]
            frozen = set(file.settings["frozen"])
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, ClnetError):
                raise
            raise CheckpointError(f"{path}: its metadata is damaged: {error!r}") from error
        model.net.build_like(inputs, named, seed=model.seed, device=model.device)
        for place, member, _ in model.net.walk():
            member.trainable = member.trainable and place not in frozen
        variables = model.net.variables()
        _check(path, variables, file.below("net"))
        for name, value in file.below("net").items():
            variables[name].assign(value)
        if optimizer is None:
            model._restore_optimizer(path, file.below("optimizer"))
        model._restore_meter(file.below("training"))
        if model._steps.scaling is not None:
            model._steps.scaling.restore(file.below("scaling"))
        return model

    @classmethod
    def _remake(cls, settings: Mapping[str, Any], **parts: Any) -> Model:
        """A model of these parts, as the settings of a checkpoint say."""
        return cls(**parts, seed=int(settings["seed"]))

    def _restore_optimizer(self, path: str | Path, arrays: dict[str, Any]) -> None:
        """The state of those variables that had one; a model that was never trained has none."""
        if arrays:
            self._build_optimizer(arrays)
            _check(path, self.optimizer.variables(), arrays)
            self.optimizer.restore(arrays)

    def _build_optimizer(self, arrays: dict[str, Any]) -> None:
        """Make the optimizer's variables, which these arrays belong to."""
        trained = {name.rpartition("/")[0] for name in arrays}
        known = self.net.variables()
        self.optimizer.build({name: each for name, each in known.items() if name in trained} or known)

    def _restore_meter(self, arrays: dict[str, Any]) -> None:
        """To where in an epoch training was."""
        self._steps.meter.restore(arrays)


def _scaling(precision: str, device: Device) -> LossScale | None:
    """The loss scale that this precision has on the device."""
    if precision not in get_args(PrecisionName):
        raise ArgumentError(f"Model: precision is {precision!r}, wants one of {', '.join(get_args(PrecisionName))}")
    if precision == "float32":
        return None
    check_dtype(np.float16, device, f"Model: precision={precision!r}")
    return LossScale(device)


def _recipe(value: Any) -> Any:
    """How to make the object again, or why that cannot be known."""
    try:
        return recipe.write(value)
    except recipe.NoRecipeError as error:
        return {"missing": str(error)}


def _remade(path: str | Path, settings: Mapping[str, Any], name: str) -> Any:
    """The part of a model again, or None for a loss or augmentation, and no metrics, that only the user can make."""
    made = settings[name]
    if not isinstance(made, dict) or "missing" not in made:
        return recipe.read(made)
    if name in ("net", "optimizer"):
        raise CheckpointError(f"{path}: cannot make its {name} ({made['missing']}); give Model.load(..., {name}=)")
    return () if name == "metrics" else None


def _check(path: str | Path, variables: dict[str, Variable], arrays: dict[str, Any]) -> None:
    """`CheckpointError` unless there is an array of the right shape and dtype for each Variable, and no other."""
    missing, surplus = variables.keys() - arrays.keys(), arrays.keys() - variables.keys()
    if missing or surplus:
        raise CheckpointError(f"{path}: of another network: lacks {sorted(missing)}, has {sorted(surplus)} too many")
    for name, variable in variables.items():
        got = arrays[name]
        shape = variable.memory.shape
        if (got.shape, got.dtype) != (shape, variable.dtype):
            wanted = f"{shape} of {variable.dtype}"
            raise CheckpointError(f"{path}: {name} has shape {got.shape} of {got.dtype}, wants {wanted}")
