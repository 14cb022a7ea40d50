"""Laws that do not hold for one class under test: shown as skips, each with its reason."""

from collections.abc import Mapping
from typing import ClassVar

import pytest


class Skips:
    """Gives a kit its opt-outs.

    Attributes:
        skips: ``{"test_name": "why"}`` or ``{"test_name[parameter]": "why"}``.
    """

    skips: ClassVar[Mapping[str, str]] = {}

    @pytest.fixture(autouse=True)
    def _honour_skips(self, request: pytest.FixtureRequest) -> None:
        node = request.node
        reason = self.skips.get(node.name) or self.skips.get(getattr(node, "originalname", node.name))
        if reason:
            pytest.skip(reason)

    def test_skips_name_laws_and_give_reasons(self) -> None:
        """An opt-out is a line that a reader can find and judge."""
        for key, reason in self.skips.items():
            assert callable(getattr(self, key.partition("[")[0], None)), f"skips: there is no law {key!r}"
            assert reason.strip(), f"skips[{key!r}] gives no reason"
