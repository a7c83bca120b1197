"""One file a command of `dsp`, found by its name: each holds a click command called `command`."""
