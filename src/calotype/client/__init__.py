# SPDX-License-Identifier: Apache-2.0
"""HTTP client for the remote half of the command line. Does not load the settings library."""
