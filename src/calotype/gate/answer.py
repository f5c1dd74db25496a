# SPDX-License-Identifier: Apache-2.0
"""Writes answers: JSON is encoded here and nowhere else, bytes go out by descriptor or in blocks.

Every answer carries the request id twice, `no-store` and `nosniff` (contract native.md, section 1).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import Any

from pydantic_core import to_json

from calotype.errors import Unauthenticated
from calotype.gate.request import Answer, FileBody

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

BLOCK = 2**20
SENDFILE = "calotype.sendfile"


async def send_answer(answer: Answer, request_id: str, scope: Scope, send: Send) -> int:
    """Send the whole answer; return the bytes of its body."""
    identifier = request_id.encode()
    headers: list[tuple[bytes, bytes]] = [
        (b"x-openstack-request-id", identifier),
        (b"x-request-id", identifier),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
    ]
    headers += [(name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers]
    if answer.file is not None:
        return await _send_file(answer, answer.file, headers, scope, send)
    body = answer.content
    content_type = answer.content_type
    if answer.json is not None:
        body = to_json(answer.json)
        content_type = content_type or "application/json"
    if content_type is not None:
        headers.append((b"content-type", content_type.encode("latin-1")))
    if answer.status != 204:
        length = 0 if body is None else len(body)
        headers.append((b"content-length", str(length).encode()))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    sent = b"" if scope["method"] == "HEAD" or body is None else body
    await send({"type": "http.response.body", "body": sent})
    return len(sent)


def signature_answer(error: Unauthenticated, request_id: str, auth_url: str) -> Answer:
    """Return the refusal of a signature, the same in every dialect (contract iam.md 5.2)."""
    return Answer(
        401,
        json={
            "error_code": "APIGW.0301",
            "error_msg": error.message,
            "request_id": request_id,
        },
        headers=(("WWW-Authenticate", f'Keystone uri="{auth_url}"'),),
    )


async def _send_file(
    answer: Answer, body: FileBody, headers: list[tuple[bytes, bytes]], scope: Scope, send: Send
) -> int:
    headers.append((b"content-length", str(body.count).encode()))
    headers.append((b"content-type", (answer.content_type or "application/octet-stream").encode()))
    try:
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        if body.descriptor is None:
            assert body.blocks is not None
            return await _send_blocks(body.blocks(), send)
        if SENDFILE in (scope.get("extensions") or {}):
            await send(
                {
                    "type": SENDFILE,
                    "fd": body.descriptor,
                    "offset": body.offset,
                    "count": body.count,
                }
            )
            await send({"type": "http.response.body", "body": b""})
            return body.count
        return await _send_blocks(_pieces(body.descriptor, body.offset, body.count), send)
    finally:
        if body.descriptor is not None:
            os.close(body.descriptor)


async def _send_blocks(blocks: Iterator[bytes], send: Send) -> int:
    loop = asyncio.get_running_loop()
    total = 0
    while True:
        block = await loop.run_in_executor(None, next, blocks, None)
        if block is None:
            break
        total += len(block)
        await send({"type": "http.response.body", "body": block, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
    return total


def _pieces(descriptor: int, offset: int, count: int) -> Iterator[bytes]:
    end = offset + count
    while offset < end:
        block = os.pread(descriptor, min(BLOCK, end - offset), offset)
        if not block:
            return
        offset += len(block)
        yield block
