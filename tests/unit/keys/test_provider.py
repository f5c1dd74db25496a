# SPDX-License-Identifier: Apache-2.0
"""The key file and what it wraps."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from calotype.errors import Unavailable
from calotype.keys import KeyProvider


def test_a_first_start_makes_a_key_file_that_only_the_owner_reads(tmp_path: Path) -> None:
    path = tmp_path / "below" / "master.key"
    KeyProvider.open(path, create=True)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["master.key"]


def test_what_was_wrapped_is_read_back_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    text = KeyProvider.open(path, create=True).wrap(b"secret bytes", "access-key:A")
    assert "secret" not in text
    assert KeyProvider.open(path, create=False).unwrap(text, "access-key:A") == b"secret bytes"


def test_the_same_bytes_are_wrapped_differently_each_time(tmp_path: Path) -> None:
    keys = KeyProvider.open(tmp_path / "k", create=True)
    assert keys.wrap(b"x", "n") != keys.wrap(b"x", "n")


@pytest.mark.parametrize("damage", ["name", "byte", "key", "form"])
def test_a_text_that_does_not_belong_is_refused(tmp_path: Path, damage: str) -> None:
    keys = KeyProvider.open(tmp_path / "k", create=True)
    text = keys.wrap(b"secret", "access-key:A")
    name = "access-key:A"
    if damage == "name":
        name = "access-key:B"
    elif damage == "byte":
        text = text[:-3] + ("AA=" if not text.endswith("AA=") else "BB=")
    elif damage == "key":
        text = "other." + text.partition(".")[2]
    else:
        text = text.partition(".")[0]
    with pytest.raises(Unavailable, match="cannot be unwrapped"):
        keys.unwrap(text, name)


def test_a_missing_file_is_never_replaced_by_a_new_key(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="missing"):
        KeyProvider.open(tmp_path / "k", create=False)
    assert not (tmp_path / "k").exists()


def test_a_malformed_line_is_refused_with_its_number(tmp_path: Path) -> None:
    path = tmp_path / "k"
    KeyProvider.open(path, create=True)
    path.write_text(path.read_text() + "b tooshort\n")
    with pytest.raises(Unavailable, match="line 2"):
        KeyProvider.open(path, create=False)


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "k").write_text("\n")
    with pytest.raises(Unavailable, match="no key"):
        KeyProvider.open(tmp_path / "k", create=True)


def test_a_new_line_on_top_wraps_and_the_old_one_still_unwraps(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    text = KeyProvider.open(old, create=True).wrap(b"s", "n")
    KeyProvider.open(new, create=True)
    new.write_text(new.read_text() + old.read_text())
    both = KeyProvider.open(new, create=False)
    assert both.unwrap(text, "n") == b"s"
    with pytest.raises(Unavailable):
        KeyProvider.open(old, create=False).unwrap(both.wrap(b"s", "n"), "n")


def test_processes_that_start_at_once_share_one_key(tmp_path: Path) -> None:
    path = tmp_path / "k"
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: KeyProvider.open(path, create=True), range(8)))
    text = made[0].wrap(b"s", "n")
    assert [keys.unwrap(text, "n") for keys in made] == [b"s"] * 8
