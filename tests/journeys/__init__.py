# SPDX-License-Identifier: Apache-2.0
"""Journeys of users through the running service."""
