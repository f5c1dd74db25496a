# SPDX-License-Identifier: Apache-2.0
"""Names, descriptions, tags, ids: values.md 1 to 4, each rule with its code."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calotype.api.ims import fields
from tests.unit.api_ims.refusals import ACCEPTED, code_of, refusal_of

# Written anew from values.md 2 and 3, not taken from the program.
NAME = r"^(?! )[A-Za-z0-9._ \u4E00-\u9FFF-]{1,128}(?<! )$"
TAG = r"^[A-Za-z0-9_-]{1,36}([.=][A-Za-z0-9_-]{0,43})?$"
PAIR_REFUSED = set("=*<>\\,|/") | {chr(code) for code in range(32)} | {"\x7f"}
DESCRIPTION_REFUSED = (
    {chr(code) for code in range(32)}
    | set("<>\x7f")
    | {chr(code) for code in range(0x202A, 0x202F)}
    | {chr(code) for code in range(0x2066, 0x206A)}
)
NEAR = st.text(st.sampled_from("aZ09-._ =,/<\t\n\u4e00\u9fff\ua000\x7fé"), max_size=140)
HALF_PAIR = "\ud800"


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (None, "IMG.0013"),
        ("", "IMG.0013"),
        (7, "IMG.0001"),
        (True, "IMG.0001"),
        (["x"], "IMG.0001"),
        (HALF_PAIR, "IMG.0001"),
        ("x" * 129, "IMG.0002"),
        (" " * 129, "IMG.0002"),
        ("<" * 129, "IMG.0002"),
        (" x", "IMG.0003"),
        ("x ", "IMG.0003"),
        (" ", "IMG.0003"),
        ("a/b", "IMG.0003"),
        ("a\n", "IMG.0003"),
        ("é", "IMG.0003"),
        ("\ua000", "IMG.0003"),
        ("x" * 128, ACCEPTED),
        ("a b.c_d-1", ACCEPTED),
        ("一\u9fff", ACCEPTED),
        (".", ACCEPTED),
    ],
)
def test_a_name_is_refused_by_the_first_rule_it_breaks(value: object, code: str) -> None:
    assert code_of(fields.name, value) == code


@settings(deadline=None)
@given(st.text(max_size=140) | NEAR)
def test_names_are_those_of_the_grammar(text: str) -> None:
    if "\ud800" <= max(text, default="") <= "\udfff":
        return
    fits = re.search(NAME, text) is not None and not text.endswith("\n")
    assert (code_of(fields.name, text) == ACCEPTED) is fits


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (None, ACCEPTED),
        ("", ACCEPTED),
        (5, "IMG.0001"),
        (HALF_PAIR, "IMG.0001"),
        ("x" * 1025, "IMG.0004"),
        ("\n" * 1025, "IMG.0004"),
        ("\U0001f600" * 1024, ACCEPTED),
        *((word, "IMG.0054") for word in ("a\nb", "a\rb", "a<b", "a>b", "\0", "\t", "\x7f")),
        *((word, "IMG.0054") for word in ("\u202a", "\u202e", "\u2066", "\u2069")),
        ("\u2029\u202f\u2065\u206a", ACCEPTED),
    ],
)
def test_a_description_is_refused_by_the_first_rule_it_breaks(value: object, code: str) -> None:
    assert code_of(fields.description, value) == code


@settings(deadline=None)
@given(st.text(max_size=40) | NEAR)
def test_descriptions_are_all_text_without_controls(text: str) -> None:
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        return
    fits = not set(text) & DESCRIPTION_REFUSED
    assert (code_of(fields.description, text) == ACCEPTED) is fits
    if fits:
        assert fields.description(text) == text


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (None, "0"),
        ("", "0"),
        ("0", "0"),
        ("9B27EFAB-4a17-4c06-bfa2-3e0cf021d3c3", "9b27efab-4a17-4c06-bfa2-3e0cf021d3c3"),
        ("00", "IMG.0155"),
        ("all_granted_eps", "IMG.0155"),
        ("9b27efab4a174c06bfa23e0cf021d3c3", "IMG.0155"),
        (0, "IMG.0001"),
        (["0"], "IMG.0001"),
    ],
)
def test_one_enterprise_project_is_0_or_a_uuid(value: object, code: str) -> None:
    found = code_of(fields.enterprise_project, value)
    assert (fields.enterprise_project(value) if found == ACCEPTED else found) == code


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("web", ("web", "")),
        ("env=prod", ("env", "prod")),
        ("env.prod", ("env", "prod")),
        ("env.", ("env", "")),
        ("a" * 36 + "=" + "b" * 43, ("a" * 36, "b" * 43)),
        ("", "IMG.0115"),
        ("=prod", "IMG.0115"),
        ("a.b.c", "IMG.0115"),
        ("a=b.c", "IMG.0115"),
        ("a b", "IMG.0115"),
        ("a\n", "IMG.0115"),
        ("é", "IMG.0115"),
        ("a" * 37, "IMG.0115"),
        ("a=" + "b" * 44, "IMG.0115"),
        (5, "IMG.0001"),
        (None, "IMG.0001"),
    ],
)
def test_a_string_tag_is_a_key_and_perhaps_a_value(text: object, pair: object) -> None:
    found = code_of(fields.string_tag, text, "tags[0]")
    assert (fields.string_tag(text, "tags[0]") if found == ACCEPTED else found) == pair


@settings(deadline=None)
@given(st.text(st.sampled_from("aZ0_-.= é\n"), max_size=90))
def test_string_tags_are_those_of_the_grammar(text: str) -> None:
    fits = re.search(TAG, text) is not None and not text.endswith("\n")
    assert (code_of(fields.string_tag, text, "t") == ACCEPTED) is fits
    if fits:
        key, value = fields.string_tag(text, "t")
        assert text in (key, f"{key}={value}", f"{key}.{value}")


@pytest.mark.parametrize(
    ("value", "pair"),
    [
        ({"key": "env", "value": "prod"}, ("env", "prod")),
        ({"key": "env", "value": ""}, ("env", "")),
        ({"key": "  env ", "value": " a b "}, ("env", "a b")),
        ({"key": "中文", "value": "\U0001f600"}, ("中文", "\U0001f600")),
        ({"key": "k" * 36, "value": "v" * 43}, ("k" * 36, "v" * 43)),
        ({"key": "k" * 37, "value": ""}, "IMG.0115"),
        ({"key": "k", "value": "v" * 44}, "IMG.0115"),
        ({"key": " ", "value": ""}, "IMG.0115"),
        ({"key": "", "value": ""}, "IMG.0115"),
        ({"key": "a=b", "value": ""}, "IMG.0115"),
        ({"key": "a", "value": "b/c"}, "IMG.0115"),
        ({"key": "a\t", "value": ""}, "IMG.0115"),
        ({"key": "a"}, "IMG.0115"),
        ({"key": "a", "value": None}, "IMG.0115"),
        ({"value": "a"}, "IMG.0115"),
        ({}, "IMG.0115"),
        ({"key": "a", "value": "b", "more": 1}, "IMG.0115"),
        ({"key": 5, "value": ""}, "IMG.0001"),
        ({"key": "a", "value": 5}, "IMG.0001"),
        ({"key": "a", "value": HALF_PAIR}, "IMG.0001"),
        ("a=b", "IMG.0001"),
        (None, "IMG.0001"),
    ],
)
def test_a_pair_is_an_object_of_key_and_value(value: object, pair: object) -> None:
    found = code_of(fields.pair_tag, value, "image_tags[0]")
    assert (fields.pair_tag(value, "image_tags[0]") if found == ACCEPTED else found) == pair


@settings(deadline=None)
@given(st.text(max_size=50), st.text(max_size=50))
def test_pairs_are_trimmed_and_hold_no_separator(key: str, value: str) -> None:
    if any("\ud800" <= letter <= "\udfff" for letter in key + value):
        return
    short_key, short_value = key.strip(" "), value.strip(" ")
    fits = (
        1 <= len(short_key) <= 36
        and len(short_value) <= 43
        and not set(short_key + short_value) & PAIR_REFUSED
    )
    found = code_of(fields.pair_tag, {"key": key, "value": value}, "t")
    assert found == (ACCEPTED if fits else "IMG.0115")
    if fits:
        assert fields.pair_tag({"key": key, "value": value}, "t") == (short_key, short_value)


def many(count: int) -> list[str]:
    return [f"k{number}=v" for number in range(count)]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, ACCEPTED),
        ({"tags": None, "image_tags": None}, ACCEPTED),
        ({"tags": [], "image_tags": [{"key": "a", "value": ""}]}, ACCEPTED),
        ({"tags": ["a"], "image_tags": []}, ACCEPTED),
        ({"tags": many(10)}, ACCEPTED),
        ({"tags": many(11)}, "IMG.0116"),
        ({"image_tags": [{"key": f"k{n}", "value": ""} for n in range(11)]}, "IMG.0116"),
        ({"tags": ["a.b", "a=c"]}, "IMG.0115"),
        ({"tags": ["a", "a"]}, "IMG.0115"),
        ({"image_tags": [{"key": "a", "value": ""}, {"key": " a ", "value": "x"}]}, "IMG.0115"),
        ({"tags": ["a"], "image_tags": [{"key": "b", "value": ""}]}, "IMG.0115"),
        ({"tags": ["a"] * 11}, "IMG.0115"),
        ({"tags": many(11), "image_tags": [{"key": "b", "value": ""}]}, "IMG.0116"),
        ({"tags": "a"}, "IMG.0001"),
        ({"tags": {}}, "IMG.0001"),
        ({"tags": [5]}, "IMG.0001"),
        ({"image_tags": {"key": "a", "value": ""}}, "IMG.0001"),
        ({"image_tags": ["a"]}, "IMG.0001"),
    ],
)
def test_tags_of_a_creation_have_one_form_unique_keys_and_a_limit(
    body: dict[str, Any], code: str
) -> None:
    assert code_of(fields.tags, body, 10) == code


def test_the_limit_of_tags_is_a_setting() -> None:
    assert code_of(fields.tags, {"tags": many(4)}, 3) == "IMG.0116"
    assert fields.tags({"tags": many(3)}, 3) == [("k0", "v"), ("k1", "v"), ("k2", "v")]


@pytest.mark.parametrize("value", [True, False, 40.0, "40", 0, 1025, -1, None, [1], {}])
def test_an_integer_is_a_json_integer_in_its_range(value: object) -> None:
    assert code_of(fields.integer, "min_disk", value, 1, 1024, "IMG.0055") == "IMG.0055"


@pytest.mark.parametrize(
    ("value", "code"),
    [(None, ACCEPTED), (True, ACCEPTED), (1, "IMG.0001"), ("true", "IMG.0001"), (0, "IMG.0001")],
)
def test_a_boolean_is_a_json_boolean(value: object, code: str) -> None:
    assert code_of(fields.boolean, "is_config", value) == code


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: fields.name("x" * 129), ["name", "129", "128"]),
        (lambda: fields.name("a/b", "[2] name"), ["[2] name", "a/b", "letters"]),
        (
            lambda: fields.description("a<b", "data_images[1].description"),
            ["data_images[1]", "a<b"],
        ),
        (lambda: fields.tags({"tags": ["a", "!"]}, 10), ["tags[1]", "!", "key=value"]),
        (lambda: fields.tags({"tags": ["a", "a"]}, 10, "x."), ["x.tags", '"a"', "once"]),
        (lambda: fields.integer("min_disk", 0, 1, 9, "IMG.0055"), ["min_disk", "0", "1", "9"]),
        (lambda: fields.word("os_type", "BeOS", fields.OS_TYPES, "IMG.0122"), ["BeOS", "Linux"]),
        (lambda: fields.uuid("cmk_id", "x", "IMG.0031"), ["cmk_id", "x", "UUID"]),
        (lambda: fields.text("type", 5), ["type", "5", "string"]),
    ],
)
def test_a_message_names_field_value_and_what_is_allowed(call: Any, words: list[str]) -> None:
    message = refusal_of(call)[1]
    assert [word for word in words if word not in message] == [], message
