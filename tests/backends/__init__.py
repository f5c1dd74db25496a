# SPDX-License-Identifier: Apache-2.0
"""One store suite for every backend; a package so that tests share its fixtures by name."""
