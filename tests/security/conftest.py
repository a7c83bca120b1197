from __future__ import annotations

from tests.faults.conftest import undisturbed as undisturbed
from tests.faults.conftest import whole as whole
