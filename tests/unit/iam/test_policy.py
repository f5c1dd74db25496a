# SPDX-License-Identifier: Apache-2.0
"""Patterns, the grammar and the built-in policies. Faults by place: policy vectors."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calotype.contract import load_operations
from calotype.errors import Invalid
from calotype.iam.builtin import BUILTIN, compiled, compiled_by_id
from calotype.iam.conditions import OPERATORS, normalise_key, read_date, read_network
from calotype.iam.matching import Glob, action_parts, read_action
from calotype.iam.policy import IMS_ACTIONS, missing_dependencies, parse_policy

_TEXT = st.text(alphabet="ab*?", max_size=8)


def _expression(pattern: str, question: bool) -> str:
    text = re.escape(pattern).replace(r"\*", ".*")
    return text.replace(r"\?", ".") if question else text


@given(_TEXT, st.text(alphabet="abAB", max_size=8), st.booleans(), st.booleans())
def test_wildcards_match_as_the_expression_does(
    pattern: str, text: str, fold: bool, question: bool
) -> None:
    flags = re.DOTALL | (re.IGNORECASE if fold else 0)
    wanted = re.fullmatch(_expression(pattern, question), text, flags) is not None
    assert Glob(pattern, fold=fold, question=question).matches(text) is wanted


def test_many_wildcards_take_no_longer_than_the_text() -> None:
    assert not Glob("*a" * 100 + "*b").matches("a" * 5000)
    assert not Glob("*?a" * 50 + "*b", question=True).matches("a" * 255)


def test_the_known_actions_are_those_of_the_table() -> None:
    table = {
        need.action
        for row in load_operations()
        for need in row.requirements
        if need.action.startswith("ims:")
    }
    assert table == set(IMS_ACTIONS)


def test_an_unknown_ims_action_is_a_warning() -> None:
    document = {
        "Version": "1.1",
        "Statement": [
            {"Effect": "Allow", "Action": ["ims:images:fly", "ims:*:g*", "ecs:x:y", "*:*:fly"]}
        ],
    }
    assert parse_policy(document).warnings == ("unknown action: ims:images:fly",)


def test_the_declared_type_says_which_actions_may_not_stand() -> None:
    document = {
        "Version": "1.1",
        "Statement": [{"Effect": "Allow", "Action": ["iam:users:getUser", "ims:images:get"]}],
    }
    for kind, pointer in ((None, 1), ("AX", 1), ("XA", 0)):
        with pytest.raises(Invalid) as refused:
            parse_policy(document, kind=kind)
        assert refused.value.rule == "policy_invalid"
        assert refused.value.facts["pointer"] == f"/Statement/0/Action/{pointer}"


def test_a_missing_dependency_is_named() -> None:
    roles = compiled()
    administrator = roles["IMS Administrator"]
    assert missing_dependencies(administrator, []) == ("Tenant Administrator",)
    assert missing_dependencies(administrator, [roles["Tenant Administrator"]]) == ()
    assert missing_dependencies(roles["FullAccess"], []) == ()


@pytest.mark.parametrize(
    ("name", "action", "allowed"),
    [
        ("FullAccess", "iam:agencies:assume", True),
        ("IMS FullAccess", "ims:quotas:get", True),
        ("IMS FullAccess", "eps:enterpriseProjects:list", False),
        ("IMS ReadOnlyAccess", "ims:images:get", True),
        ("IMS ReadOnlyAccess", "ims:quotas:get", True),
        ("IMS ReadOnlyAccess", "ims:images:export", False),
        ("EPS ReadOnlyAccess", "eps:resources:list", True),
        ("EPS ReadOnlyAccess", "eps:enterpriseProjects:create", False),
        ("IAM ReadOnlyAccess", "iam:permissions:checkUserInGroup", True),
        ("IAM ReadOnlyAccess", "iam:users:createUser", False),
        ("Tenant Administrator", "ims:images:delete", True),
        ("Tenant Administrator", "obs:object:GetObject", True),
        ("Tenant Administrator", "iam:users:listUsers", False),
        ("Tenant Guest", "eps:enterpriseProjects:list", True),
        ("Tenant Guest", "iam:users:listUsers", False),
        ("Security Administrator", "iam:users:createUser", True),
        ("Security Administrator", "iam:agencies:assume", False),
        ("Agent Operator", "iam:agencies:assume", True),
        ("Agent Operator", "iam:users:listUsers", False),
        ("Platform Administrator", "ims:images:get", False),
        ("OBS Administrator", "obs:object:PutObject", True),
        ("Server Administrator", "ims:wholeImages:create", True),
        ("Server Administrator", "ims:images:export", False),
    ],
)
def test_a_built_in_policy_speaks_of_its_actions(name: str, action: str, allowed: bool) -> None:
    assert bool(compiled()[name].speaking_of(action)) is allowed


def test_built_in_policies_keep_their_ids_and_their_table() -> None:
    assert len(BUILTIN) == len(compiled()) == len(compiled_by_id()) == 16
    assert all(re.fullmatch("[0-9a-f]{32}", row.id) for row in BUILTIN)
    assert [row.display_name for row in BUILTIN if row.version == "1.1"] == [
        "FullAccess",
        "IMS FullAccess",
        "IMS ReadOnlyAccess",
        "EPS FullAccess",
        "EPS ReadOnlyAccess",
        "IAM ReadOnlyAccess",
    ]
    assert [row.display_name for row in BUILTIN if compiled()[row.display_name].makes_operator] == [
        "Platform Administrator"
    ]


def test_every_operator_but_null_takes_the_suffix() -> None:
    plain = {name for name in OPERATORS if not name.endswith("IfExists")}
    assert len(plain) == 24
    assert {f"{name}IfExists" for name in plain - {"Null"}} == OPERATORS - plain


@pytest.mark.parametrize(
    ("key", "normal"),
    [
        ("G:UserName", "g:username"),
        ("g:ResourceTag/Env/a", "g:resourcetag/Env/a"),
        ("IMS:visibility", "ims:visibility"),
        ("obs:Prefix", "obs:prefix"),
        ("g:ResourceTag/", None),
        ("g:UserName/x", None),
        ("ims:Owner", None),
        ("nothing", None),
        (":x", None),
    ],
)
def test_keys_fold_case_before_the_slash(key: str, normal: str | None) -> None:
    assert normalise_key(key) == normal


@given(st.text(max_size=24))
def test_no_text_breaks_the_readers(text: str) -> None:
    for read in (read_date, read_network):
        try:
            read(text)
        except ValueError:
            pass
    pattern = read_action(text)
    assert pattern is None or pattern.text == text
    assert pattern is None or len(action_parts(text)) == 3


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=4),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    (
                        "Version",
                        "Statement",
                        "Effect",
                        "Action",
                        "Resource",
                        "Condition",
                        "uri",
                        "x",
                    )
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_any_document_is_accepted_or_refused_with_a_place(document: object) -> None:
    try:
        parse_policy(document)
    except Invalid as error:
        assert isinstance(error.facts["pointer"], str)
