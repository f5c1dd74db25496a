# SPDX-License-Identifier: Apache-2.0
"""The list of a project's jobs (jobs.md 1): newest first, filters, pages, wrong values."""

from __future__ import annotations

from typing import Any

import pytest

from tests.made_disks import write_content
from tests.people import Account
from tests.service import Service
from tests.wire import Api, ims_error


@pytest.fixture(scope="module")
def worked(service: Service, tmp_path_factory: pytest.TempPathFactory) -> tuple[Account, list[str]]:
    """An account with four ended jobs, the oldest first; the last one failed."""
    account = Account.make(service)
    file = tmp_path_factory.mktemp("job-list") / "small.raw"
    write_content(file, 64 * 1024, seed=7, dense=1.0)
    url = account.put(file, account.bucket(), "small.raw")
    quick = {"name": "q", "image_url": url, "min_disk": 1, "os_version": "Other Linux(64 bit)"}
    plain = {"name": "p", "image_url": url, "min_disk": 1}
    jobs = []
    for path, body in (
        ("/v2/cloudimages/quickimport/action", quick),
        ("/v2/cloudimages/action", plain),
        ("/v1/cloudimages/dataimages/action", plain),
        ("/v2/cloudimages/action", plain | {"checksum": f"sha256:{'0' * 64}"}),
    ):
        jobs.append(account.root.submit(path, body))
        account.root.wait(jobs[-1])
    return account, jobs


def listed(api: Api, query: str = "") -> list[dict[str, Any]]:
    found = api.ok("GET", f"/v1/{api.project_id}/jobs{query}")
    assert list(found) == ["jobs"]
    jobs: list[dict[str, Any]] = found["jobs"]
    return jobs


def test_jobs_are_listed_newest_first_as_the_query_by_id_shows_them(
    worked: tuple[Account, list[str]],
) -> None:
    account, jobs = worked
    found = listed(account.root)
    assert [job["job_id"] for job in found] == jobs[::-1]
    assert found == [account.root.job(job_id) for job_id in jobs[::-1]]
    parts = found[-1]["entities"]["sub_jobs_list"]
    assert len(parts) == 1
    assert parts[0] not in jobs


def test_jobs_are_filtered_by_status_and_an_empty_value_is_none(
    worked: tuple[Account, list[str]],
) -> None:
    account, jobs = worked
    by_status = {
        word: [job["job_id"] for job in listed(account.root, f"?status={word}")]
        for word in ("INIT", "RUNNING", "SUCCESS", "FAIL", "")
    }
    assert by_status["INIT"] == by_status["RUNNING"] == []
    assert by_status["SUCCESS"] == jobs[2::-1]
    assert by_status["FAIL"] == jobs[3:]
    assert by_status[""] == jobs[::-1]


def test_pages_of_jobs_follow_each_other_until_one_is_short(
    worked: tuple[Account, list[str]],
) -> None:
    account, jobs = worked
    first = listed(account.root, "?limit=3&marker=&foo=1&foo=2")
    rest = listed(account.root, f"?limit=3&marker={first[-1]['job_id'].upper()}")
    assert [job["job_id"] for job in first + rest] == jobs[::-1]
    assert listed(account.root, f"?marker={rest[-1]['job_id']}") == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("status=success", "status"),
        ("status=INIT&status=FAIL", "status"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=ten", "limit"),
        ("limit=-1", "limit"),
        (f"limit={'9' * 5000}", "limit"),
        ("limit=1&limit=2", "limit"),
        ("marker=xyz", "marker"),
        (f"marker={'0' * 32}", "marker"),
        ("limit=%zz", "%zz"),
    ],
)
def test_a_wrong_question_about_jobs_names_its_parameter(
    worked: tuple[Account, list[str]], query: str, field: str
) -> None:
    api = worked[0].root
    status, code, message = ims_error(api.call("GET", f"/v1/{api.project_id}/jobs?{query}"))
    assert (status, code) == (400, "IMG.0017"), message
    assert field in message


def test_jobs_of_another_project_are_not_listed(
    worked: tuple[Account, list[str]], account: Account
) -> None:
    assert listed(account.root) == []
    other = worked[0].project
    refused = ims_error(account.root.call("GET", f"/v1/{other}/jobs?limit=ten"))
    assert refused[:2] == (400, "IMG.0030")
    marker = ims_error(
        account.root.call("GET", f"/v1/{account.project}/jobs?marker={worked[1][0]}")
    )
    assert marker[:2] == (400, "IMG.0017")


def test_listing_jobs_needs_the_right_before_its_fields_are_looked_at(account: Account) -> None:
    user = account.user()
    path = f"/v1/{account.project}/jobs?limit=ten"
    assert ims_error(user.api.call("GET", path))[:2] == (403, "IMG.0026")
    account.allow(user, ["ims:images:get"])
    assert ims_error(user.api.call("GET", path))[:2] == (400, "IMG.0017")
