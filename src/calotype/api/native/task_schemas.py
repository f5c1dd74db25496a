# SPDX-License-Identifier: Apache-2.0
"""JSON schemas of tasks (native.md 19, 21). Additions only: clients keep old copies."""

from __future__ import annotations

from typing import Any

from calotype.api.native.fields import UUID

Schema = dict[str, Any]
TYPES = ("import", "api_image_import", "location_import")
STATUSES = ("pending", "processing", "success", "failure")
ONLY_SHOWN = frozenset({"input", "result", "message"})  # what items of a list lack


def task() -> Schema:
    """Return the schema of a task."""
    return {"name": "task", "properties": _properties()}


def tasks() -> Schema:
    """Return the schema of a page of tasks."""
    listed = {name: one for name, one in _properties().items() if name not in ONLY_SHOWN}
    return {
        "name": "tasks",
        "properties": {
            "tasks": {"type": "array", "items": {"name": "task", "properties": listed}},
            "schema": {"type": "string"},
        },
        "links": [{"rel": "describedby", "href": "{schema}"}],
    }


def _properties() -> Schema:
    return {
        "id": _text("Identifier of the task", pattern=UUID),
        "type": _text("What the task does", enum=list(TYPES)),
        "status": _text("State of the task", enum=list(STATUSES)),
        "input": {"type": ["null", "object"], "description": "What the task was asked for"},
        "result": {"type": ["null", "object"], "description": "What came of it"},
        "owner": _text("Project that owns the task"),
        "message": _text("Why it failed, for people"),
        "image_id": _text("Image that the task works on"),
        "request_id": _text("Request that made the task"),
        "user_id": _text("User who made the task"),
        "expires_at": {"type": ["null", "string"], "description": "When the task is forgotten"},
        "created_at": _text("When the task was made"),
        "updated_at": _text("When the task changed last"),
        "self": _text("Address of the task", readOnly=True),
        "schema": _text("Address of this schema", readOnly=True),
    }


def _text(description: str, **more: object) -> Schema:
    return {"type": "string", "description": description, **more}
