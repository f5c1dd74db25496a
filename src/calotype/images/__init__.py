# SPDX-License-Identifier: Apache-2.0
"""What an image is: attributes, states, visibility, members, tags, properties, quota, lists."""
