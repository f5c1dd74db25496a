# SPDX-License-Identifier: Apache-2.0
"""A filter finds exactly the images that show what was asked for: queries against the database are
compared with a plain look at the shown attributes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calotype import ids
from calotype.api.ims import filters, shapes
from calotype.api.ims.flavors import Flavor
from calotype.db.session import Database, sqlite_url
from calotype.db.tables import METADATA
from calotype.images import listing
from calotype.images.filters import fold
from calotype.images.model import Image
from tests.unit.images.making import ACCOUNT, ALICE, BOB, image, save, share

KEY = "c5df0d52-7a0e-4d4b-9d0e-2f8f1c6b7a90"
FLAVORS = {
    "small": Flavor("small", False, frozenset({"bios", "uefi"}), ()),
    "arm": Flavor("arm", True, frozenset({"uefi"}), ("__support_kvm",)),
}
UBUNTU = {"os_version": "Ubuntu 22.04 server 64bit", "platform": "Ubuntu", "os_bit": "64"}
LINUX = {"os_version": "Other Linux(64 bit)", "os_bit": "64"}
ROWS: list[dict[str, Any]] = [
    {"name": "queued", **LINUX},
    {"name": "a", "status": "active", "size": 5, "blob_id": "b", **UBUNTU},
    {"name": "a", "status": "importing", "tags": ("env=prod", "web"), "min_ram": 4, **LINUX},
    {"name": "A", "status": "killed", "disk_format": "raw", "container_format": "bare", **UBUNTU},
    {"name": "arm", "is_arm": True, "firmware": "uefi", "protected": True, **UBUNTU},
    {"name": "arm", "is_arm": True, "visibility": "public", "firmware": "uefi", **UBUNTU},
    {"name": "kvm", "properties": {"__support_kvm": "true"}, "tags": ("a.b", "env=test"), **LINUX},
    {"name": "off", "properties": {"__support_kvm": "false"}, "cmk_id": KEY, **LINUX},
    {"name": "gpu", "properties": {"__support_kvm_gpu_type": "V100"}, "firmware": "bios", **LINUX},
    {"name": "data", "env_type": "DataImage", "os_type": "Windows", "min_disk": 40},
    {"name": "iso", "env_type": "IsoImage", "disk_format": "iso", "is_whole": True, **UBUNTU},
    {
        "name": "shared",
        "visibility": "shared",
        "member_count": 1,
        "size": 7,
        "blob_id": "c",
        **LINUX,
    },
    {"name": "public", "visibility": "public", "owner": BOB, "protected": True, **UBUNTU},
    {
        "name": "arm-public",
        "visibility": "public",
        "owner": BOB,
        "is_arm": True,
        "firmware": "uefi",
        "properties": {"__support_kvm": "true"},
        **UBUNTU,
    },
    {"name": "hidden", "owner": BOB, **LINUX},
    {"name": "community", "visibility": "community", "owner": BOB, **LINUX},
    {"name": "in-accepted", "visibility": "shared", "owner": BOB, **LINUX},
    {"name": "in-pending", "visibility": "shared", "owner": BOB, "tags": ("web",), **LINUX},
    {"name": "in-rejected", "visibility": "shared", "owner": BOB, **LINUX},
]


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Database, list[Image]]]:
    directory: Path = tmp_path_factory.mktemp("filters")
    database = Database(sqlite_url(directory))
    METADATA.create_all(database.engine)
    made = [image(id=ids.new_uuid(), **row) for row in ROWS]

    def fill(connection: Any) -> None:
        save(connection, *made)
        for one in made:
            if (one.name or "").startswith("in-"):
                share(connection, one, ALICE, (one.name or "")[3:])

    database.write(fill)
    yield database, made
    database.close()


def shown(one: Image) -> dict[str, Any]:
    return shapes.image_body(one, project_id=ALICE, account_id=ACCOUNT, eps_enabled=True)


def in_scope(one: Image, query: dict[str, str]) -> bool:
    asked = query.get("member_status")
    only_shared_in = asked and "shared" in (query.get("__imagetype"), query.get("visibility"))
    one_project = query.get("enterprise_project_id", "all_granted_eps") != "all_granted_eps"
    if one.owner == ALICE:  # a public image lies in no enterprise project
        return not (only_shared_in or (one_project and one.visibility == "public"))
    if one_project or one.visibility in ("private", "community"):
        return False
    if one.visibility == "public":
        return not only_shared_in
    status = (one.name or "")[3:]
    return status == (asked or "accepted") or asked == "all"


def suits(found: dict[str, Any], name: str) -> bool:
    flavor = FLAVORS[name]
    return (
        found["visibility"] == "public"
        and ("__support_arm" in found) is flavor.is_arm
        and found.get("hw_firmware_type", "bios") in flavor.firmware
        and all(found.get(flag) == "true" for flag in flavor.supports)
    )


def is_on(found: dict[str, Any], flag: str) -> bool:
    return found.get(flag) == "true"


Look = Callable[[dict[str, Any], str], bool]
# How a reader of the table would look at one parameter; the others are plain equality.
LOOKS: dict[str, Look] = {
    "id": lambda found, value: found["id"] == value.lower(),
    "min_ram": lambda found, value: found["min_ram"] == int(value),
    "min_disk": lambda found, value: found["min_disk"] == int(value),
    "size_min": lambda found, value: found["size"] >= int(value),
    "size_max": lambda found, value: found["size"] <= int(value),
    "protected": lambda found, value: found["protected"] is (value == "true"),
    "__whole_image": lambda found, value: ("__whole_image" in found) is (value == "true"),
    "architecture": lambda found, value: ("__support_arm" in found) is (value == "arm"),
    "hw_firmware_type": lambda found, value: found.get("hw_firmware_type", "bios") == value,
    "flavor_id": suits,
    "__platform": lambda found, value: fold(found["__platform"]) == fold(value),
    "__os_version": lambda found, value: fold(found.get("__os_version", "-")) == fold(value),
    "tag": lambda found, value: bool({value, value.replace(".", "=", 1)} & set(found["tags"])),
    "__isregistered": lambda found, value: value == "true",
    "member_status": lambda found, value: True,
    "enterprise_project_id": lambda found, value: True,
    "__support_kvm": lambda found, value: is_on(found, "__support_kvm") is (value == "true"),
    "__support_arm": lambda found, value: is_on(found, "__support_arm") is (value == "true"),
}


def fits(found: dict[str, Any], name: str, value: str) -> bool:
    look = LOOKS.get(name)
    return look(found, value) if look else found.get(name) == value


QUERIES: list[dict[str, str]] = [
    {},
    {"status": "saving"},
    {"status": "deleted"},
    {"visibility": "public"},
    {"__imagetype": "shared"},
    {"visibility": "shared", "member_status": "pending"},
    {"member_status": "all"},
    {"enterprise_project_id": "0"},
    {"tag": "env.prod"},
    {"tag": "a.b"},
    {"__platform": "UBUNTU"},
    {"__os_version": "ubuntu_22.04 SERVER64bit"},
    {"flavor_id": "arm"},
    {"flavor_id": "small"},
    {"size_min": "1", "size_max": "6"},
    {"__support_kvm": "false"},
    {"__support_arm": "true", "protected": "true"},
    {"name": "a"},
    {"__isregistered": "false"},
]
VALUES: dict[str, list[str]] = {
    "__imagetype": ["gold", "private", "shared", "market"],
    "visibility": ["public", "private", "shared"],
    "member_status": ["accepted", "pending", "rejected", "all"],
    "status": ["queued", "saving", "active", "killed"],
    "enterprise_project_id": ["0", "all_granted_eps"],
    "__isregistered": ["true", "false"],
    "__whole_image": ["true", "false"],
    "protected": ["true", "false"],
    "owner": [ALICE, BOB, "nobody"],
    "name": ["a", "A", "arm", "%"],
    "min_ram": ["0", "4"],
    "min_disk": ["0", "40"],
    "__os_bit": ["64", "32"],
    "__os_type": ["Linux", "Windows"],
    "__platform": ["other", "Ubuntu"],
    "__os_version": ["other linux(64bit)"],
    "tag": ["web", "env=prod", "env.test", "env"],
    "__support_kvm": ["true", "false"],
    "__support_arm": ["true", "false"],
    "__support_kvm_gpu_type": ["V100", "x"],
    "__system__cmkid": [KEY, "x"],
    "virtual_env_type": ["FusionCompute", "DataImage", "IsoImage"],
    "size_min": ["0", "6"],
    "size_max": ["0", "6"],
    "hw_firmware_type": ["bios", "uefi"],
    "architecture": ["x86", "arm"],
    "flavor_id": ["small", "arm"],
}
DRAWN = st.fixed_dictionaries({}, optional={name: st.sampled_from(v) for name, v in VALUES.items()})


def check(stored: tuple[Database, list[Image]], query: dict[str, str]) -> list[str]:
    database, made = stored
    wanted = filters.read_filter(list(query.items()), ALICE, flavors=FLAVORS)
    paging = filters.read_paging([("limit", "1000"), ("sort_key", "id"), ("sort_dir", "asc")])
    page = database.read(lambda connection: listing.page(connection, wanted, paging))
    expected = [
        one
        for one in made
        if in_scope(one, query)
        and all(fits(shown(one), name, value) for name, value in query.items())
    ]
    assert [one.id for one in page.images] == sorted(one.id for one in expected), query
    return sorted(one.name or "" for one in expected)


@pytest.mark.parametrize("query", QUERIES)
def test_a_usual_query_finds_what_is_shown(
    stored: tuple[Database, list[Image]], query: dict[str, str]
) -> None:
    found = check(stored, query)
    empty = {"status": "deleted"}, {"__isregistered": "false"}
    assert bool(found) is (query not in empty)


@settings(max_examples=60, deadline=None)
@given(query=DRAWN.filter(lambda drawn: len(drawn) <= 4))
def test_any_query_finds_what_is_shown(
    stored: tuple[Database, list[Image]], query: dict[str, str]
) -> None:
    check(stored, query)


def test_an_image_is_found_by_its_id_in_any_case(stored: tuple[Database, list[Image]]) -> None:
    one = next(one for one in stored[1] if one.name == "queued")
    assert check(stored, {"id": one.id.upper()}) == ["queued"]
    assert check(stored, {"id": "x"}) == []
