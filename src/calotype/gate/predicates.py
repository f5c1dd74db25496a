# SPDX-License-Identifier: Apache-2.0
"""The named conditions under which an action, a right or the operator is needed.

One line of PREDICATES is one name that the operation table may use; `require_known` refuses a
table that uses another. Source: contract operations.yaml (`when`), iam.md section 3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from calotype.contract.files import BadRow
from calotype.contract.loader import Operation
from calotype.gate.enforce_types import Case
from calotype.principal import PrincipalType


def moves_ep(case: Case) -> bool:
    """An operation sets the enterprise project to another one than the image has."""
    return bool(moved_to(case))


def moved_to(case: Case) -> tuple[str, ...]:
    """Return the enterprise projects that the image would move to."""
    image = case.found.images[0]
    current = "0" if case.is_foreign(image) else image.ep
    return tuple(ep for ep in case.wanted.moves_to if ep != current)


def not_submitter(case: Case) -> bool:
    """The caller did not submit the addressed job."""
    assert case.found.job is not None
    return case.found.job.submitter_id != case.caller.principal.id


def not_self(case: Case) -> bool:
    """Another principal than the caller is addressed; nobody named means the caller.

    An agency has no user of its own, so that rows about users are never its own business.
    """
    if case.wanted.user_id is not None:
        return case.wanted.user_id != case.caller.principal.id
    is_user = case.caller.principal.type is PrincipalType.USER
    return case.asked.operation.dialect == "iam" and not is_user


def image_encrypted(case: Case) -> bool:
    """The addressed image is encrypted."""
    return any(image.cmk_id for image in case.found.images)


def not_queued(case: Case) -> bool:
    """The addressed image is in another state than queued."""
    return any(image.status != "queued" for image in case.found.images)


PREDICATES: Mapping[str, Callable[[Case], bool]] = {
    "moves_ep": moves_ep,
    "system_disk": lambda case: case.wanted.disk == "system",
    "data_disk": lambda case: case.wanted.disk == "data",
    "eps_enabled": lambda case: case.caller.eps_enabled,
    "not_submitter": not_submitter,
    "not_self": not_self,
    "names_object": lambda case: bool(case.wanted.objects),
    "names_bucket": lambda case: bool(case.wanted.objects),
    "names_key": lambda case: bool(case.body.get("cmk_id")),
    "image_encrypted": image_encrypted,
    "not_queued": not_queued,
    "enables": lambda case: case.wanted.word == "enable",
    "disables": lambda case: case.wanted.word == "disable",
}


def holds(name: str | None, case: Case) -> bool:
    """Tell whether the predicate holds; no name: always."""
    return name is None or PREDICATES[name](case)


def require_known(operations: Iterable[Operation]) -> None:
    """Raise BadRow for a row that names a predicate which does not exist."""
    for row in operations:
        names = [need.when for need in row.requirements]
        names += [right.when for right in row.object_rights]
        names.append(row.operator_when if row.operator_when != "always" else None)
        for name in names:
            if name is not None and name not in PREDICATES:
                raise BadRow("operations", row.id, f"{name} is no predicate of the gate")
