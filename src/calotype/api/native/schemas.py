# SPDX-License-Identifier: Apache-2.0
"""The schema calls, and the schemas of images and members (native.md 21).

Additions only: clients keep old copies.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection

from calotype.api.native import task_schemas
from calotype.api.native.fields import (
    CONTAINER_FORMATS,
    DELETION_POLICIES,
    DISK_FORMATS,
    UUID,
    VISIBILITIES,
)
from calotype.gate.request import Answer, Handler, Request, reads

Schema = dict[str, Any]

_STATUSES = [
    "queued",
    "saving",
    "active",
    "killed",
    "deleted",
    "uploading",
    "importing",
    "pending_delete",
    "deactivated",
]


def handlers() -> dict[str, Handler]:
    """Return the handlers of the schemas."""
    return {
        "glance.schema_image": reads(_giving(image)),
        "glance.schema_images": reads(_giving(images)),
        "glance.schema_member": reads(_giving(member)),
        "glance.schema_members": reads(_giving(members)),
        "glance.schema_task": reads(_giving(task_schemas.task)),
        "glance.schema_tasks": reads(_giving(task_schemas.tasks)),
    }


def image() -> Schema:
    """Return the schema of an image."""
    return {
        "name": "image",
        "properties": _base() | _custom(),
        "additionalProperties": {"type": "string"},
        "links": [
            {"rel": "self", "href": "{self}"},
            {"rel": "enclosure", "href": "{file}"},
            {"rel": "describedby", "href": "{schema}"},
        ],
    }


def images() -> Schema:
    """Return the schema of a page of images."""
    return {
        "name": "images",
        "properties": {
            "images": {"type": "array", "items": image()},
            "first": {"type": "string"},
            "next": {"type": "string"},
            "schema": {"type": "string"},
        },
        "links": [
            {"rel": "first", "href": "{first}"},
            {"rel": "next", "href": "{next}"},
            {"rel": "describedby", "href": "{schema}"},
        ],
    }


def member() -> Schema:
    """Return the schema of a member."""
    text = {"type": "string"}
    return {
        "name": "member",
        "properties": {
            "member_id": {**text, "description": "Project the image is shared with"},
            "image_id": {**text, "description": "Image that is shared"},
            "status": {
                **text,
                "description": "Answer of the member",
                "enum": ["pending", "accepted", "rejected"],
            },
            "created_at": {**text, "description": "When the member was added"},
            "updated_at": {**text, "description": "When the record changed last"},
            "schema": {"type": "string", "readOnly": True},
        },
    }


def members() -> Schema:
    """Return the schema of a list of members."""
    return {
        "name": "members",
        "properties": {
            "members": {"type": "array", "items": member()},
            "schema": {"type": "string"},
        },
        "links": [{"rel": "describedby", "href": "{schema}"}],
    }


def _giving(make: Callable[[], Schema]) -> Callable[[Connection, Request], Answer]:
    def give(connection: Connection, request: Request) -> Answer:
        del connection, request
        return Answer(200, json=make())

    return give


def _text(description: str, **more: object) -> Schema:
    return {"type": "string", "description": description, **more}


def _maybe(kind: str, description: str, **more: object) -> Schema:
    return {"type": ["null", kind], "description": description, **more}


def _enum(words: tuple[str, ...], description: str) -> Schema:
    return {"type": ["null", "string"], "description": description, "enum": [None, *words]}


def _base() -> Schema:
    return {
        "id": _text("Identifier of the image", pattern=UUID),
        "name": _maybe("string", "Descriptive name of the image", maxLength=255),
        "status": _text("State of the image", readOnly=True, enum=_STATUSES),
        "visibility": _text("Who may see the image", enum=list(VISIBILITIES)),
        "protected": {"type": "boolean", "description": "A protected image cannot be deleted"},
        "os_hidden": {"type": "boolean", "description": "Hidden images are left out of lists"},
        "checksum": _maybe("string", "MD5 of the image's bytes", readOnly=True, maxLength=32),
        "os_hash_algo": _maybe("string", "Algorithm of os_hash_value", readOnly=True, maxLength=64),
        "os_hash_value": _maybe(
            "string", "Hash of the image's bytes in hex", readOnly=True, maxLength=128
        ),
        "owner": _maybe("string", "Project that owns the image", maxLength=255),
        "size": _maybe("integer", "Bytes of the image file", readOnly=True),
        "virtual_size": _maybe("integer", "Bytes of the disk in the image", readOnly=True),
        "container_format": _enum(CONTAINER_FORMATS, "Format of the container"),
        "disk_format": _enum(DISK_FORMATS, "Format of the disk"),
        "created_at": _text("When the image was made", readOnly=True),
        "updated_at": _text("When the image changed last", readOnly=True),
        "tags": {
            "type": "array",
            "description": "Strings that belong to the image",
            "items": {"type": "string", "maxLength": 255},
        },
        "min_ram": {"type": "integer", "description": "Memory a server needs, in MiB"},
        "min_disk": {"type": "integer", "description": "Disk a server needs, in GiB"},
        "direct_url": _text("Never shown by this service", readOnly=True),
        "self": _text("Address of the image", readOnly=True),
        "file": _text("Address of the image's bytes", readOnly=True),
        "schema": _text("Address of this schema", readOnly=True),
        "stores": _text("Stores that hold the bytes", readOnly=True),
        "locations": _locations(),
    }


def _locations() -> Schema:
    validation = {
        "type": "object",
        "description": "Hash that the bytes must have",
        "writeOnly": True,
        "additionalProperties": False,
        "required": ["os_hash_algo", "os_hash_value"],
        "properties": {
            "checksum": {"type": "string", "minLength": 32, "maxLength": 32},
            "os_hash_algo": {"type": "string", "maxLength": 64},
            "os_hash_value": {"type": "string", "maxLength": 128},
        },
    }
    return {
        "type": "array",
        "description": "Never shown by this service",
        "items": {
            "type": "object",
            "required": ["url", "metadata"],
            "properties": {
                "url": {"type": "string", "maxLength": 255},
                "metadata": {"type": "object"},
                "validation_data": validation,
            },
        },
    }


def _custom() -> Schema:
    own: Schema = {
        "kernel_id": _maybe("string", "Image of the kernel to boot with", pattern=UUID),
        "ramdisk_id": _maybe("string", "Image of the ramdisk to boot with", pattern=UUID),
        "instance_uuid": _text("Server that the image was made from"),
        "architecture": _text("Architecture of the processor"),
        "os_distro": _text("Short name of the distribution"),
        "os_version": _text("Version of the operating system"),
        "description": _text("Description of the image"),
        "cinder_encryption_key_id": _text("Key of an encrypted volume"),
        "cinder_encryption_key_deletion_policy": _text(
            "Whether that key goes with the image", enum=list(DELETION_POLICIES)
        ),
    }
    return {name: {**schema, "is_base": False} for name, schema in own.items()}
