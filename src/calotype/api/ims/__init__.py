# SPDX-License-Identifier: Apache-2.0
"""The IMS dialect: JSON with `IMG.` codes over the same core (contract ims.md)."""
