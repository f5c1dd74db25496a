# SPDX-License-Identifier: Apache-2.0
"""The parts of uvicorn and httptools that the server leans on are there, in the pinned version.

When this fails after an update, read `protocol.py` and `exchange.py` against the new source before
moving the pin.
"""

from __future__ import annotations

import inspect

import httptools
import uvicorn
from uvicorn.protocols.http import flow_control, httptools_impl
from uvicorn.server import ServerState


def test_the_version_is_the_one_that_was_read() -> None:
    assert uvicorn.__version__.startswith("0.54.")


def test_the_protocol_has_what_the_subclass_uses_and_overrides() -> None:
    cls = httptools_impl.HttpToolsProtocol
    for name in (
        "connection_made",
        "connection_lost",
        "data_received",
        "eof_received",
        "on_message_begin",
        "on_url",
        "on_header",
        "on_headers_complete",
        "on_body",
        "on_message_complete",
        "on_response_complete",
        "shutdown",
        "_start_asgi_task",
    ):
        assert inspect.isfunction(getattr(cls, name)), name
    source = inspect.getsource(cls)
    for name in (
        "parser",
        "transport",
        "flow",
        "scheme",
        "scope",
        "headers",
        "url",
        "cycle",
        "app",
    ):
        assert f"self.{name} = " in source or f"self.{name}: " in source, name


def test_the_parser_calls_back_into_the_subclass_and_can_be_made_strict() -> None:
    for name in ("set_dangerous_leniencies", "should_keep_alive", "should_upgrade", "get_method"):
        assert hasattr(httptools.HttpRequestParser, name)
    assert issubclass(httptools.HttpParserCallbackError, httptools.HttpParserError)


def test_the_cycle_has_the_state_that_the_exchange_keeps() -> None:
    cls = httptools_impl.RequestResponseCycle
    assert list(inspect.signature(cls.__init__).parameters)[1:] == [
        "scope",
        "transport",
        "flow",
        "logger",
        "access_logger",
        "access_log",
        "default_headers",
        "message_event",
        "expect_100_continue",
        "keep_alive",
        "on_response",
    ]
    source = inspect.getsource(cls.__init__)
    for name in (
        "disconnected",
        "keep_alive",
        "waiting_for_100_continue",
        "more_body",
        "response_started",
        "response_complete",
        "chunked_encoding",
        "expected_content_length",
    ):
        assert f"self.{name}" in source, name
    assert inspect.iscoroutinefunction(cls.send_500_response)


def test_flow_control_and_server_state_have_their_members() -> None:
    assert {"drain", "pause_reading", "resume_reading"} <= set(vars(flow_control.FlowControl))
    assert {"connections", "tasks", "default_headers", "total_requests"} <= set(vars(ServerState()))
    assert httptools_impl.STATUS_LINE[431].startswith(b"HTTP/1.1 431 ")
