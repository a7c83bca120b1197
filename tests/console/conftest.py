"""Luigi warns while it is imported that luigi.cfg says nothing of autoload_range; here every warning is an error."""

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import luigi  # noqa: F401
