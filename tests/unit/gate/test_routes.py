# SPDX-License-Identifier: Apache-2.0
"""The router: every row by its own call, literals first, segments decoded once."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calotype.contract import Operation, load_operations
from calotype.gate.routes import MethodNotAllowed, RouteNotFound, Router, split_path

ROWS = load_operations()
ROUTER = Router(ROWS)
SAMPLES = {
    "image_id": "8a1c0d52-7a0e-4d4b-9d0e-2f8f1c6b7a90",
    "project_id": "0123456789abcdef0123456789abcdef",
    "version": "v2.0",
}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_every_row_is_found_by_its_own_call(row: Operation) -> None:
    params = {name: SAMPLES.get(name, f"some-{name}") for name in row.patterns}
    path = re.sub(r"\{([a-z_]+)\}", lambda match: params[match[1]], row.path)
    match = ROUTER.match(row.method, path.encode())
    assert match.operation is row
    assert dict(match.params) == params


@pytest.mark.parametrize(
    ("method", "path", "row", "params"),
    [
        ("GET", b"/", "glance.versions", {}),
        ("GET", b"/v2", "glance.version", {"version": "v2"}),
        ("GET", b"/v2/", "glance.version", {"version": "v2"}),
        ("GET", b"/v1.0", "glance.version", {"version": "v1.0"}),
        ("GET", b"/v2.9", "glance.version", {"version": "v2.9"}),
        ("GET", b"/v2/images/", "glance.list", {}),
        ("POST", b"/v2/images/", "glance.create", {}),
        ("GET", b"/v3/", "iam.versions", {}),
        ("GET", b"/v2/%69mages", "glance.list", {}),
        ("GET", b"/v2/p/images/tags", "ims.project_tags", {"project_id": "p"}),
        (
            "GET",
            b"/v2/%7Bproject_id%7D/images/x/tags",
            "ims.image_tags",
            {"project_id": "{project_id}", "image_id": "x"},
        ),
        ("PUT", b"/v2/images/x/tags/a%2Fb", "glance.tag_add", {"image_id": "x", "tag": "a/b"}),
        ("PUT", b"/v2/images/x/tags/%2525", "glance.tag_add", {"image_id": "x", "tag": "%25"}),
        ("PUT", b"/v2/images/x/tags/..", "glance.tag_add", {"image_id": "x", "tag": ".."}),
        ("PUT", b"/v2/images/x/tags/a+b", "glance.tag_add", {"image_id": "x", "tag": "a+b"}),
        (
            "PUT",
            b"/v2/images/x/tags/%E4%B8%AD",
            "glance.tag_add",
            {"image_id": "x", "tag": "\u4e2d"},
        ),
        ("GET", b"/v1/cloudimages/tags", "ims.tag_list", {}),
        ("GET", b"/v1/images/jobs/x", None, "native"),
        ("GET", b"/v1/p/jobs/x", "ims.job", {"project_id": "p", "job_id": "x"}),
    ],
)
def test_a_path_is_read_as_the_contract_says(
    method: str, path: bytes, row: str | None, params: object
) -> None:
    if row is None:
        with pytest.raises(RouteNotFound) as missing:
            ROUTER.match(method, path)
        assert missing.value.dialect == params
        return
    match = ROUTER.match(method, path)
    assert (match.operation.id, dict(match.params)) == (row, params)


@pytest.mark.parametrize(
    ("path", "dialect"),
    [
        (b"/nothing", "native"),
        (b"/v2/images/x/nothing", "native"),
        (b"/v2/images/x/tags", "native"),  # {project_id} never takes the place of images
        (b"/v2/images/", None),
        (b"/v2/images//", "native"),
        (b"/v2//images", "ims"),
        (b"//v2", "native"),
        (b"/v2/schemas/images/x", "native"),
        (b"/v2/cloudimages/", "ims"),
        (b"/v2/cloudimages/x/y/z", "ims"),
        (b"/v2.1/cloudimages/nothing", "ims"),
        (b"/v1/p/nothing/x", "ims"),
        (b"/v2/p/images/x/nothing", "ims"),
        (b"/v2/cache/nodes", "native"),
        (b"/v3/nothing", "iam"),
        (b"/v3.0/OS-NOTHING/x", "iam"),
        (b"/v3-ext/x", "iam"),
        (b"/v1.0/enterprise-projects/x/y/z", "eps"),
        (b"/authz/v1/nothing", "authz"),
        (b"/authz/v2", "native"),
        (b"/healthz/", "native"),
        (b"/v2/images/%FF", "native"),
        (b"/v2/cloudimages/%FF", "ims"),
        (b"/v2/images/%zz", "native"),
        (b"/v2/images/x%", "native"),
        (b"v2/images", "native"),
    ],
)
def test_an_unknown_path_is_answered_in_the_form_of_its_prefix(
    path: bytes, dialect: str | None
) -> None:
    if dialect is None:
        assert ROUTER.match("GET", path).operation.id == "glance.list"
        return
    with pytest.raises(RouteNotFound) as missing:
        ROUTER.match("GET", path)
    assert missing.value.dialect == dialect


@pytest.mark.parametrize(
    ("method", "path", "allow", "dialect"),
    [
        ("DELETE", b"/v2/images", ("GET", "POST"), "native"),
        ("HEAD", b"/v2/images", ("GET", "POST"), "native"),
        ("OPTIONS", b"/v2/cloudimages", ("GET",), "ims"),
        ("GET", b"/v1/images/x", ("HEAD",), "native"),
        ("POST", b"/v2", ("GET",), "native"),
        ("GET", b"/v3/users/x/password", ("POST",), "iam"),
        ("get", b"/v2/images", ("GET", "POST"), "native"),
    ],
)
def test_another_method_names_those_that_are_offered(
    method: str, path: bytes, allow: tuple[str, ...], dialect: str
) -> None:
    with pytest.raises(MethodNotAllowed) as refused:
        ROUTER.match(method, path)
    assert (refused.value.allow, refused.value.dialect) == (allow, dialect)


@given(st.binary(max_size=60))
def test_no_path_breaks_the_router(path: bytes) -> None:
    try:
        ROUTER.match("GET", b"/" + path)
    except (RouteNotFound, MethodNotAllowed):
        pass


@given(st.lists(st.text(min_size=1, max_size=6), min_size=1, max_size=4))
def test_segments_survive_one_encoding(segments: list[str]) -> None:
    raw = b"".join(
        b"/" + b"".join(b"%%%02X" % byte for byte in segment.encode()) for segment in segments
    )
    assert split_path(raw) == (segments, True)
