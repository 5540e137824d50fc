"""How a model is trained and judged: arrays to the device, steps in windows, sums that the host reads now and then."""
