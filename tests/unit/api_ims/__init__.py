# SPDX-License-Identifier: Apache-2.0
"""The IMS dialect's reading of requests and its writing of images, without a service."""
