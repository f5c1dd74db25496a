# SPDX-License-Identifier: Apache-2.0
"""Where bytes live: files or S3, chosen by the scheme of a URL, without a word changing above.

A further backend is one module and one line in BACKENDS; the suite in `tests/backends` runs on
all of them. Nothing here knows images, the database or HTTP.
"""

from __future__ import annotations

from collections.abc import Callable

from calotype.errors import Invalid
from calotype.storage import files, s3
from calotype.storage.base import Credentials, Stat, Store, StoreCheck

__all__ = ["BACKENDS", "Credentials", "Stat", "Store", "StoreCheck", "open_bucket", "open_store"]

BACKENDS: dict[str, Callable[[str, Credentials | None], Store]] = {
    "file": files.from_url,
    "s3": s3.from_url,
}


def open_store(url: str, credentials: Credentials | None = None) -> Store:
    """Return our own store at `file:///absolute/path` or `s3://bucket/prefix`.

    A file store makes its directories; an S3 store sends nothing yet. Raises Invalid
    (`store_url`, `store_endpoint`; the URL is not repeated) and Unavailable.
    """
    backend = BACKENDS.get(url.partition(":")[0])
    if backend is None:
        raise Invalid(
            f"A store's URL begins with {' or '.join(f'{name}://' for name in BACKENDS)}.",
            rule="store_url",
            field="url",
        )
    return backend(url, credentials)


def open_bucket(url: str, credentials: Credentials) -> Store:
    """Return an attached user bucket at `s3://bucket[/prefix]`; its keys are opaque text."""
    return s3.bucket_from_url(url, credentials)
