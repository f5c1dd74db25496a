# SPDX-License-Identifier: Apache-2.0
"""`image_url` and `bucket_url`: the checks of values.md 11 in their order, extensions of 10."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calotype.api.ims import objects
from calotype.api.ims.objects import ObjectAddress
from tests.unit.api_ims.refusals import ACCEPTED, code_of, refusal_of

# bucket part, object part, code: in the order of the checks
BUCKETS = [("", "IMG.0068"), ("Bad_Bucket", "IMG.0109")]
KEYS = [("", "IMG.0075"), (f"{'ü ' * 65}.raw", "IMG.0074"), ("ü .raw", "IMG.0175")]


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (None, "IMG.0068"),
        ("", "IMG.0068"),
        ("no-colon.raw", "IMG.0068"),
        (":key.raw", "IMG.0068"),
        (5, "IMG.0001"),
        (["disks:a.raw"], "IMG.0001"),
        ("ab:a.raw", "IMG.0109"),
        ("a" * 64 + ":a.raw", "IMG.0109"),
        ("Disks:a.raw", "IMG.0109"),
        ("-disks:a.raw", "IMG.0109"),
        ("disks.:a.raw", "IMG.0109"),
        ("di..sks:a.raw", "IMG.0109"),
        ("di.-sks:a.raw", "IMG.0109"),
        ("di-.sks:a.raw", "IMG.0109"),
        ("10.0.0.1:a.raw", "IMG.0109"),
        (" disks:a.raw", "IMG.0109"),
        ("disks\n:a.raw", "IMG.0109"),
        ("disks:", "IMG.0075"),
        ("disks:" + "x" * 125 + ".raw", "IMG.0074"),
        ("disks:" + "ü" * 129, "IMG.0074"),
        ("disks:" + "x/" * 600 + "a.raw", "IMG.0074"),
        ("disks:" + "中/" * 300 + "a.raw", "IMG.0074"),
        ("disks:a b.raw", "IMG.0175"),
        ("disks:a b/c.raw", "IMG.0175"),
        ("disks:a.raw ", "IMG.0175"),
        ("disks:/a.raw", "IMG.0075"),
        ("disks:a//b.raw", "IMG.0075"),
        ("disks:a/./b.raw", "IMG.0075"),
        ("disks:../b.raw", "IMG.0075"),
        ("disks:a/", "IMG.0075"),
        ("disks:a,b.raw", "IMG.0075"),
        ("disks:a\t.raw", "IMG.0075"),
        ("disks:a.raw\n", "IMG.0075"),
        ("disks:ü.raw", "IMG.0075"),
        ("disks:a:b.raw", "IMG.0075"),
        ("disks:a\ud800.raw", "IMG.0001"),
        ("disks:a", "IMG.0072"),
        ("disks:a.exe", "IMG.0072"),
        ("disks:a.zvhd", "IMG.0072"),
        ("disks:a.zvhd2", "IMG.0072"),
        ("disks:a.gz", "IMG.0072"),
        ("disks:a.raw.zip", "IMG.0072"),
        ("disks:a.raw.gz.gz", "IMG.0072"),
        ("disks:a.raw.", "IMG.0072"),
        ("disks:raw", "IMG.0072"),
        ("disks:a.raw/b", "IMG.0072"),
        ("disks:a.iso", "IMG.0072"),
        ("disks:a.ova", "IMG.0072"),
        ("0a-9.b:a.raw", ACCEPTED),
        ("disks:中/A-z_0.9/b.raw", ACCEPTED),
        ("disks:" + "x" * 124 + ".raw", ACCEPTED),
    ],
)
def test_an_address_is_refused_by_the_first_check_it_fails(value: object, code: str) -> None:
    assert code_of(objects.source, value) == code


@pytest.mark.parametrize("extension", objects.DISKS)
@pytest.mark.parametrize("compression", [None, "gz", "bz2", "xz", "zst"])
def test_extensions_are_read_in_any_case_with_one_compression(
    extension: str, compression: str | None
) -> None:
    name = f"in/Disk.{extension}" + (f".{compression}" if compression else "")
    for key in (name, name.upper()):
        found = objects.source(f"disks:{key}")
        assert found == ObjectAddress("disks", key, extension, compression)


def test_a_name_may_begin_with_its_extension() -> None:
    assert objects.source("disks:.qcow2").extension == "qcow2"


def test_iso_and_ova_are_claims_where_they_are_allowed() -> None:
    assert objects.source("disks:A.ISO", ("iso",)).extension == "iso"
    assert objects.source("disks:a.ova.gz", ("ova",)).compression == "gz"
    code, message = refusal_of(objects.source, "disks:a.raw", ("iso",))
    assert (code, "allowed: iso" in message) == ("IMG.0072", True)


def test_an_unpublished_format_is_told_what_else_there_is() -> None:
    message = refusal_of(objects.source, "disks:a.zvhd2")[1]
    assert all(word in message for word in ("a.zvhd2", "unpublished", "qcow2", "vmdk"))


@pytest.mark.parametrize(("bucket", "first"), BUCKETS)
@pytest.mark.parametrize(("key", "second"), KEYS)
def test_what_is_wrong_with_the_bucket_comes_before_the_object(
    bucket: str, first: str, key: str, second: str
) -> None:
    assert second != first
    assert code_of(objects.source, f"{bucket}:{key}") == first


def test_the_object_checks_come_in_their_order() -> None:
    wrongs = {"IMG.0074": "x" * 129, "IMG.0175": " ", "IMG.0075": "ü", "IMG.0072": ""}
    for (first, one), (_, other) in combinations(wrongs.items(), 2):
        assert code_of(objects.source, f"disks:{one}{other}a.exe") == first


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("disks:out/web.vmdk", ACCEPTED),
        ("disks:out/anything", ACCEPTED),
        ("disks:", "IMG.0073"),
        ("disks:a b", "IMG.0175"),
        ("disks:a*b", "IMG.0075"),
        ("Disks:", "IMG.0109"),
        (None, "IMG.0068"),
        (5, "IMG.0001"),
    ],
)
def test_a_target_has_no_extension_and_its_own_code_for_no_object(value: object, code: str) -> None:
    assert code_of(objects.target, value) == code


@settings(deadline=None)
@given(st.text(max_size=60) | st.text(st.sampled_from("a.:/- raw0"), max_size=30))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    if code_of(objects.source, text) == ACCEPTED:
        found = objects.source(text)
        assert text == f"{found.bucket}:{found.key}"
        assert found.key.lower().count(f".{found.extension}") >= 1
