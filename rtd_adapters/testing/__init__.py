"""A conformance kit for people who write methods: every promise of the seam as a check.

    from rtd_adapters.testing import check_imports, check_method

    def test_my_method_keeps_the_seams_promises():
        check_method(MyMethod())
        check_imports("rtd_mymethod")

Nothing is downloaded: towers are small and random.
"""

from rtd_adapters.testing.check import CHECKS as CHECKS, check_method as check_method
from rtd_adapters.testing.imports import check_imports as check_imports
from rtd_adapters.testing.rehearsal import Rehearsal as Rehearsal
from rtd_adapters.testing.towers import (
    small_image_head as small_image_head,
    small_tower as small_tower,
)
