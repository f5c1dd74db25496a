# SPDX-License-Identifier: Apache-2.0
"""The command as a whole: help that costs nothing, wrong use, and pages that are not stale."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from calotype import __version__
from calotype.cli import main, reference

PROGRAM = Path(sys.executable).with_name("calotype")
PAGES = Path(__file__).parents[3] / "docs" / "reference"
COMMANDS = ("serve", "api", "worker", "migrate", "check")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PROGRAM, *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def test_help_names_every_command_and_noun() -> None:
    done = run("--help")
    assert done.returncode == 0
    for word in (*main.NOUNS, *COMMANDS):
        assert f"\n  {word} " in done.stdout
    assert "wait-ready" not in done.stdout
    assert "..." not in done.stdout.split("Commands:")[1], "a line is cut"


@pytest.mark.parametrize("noun", main.NOUNS)
def test_the_help_of_a_noun_says_what_the_list_of_nouns_says(noun: str) -> None:
    module = importlib.import_module(f"calotype.cli.{noun}")
    assert module.app.info.help == main.NOUNS[noun]
    done = run(noun, "--help")
    assert done.returncode == 0
    assert main.NOUNS[noun] in done.stdout


def test_help_loads_none_of_the_service_and_no_http_client() -> None:
    script = (
        "import sys\nfrom calotype.cli import main\n"
        "sys.argv = ['calotype', '--help']\n"
        "try:\n    main.run()\nexcept SystemExit as end:\n    assert not end.code\n"
        "heavy = {'httpx', 'rich', 'sqlalchemy', 'pydantic', 'uvicorn', 'yaml', 'dbos'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


def test_help_takes_less_than_a_third_of_a_second_of_the_processor() -> None:
    # Seconds of the processor, not of the clock: other tests run beside this one.
    script = (
        "import resource, subprocess, sys\n"
        "subprocess.run([sys.argv[1], '--help'], stdout=subprocess.DEVNULL, check=True)\n"
        "used = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
        "print(used.ru_utime + used.ru_stime)\n"
    )
    seconds = [
        float(subprocess.check_output([sys.executable, "-c", script, str(PROGRAM)]))
        for _ in range(3)
    ]
    assert min(seconds) < 0.3, seconds


def test_the_version_is_that_of_the_package() -> None:
    assert run("--version").stdout == f"calotype {__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("no-such-command",),
        ("image", "no-such-verb"),
        ("image", "show"),
        ("image", "list", "--limit", "0"),
        ("serve", "--port", "x"),
        ("serve", "--port", "65536"),
        ("bucket", "put", "/no/such/file", "bucket:key"),
        ("bucket", "put", __file__, "no-colon"),
        ("image", "upload", "/no/such/file"),
        ("image", "upload", __file__, "--disk-format", "zip"),
        ("policy", "test", "/no/such/file"),
    ],
)
def test_wrong_use_ends_with_2_and_a_word_about_it(arguments: tuple[str, ...]) -> None:
    done = run(*arguments)
    assert done.returncode == 2, done
    assert done.stderr or not arguments
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", [name for name, _ in reference.pages()])
def test_the_pages_of_the_reference_are_fresh(name: str) -> None:
    written = dict(reference.pages())[name]
    assert (PAGES / name).read_text() == written, "run `make docs`"
