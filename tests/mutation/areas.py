"""The areas of the code, the tests that hold each, and the changes that are tried."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Area:
    """Code and the tests nearest to it."""

    code: tuple[str, ...]
    tests: tuple[str, ...]

    def modules(self) -> list[Path]:
        """Its modules, below the repository."""
        found = (path for folder in self.code for path in (ROOT / folder).rglob("*.py"))
        return sorted(path.relative_to(ROOT) for path in found if path.name != "__init__.py")


SETTINGS = "tests/test_settings.py"
AREAS = {
    "training": Area(
        ("rtd_adapters/training", "rtd_adapters/compute"),
        ("tests/training", "tests/compute", "tests/plugins", SETTINGS),
    ),
    "evaluation": Area(("rtd_adapters/evaluation",), ("tests/evaluation",)),
    "patch": Area(
        ("rtd_adapters/patch", "rtd_adapters/export"),
        ("tests/patch", "tests/export", SETTINGS),
    ),
    "clip": Area(("rtd_adapters/clip",), ("tests/clip", "tests/plugins")),
    "io": Area(
        ("rtd_adapters/io", "rtd_adapters/hooks"), ("tests/io", "tests/hooks", "tests/plugins")
    ),
    "methods": Area(
        ("rtd_adapters/methods", "plugins"),
        ("tests/methods", "tests/plugins", "tests/testing", "tests/export"),
    ),
}
OPERATORS = (
    "core/NumberReplacer",
    "core/AddNot",
    "core/ReplaceAndWithOr",
    "core/ReplaceOrWithAnd",
    "core/ReplaceTrueWithFalse",
    "core/ReplaceFalseWithTrue",
    "core/ReplaceBreakWithContinue",
    "core/ReplaceContinueWithBreak",
    "core/ZeroIterationForLoop",
    "core/ReplaceComparisonOperator_Eq_NotEq",
    "core/ReplaceComparisonOperator_NotEq_Eq",
    "core/ReplaceComparisonOperator_Lt_LtE",
    "core/ReplaceComparisonOperator_LtE_Lt",
    "core/ReplaceComparisonOperator_Gt_GtE",
    "core/ReplaceComparisonOperator_GtE_Gt",
    "core/ReplaceComparisonOperator_Is_IsNot",
    "core/ReplaceComparisonOperator_IsNot_Is",
    "core/ReplaceBinaryOperator_Add_Sub",
    "core/ReplaceBinaryOperator_Sub_Add",
    "core/ReplaceBinaryOperator_Mul_Div",
    "core/ReplaceBinaryOperator_Div_Mul",
    "core/ReplaceBinaryOperator_Mod_Mul",
    "core/ReplaceBinaryOperator_FloorDiv_Mul",
    "core/ReplaceUnaryOperator_Delete_USub",
    "core/ReplaceUnaryOperator_Delete_Not",
)
"""Of cosmic-ray. Not those that change annotations (`X | None`), which nothing executes."""
