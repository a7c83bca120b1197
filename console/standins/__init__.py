"""Servers of this machine that speak the protocols of the clouds: tests and `make run-cloud-local` need no account."""
