# SPDX-License-Identifier: Apache-2.0
"""Health, readiness and metrics, for whoever runs the service (architecture, section 10)."""
