"""The table of docs/languages.md holds for this package."""

from __future__ import annotations

import re

import pytest
from support import ROOT

import pgtasker
from pgtasker import StepContext, Worker, testing

COLUMN = "Python"
PLACES = {"ctx": StepContext, "worker": Worker, "testing": testing}


def named() -> list[tuple[str, str]]:
    """What the column names: the place and the name in it."""
    page = (ROOT / "docs/languages.md").read_text()
    table = page[page.index("## One API") : page.index("## What is the same")]
    rows = [[cell.strip() for cell in line.split(" | ")] for line in table.splitlines()]
    rows = [row for row in rows if len(row) == 5]
    column = [cell.strip("| ") for cell in rows[0]].index(COLUMN)
    found = []
    for row in rows[2:]:
        cell = row[1] if row[column] == "the same" else row[column]
        found += re.findall(r"(ctx|worker|testing)\.(\w+)", cell)
        found += [("pgtasker", name) for name in re.findall(r"\b([A-Z]\w+)\(m\)", cell)]
    return sorted(set(found))


def test_the_table_is_found() -> None:
    assert len(named()) > 15, named()


@pytest.mark.parametrize(("place", "name"), named())
def test_each_name_of_the_table_is_there(place: str, name: str) -> None:
    assert hasattr(PLACES.get(place, pgtasker), name)
