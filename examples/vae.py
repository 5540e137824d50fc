"""A variational autoencoder: pictures that nobody drew, decoded from random codes.

Source: Kingma and Welling 2014 (arXiv:1312.6114). The loss has two parts, each of an output of the network: how far the
decoded picture is from the one that was encoded, and how far the codes are from a normal distribution.

python examples/vae.py [--data fashion-mnist] [--epochs 20] [--plot samples.png] [--quick]
"""

import argparse

import numpy as np

import clnet
from clnet import Tensor, data, nn, ops, optim

SHADES = " .:-=+*#%@"


class VAE(nn.Layer):
    """x (batch, height, width, channels) -> scores of its pixels, and the codes' means and log variances."""

    def __init__(self, pixels: int, hidden: int, codes: int) -> None:
        self.encoder = nn.Sequential(nn.Flatten(), nn.Dense(hidden, activation="relu"), nn.Dense(2 * codes))
        self.noise = nn.GaussianNoise(1.0)
        self.decoder = nn.Sequential(nn.Dense(hidden, activation="relu"), nn.Dense(pixels))

    def call(self, x: Tensor, *, training: bool = False) -> dict[str, Tensor]:
        found = self.encoder(x)
        mean, logvar = ops.split(found, 2, axis=-1)
        code = mean + ops.exp(0.5 * logvar) * self.noise(mean * 0, training=training)
        return {"pixels": self.decoder(code), "codes": found}


def divergence(codes: Tensor, targets: Tensor) -> Tensor:
    """Kullback-Leibler divergence of the codes' distribution from the normal one, mean over samples."""
    mean, logvar = ops.split(codes, 2, axis=-1)
    return ops.sum(ops.exp(logvar) + mean * mean - 1 - logvar) * (0.5 / codes.shape[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="fashion-mnist", help="fashion-mnist, mnist or digits, which is embedded")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--plot", help="write a picture of 100 samples; needs matplotlib")
    parser.add_argument("--quick", action="store_true", help="the embedded digits, shortly")
    parser.add_argument("--device", help="cpu, gpu, or part of a name, as `clnet devices` shows them")
    options = parser.parse_args()
    x = data.load("digits" if options.quick else options.data).x_train
    flat, codes = x.reshape(len(x), -1), 4 if options.quick else 16

    net = VAE(flat.shape[1], hidden=64 if options.quick else 400, codes=codes)
    losses = {"pixels": "sigmoid_cross_entropy", "codes": divergence}
    model = clnet.Model(net, losses, optim.Adam(learning_rate=1e-3), device=clnet.device(options.device))
    targets = {"pixels": flat, "codes": np.zeros((len(x), 2 * codes), np.float32)}
    model.fit(x, targets, epochs=2 if options.quick else options.epochs, batch_size=128, verbose=2)

    drawn = np.random.default_rng(0).normal(size=(100, codes)).astype(np.float32)
    samples = ops.sigmoid(net.decoder(clnet.tensor(drawn, device=model.device))).numpy().reshape(100, *x.shape[1:3])
    print("\n".join("".join(SHADES[int(9 * ink)] * 2 for ink in row) for row in samples[0]))
    if options.plot:
        from matplotlib.image import imsave

        grid = samples.reshape(10, 10, *x.shape[1:3]).transpose(0, 2, 1, 3).reshape(10 * x.shape[1], -1)
        imsave(options.plot, 1 - grid, cmap="gray", vmin=0, vmax=1)


if __name__ == "__main__":
    main()
