"""What a person runs: the one room above tasks."""

import configparser
import sys

try:
    import luigi.configuration  # noqa: F401  # it reads luigi.cfg at once, before any command could tell what is wrong
except (configparser.Error, UnicodeDecodeError) as _error:
    sys.exit(f"error: luigi.cfg cannot be read: {' '.join(str(_error).split())}.")
