# SPDX-License-Identifier: Apache-2.0
"""The named stores of this deployment, opened at first use.

Which stores exist, their order, weight and default come from the settings; rows name a store by
its id. A name that no setting has is refused, never guessed.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator

from calotype.errors import Invalid, NotFound
from calotype.settings import Settings, StoreSetting
from calotype.storage import Credentials, Store, open_store


class Stores:
    """The stores of the settings. Safe to use from several threads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = {one.id: one for one in settings.store_settings()}
        self._credentials = credentials_of(settings)
        self._open: dict[str, Store] = {}
        self._lock = threading.Lock()

    @property
    def default(self) -> str:
        """The id of the store that bytes go to when nobody says otherwise."""
        chosen = [one.id for one in self._settings.values() if one.default]
        return chosen[0] if chosen else next(iter(self._settings))

    def ids(self) -> tuple[str, ...]:
        """Return the ids, in the order of the settings."""
        return tuple(self._settings)

    def setting(self, store_id: str) -> StoreSetting:
        """Return what the settings say of a store. Raises NotFound (`store_unknown`)."""
        try:
            return self._settings[store_id]
        except KeyError:
            raise NotFound(
                f"there is no store {store_id}", rule="store_unknown", kind="store", id=store_id
            ) from None

    def get(self, store_id: str) -> Store:
        """Return an open store. Raises NotFound (`store_unknown`), Unavailable, Invalid."""
        setting = self.setting(store_id)
        with self._lock:
            if store_id not in self._open:
                needed = self._credentials if setting.url.startswith("s3:") else None
                self._open[store_id] = open_store(setting.url, needed)
            return self._open[store_id]

    def writable(self, store_id: str) -> Store:
        """Return an open store that takes bytes. Raises Invalid (`store_read_only`)."""
        if self.setting(store_id).read_only:
            raise Invalid(
                f"the store {store_id} is read-only", rule="store_read_only", value=store_id
            )
        return self.get(store_id)

    def by_weight(self, store_ids: Iterator[str] | tuple[str, ...]) -> tuple[str, ...]:
        """Return known stores, heaviest first; equal ones keep their order."""
        known = [one for one in store_ids if one in self._settings]
        return tuple(sorted(known, key=lambda one: -self._settings[one].weight))

    def urls(self) -> tuple[str, ...]:
        """Return where the stores lie, so that nobody makes a bucket of one."""
        return tuple(one.url for one in self._settings.values())


def credentials_of(settings: Settings) -> Credentials | None:
    """Return how `s3://` addresses of the settings are reached, None when they say nothing."""
    if not settings.s3_access_key:
        return None
    return Credentials(
        settings.s3_endpoint or None,
        settings.s3_region,
        settings.s3_access_key,
        settings.s3_secret_key.get_secret_value(),
    )
