# SPDX-License-Identifier: Apache-2.0
"""Tests of the HTTP server over real sockets."""
