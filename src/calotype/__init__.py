# SPDX-License-Identifier: Apache-2.0
"""calotype: an image management service.

The package root holds the version and nothing else; every room is imported by its own name.
"""

__version__ = "0.1.0"
