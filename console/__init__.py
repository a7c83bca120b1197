"""What a person runs: the one room above tasks."""
