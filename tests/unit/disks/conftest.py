# SPDX-License-Identifier: Apache-2.0
"""The honest files, made once for all tests of this folder; no test changes them."""

from __future__ import annotations

import pytest

from tests.corpus import honest_files
from tests.corpus.honest import Honest


@pytest.fixture(scope="session")
def honest(tmp_path_factory: pytest.TempPathFactory) -> list[Honest]:
    """Return (name, path, claim, virtual size) of every honest file."""
    return list(honest_files(tmp_path_factory.mktemp("honest")))
