# SPDX-License-Identifier: Apache-2.0
"""The published permission table, row by row, over HTTP: who is let in and who is refused.

One generated test over the rows marked `in_seed`. Each case gives a user without rights exactly
the grants it names (custom policies, made and granted over HTTP), calls the row on a target that
it may succeed on, and takes the grants away again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
import pytest

from calotype.contract.loader import Requirement, load_operations
from tests.people import User
from tests.service import Service
from tests.table.seed_calls import (
    ANSWERED_OTHERWISE,
    CALLS,
    ONLY_IN_DEFAULT_EP,
    Bench,
    Variant,
    variants,
)
from tests.wire import Api, ims_error

OPERATIONS = load_operations()
SEED = variants(OPERATIONS)
IMS_ACTIONS = frozenset(
    each.action
    for operation in OPERATIONS
    for each in operation.requirements
    if each.action.startswith("ims:")
)

NOBODY = "without a credential"
NOTHING = "without rights"
EXACT = "with exactly its actions on the IAM project"
ALL_BUT = "with every action but"
IN_EP = "with its actions on the enterprise project of the target"
ELSEWHERE = "with its actions on another enterprise project"


@dataclass(frozen=True)
class Case:
    """What the user holds, for one variant of one row."""

    variant: Variant
    held: str
    missing: str = ""

    @property
    def id(self) -> str:
        return f"{self.variant.id}: {self.held} {self.missing}".strip()


def cases() -> Iterator[Case]:
    for variant in SEED:
        for held in (NOBODY, NOTHING, EXACT, IN_EP, ELSEWHERE):
            yield Case(variant, held)
        for action in variant.actions:
            yield Case(variant, ALL_BUT, action)


@pytest.fixture(scope="module")
def bench(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench.make(service, tmp_path_factory.mktemp("seed"))


@contextmanager
def holding(
    bench: Bench, user: User, grants: Sequence[tuple[tuple[str, ...], str]]
) -> Iterator[None]:
    """Give the user policies of these actions, each on an EP or, for "", on the IAM project."""
    made = []
    try:
        for actions, ep in grants:
            made.append(bench.account.allow(user, actions, ep=ep))
        yield
    finally:
        for policy in made:
            bench.account.drop_policy(policy)


def ep_of(requirement: Requirement, ep: str, target: str) -> str:
    """Return the EP in which an action of a row is decided (iam.md 4.3)."""
    return target if requirement.evaluated_in == "target" else ep


def place(bench: Bench, variant: Variant) -> tuple[str, str]:
    """Return the EP of the target, and the EP that a move goes to."""
    if variant.operation.id in ONLY_IN_DEFAULT_EP:
        return "0", "0"
    return bench.here, "0"


def send(bench: Bench, variant: Variant, api: Api, ep: str, target: str = "0") -> httpx.Response:
    return bench.call(variant, ep, target).send(api, variant.operation.method)


def assert_let_in(variant: Variant, answer: httpx.Response) -> None:
    otherwise = ANSWERED_OTHERWISE.get(variant.operation.id)
    if otherwise is None:
        assert answer.status_code in variant.operation.success, answer.text
    else:
        assert ims_error(answer)[:2] == otherwise


def assert_refused(variant: Variant, answer: httpx.Response, action: str) -> None:
    assert answer.status_code == 403, f"{answer.status_code} {answer.text}"
    assert answer.headers["X-Decision-Id"]
    if variant.operation.dialect == "ims":
        assert ims_error(answer)[1] == "IMG.0026"
    if variant.operation.method != "HEAD":
        assert action in answer.text
        assert answer.headers["X-Decision-Id"] in answer.text


@pytest.mark.parametrize("case", list(cases()), ids=lambda case: case.id)
def test_a_row_of_the_published_table_lets_in_who_it_names_and_nobody_else(
    bench: Bench, case: Case
) -> None:
    variant, user = case.variant, bench.user
    operation, actions = variant.operation, variant.actions
    if case.held == NOBODY:
        answer = send(bench, variant, Api(bench.service.base_url, "", ""), "0")
        if operation.authentication:
            assert answer.status_code == 401
        else:
            assert_let_in(variant, answer)
    elif case.held == NOTHING:
        answer = send(bench, variant, user.api, "0", bench.here)
        if actions:
            assert_refused(variant, answer, actions[0])
        else:
            assert_let_in(variant, answer)
    elif case.held == EXACT:
        with holding(bench, user, [(actions, "")] if actions else []):
            for ep, target in (("0", bench.here), (bench.here, bench.there)):
                assert_let_in(variant, send(bench, variant, user.api, ep, target))
    elif case.held == ALL_BUT:
        rest = tuple(IMS_ACTIONS - {case.missing})
        with holding(bench, user, [(rest, "")]):
            answer = send(bench, variant, user.api, "0", bench.here)
            assert_refused(variant, answer, case.missing)
    else:
        in_an_enterprise_project(bench, case)


def in_an_enterprise_project(bench: Bench, case: Case) -> None:
    variant, user = case.variant, bench.user
    if not variant.actions:
        return
    there = case.held == ELSEWHERE
    ep, target = place(bench, variant)
    if variant.operation.enterprise_project:
        grants: list[tuple[tuple[str, ...], str]] = [
            ((each.action,), bench.there if there else ep_of(each, ep, target))
            for each in variant.requirements
        ]
    else:
        # Such a row knows no enterprise project: a grant on any, that of the image too, is nothing.
        grants = [(variant.actions, bench.there if there else "0")]
        ep = "0"
    with holding(bench, user, grants):
        answer = send(bench, variant, user.api, ep, target)
        if variant.operation.enterprise_project and not there:
            assert_let_in(variant, answer)
        else:
            assert_refused(variant, answer, variant.actions[0])


# No backup service exists here, so its right is not asked for (iam.md 3, note 3).
NEEDS_OTHERS = [
    variant
    for variant in SEED
    if variant.operation.object_rights and variant.operation.id != "ims.create_whole"
]


@pytest.mark.parametrize("variant", NEEDS_OTHERS, ids=lambda variant: variant.id)
def test_a_row_that_uses_another_service_needs_that_services_right_too(
    bench: Bench, variant: Variant
) -> None:
    bare = bench.account.user()
    (right, *others) = [
        each
        for each in variant.operation.object_rights
        if each.when in (None, "names_object", "names_bucket")
    ]
    assert not others
    with holding(bench, bare, [((*IMS_ACTIONS,), "")]):
        answer = send(bench, variant, bare.api, "0")
        assert_refused(variant, answer, right.any_of[0])
        for one in right.any_of:
            with holding(bench, bare, [((one,), "")]):
                assert_let_in(variant, send(bench, variant, bare.api, "0"))
        with holding(bench, bare, [(right.any_of, "0")]):
            answer = send(bench, variant, bare.api, "0")
            assert_refused(variant, answer, right.any_of[0])


def test_an_unfiltered_list_shows_the_images_of_the_granted_enterprise_project_only(
    bench: Bench,
) -> None:
    here, there, default = (bench.image(ep) for ep in (bench.here, bench.there, "0"))
    with holding(bench, bench.user, [(("ims:images:list",), bench.here)]):
        for filters in ({}, {"enterprise_project_id": "all_granted_eps"}):
            shown = {image["id"] for image in bench.user.api.ims_images(**filters)}
            assert here in shown
            assert not shown & {there, default}


def test_every_published_row_and_every_condition_of_one_is_called() -> None:
    rows = {operation.id for operation in OPERATIONS if operation.in_seed}
    assert len(rows) == 18
    assert set(CALLS) == rows
    conditions = {
        (operation.id, each.when)
        for operation in OPERATIONS
        if operation.in_seed
        for each in operation.requirements
        if each.when
    }
    assert conditions == {
        (variant.operation.id, fact) for variant in SEED for fact in variant.facts
    }
