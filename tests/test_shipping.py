"""The image, built and run as far as that goes without an engine: the Dockerfile's steps, in a folder of this test's.

What an engine adds (namespaces, layers, the base image, the user) is not tested. The read-only root is: what was built
is closed to writing, and commands run without root's power over that.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from settings import ROOT
from tests.conftest import SECRET

DOCKERFILE = ROOT / "Dockerfile"
UNIT = ROOT / "deploy" / "planner.service"
Instruction = tuple[str, str]


def instructions() -> list[Instruction]:
    text = re.sub(r"^#.*\n", "", DOCKERFILE.read_text("utf-8"), flags=re.MULTILINE).replace("\\\n", "")
    return [
        (word, " ".join(rest.split())) for word, _, rest in (line.partition(" ") for line in text.splitlines() if line)
    ]


def sent_to_the_builder(folder: Path) -> None:
    """A copy of this checkout as .dockerignore lets it through, with what must not get through beside it."""
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    assert rules[0] == "*"
    left_out = [rule.removeprefix("**/") for rule in rules[1:] if rule[0] != "!"]

    def ignore(inside: str, names: list[str]) -> set[str]:
        at = Path(inside).relative_to(ROOT)
        return {name for name in names if name in left_out or str(at / name) in left_out}

    for name in (rule[1:] for rule in rules if rule[0] == "!"):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=ignore)
        else:
            shutil.copy(ROOT / name, folder / name)


class Build:
    """Each stage is built in one place, so that the paths inside it stay true, and then laid aside."""

    def __init__(self, folder: Path) -> None:
        self.place, self._stages, self._context = folder / "root", folder / "stages", folder / "context"
        self._context.mkdir()
        self._stages.mkdir()
        sent_to_the_builder(self._context)
        self.environment = {"PATH": f"{Path(sys.executable).resolve().parent}:{os.environ['PATH']}"}
        self.entry: list[str] = []
        self.skipped: list[str] = []
        self.health: list[str] = []
        self._stage, self._at = "", ""

    def run(self) -> None:
        for word, rest in instructions():
            getattr(self, f"_{word.lower()}")(rest)

    def here(self, path: str) -> Path:
        return self.place / (path if path[0] == "/" else f"{self._at}/{path}").lstrip("/")

    def _from(self, rest: str) -> None:
        if self._stage:
            self.place.rename(self._stages / self._stage)
        base, _, self._stage = rest.partition(" AS ")
        if (self._stages / base).exists():
            shutil.copytree(self._stages / base, self.place, symlinks=True)
        else:
            assert re.fullmatch(r"python:3\.\d+-slim-\w+", base)
            self.place.mkdir()

    def _workdir(self, rest: str) -> None:
        self._at = rest
        self.here(rest).mkdir(exist_ok=True)

    def _copy(self, rest: str) -> None:
        *words, target = rest.split()
        source = self._context
        if words[0].startswith("--from="):
            source = self._stages / words.pop(0).removeprefix("--from=")
        for word in words:
            found = source / word.lstrip("/")
            place = self.here(target) / found.name if target == "./" else self.here(target)
            if found.is_dir():
                shutil.copytree(found, place, symlinks=True, dirs_exist_ok=True)
            else:
                shutil.copy(found, place)

    def _run(self, rest: str) -> None:
        if rest.startswith("useradd"):
            self.skipped.append(rest)  # the users of this machine stay as they are
            self.here("/data").mkdir(mode=0o700)
            return
        shell = ("sh", "-euc", rest)
        subprocess.run(shell, cwd=self.here(self._at), env=self._variables(), check=True)

    def _variables(self) -> dict[str, str]:
        return {"HOME": str(self._context), **self.environment}

    def _env(self, rest: str) -> None:
        for name, value in (pair.split("=", 1) for pair in rest.split()):
            value = value.replace("$PATH", self.environment["PATH"])
            self.environment[name] = re.sub(r"/(planner/|data/)", rf"{self.place}/\1", value)

    def _healthcheck(self, rest: str) -> None:
        self.health = json.loads(rest[rest.index("[") :])

    def _entrypoint(self, rest: str) -> None:
        self.entry = json.loads(rest)

    def _noted(self, rest: str) -> None:
        """Says something to the engine alone."""

    _user = _volume = _expose = _stopsignal = _cmd = _noted


@pytest.fixture(scope="module")
def image() -> Iterator[Build]:
    folder = Path(tempfile.mkdtemp(prefix="planner-image-"))
    try:
        build = Build(folder)
        build.run()
        _close(build)
        yield build
    finally:
        ran("chmod", "-R", "u+w", str(folder))
        shutil.rmtree(folder)


def _close(build: Build) -> None:
    """But for /data."""
    ran("chmod", "-R", "a-w", str(build.place))
    build.here("/data").chmod(0o700)


def ran(*command: str) -> None:
    subprocess.run(command, check=True)


# As root, without the capability to write where the file's mode does not let it.
PLAIN = ("setpriv", "--bounding-set=-dac_override") if os.geteuid() == 0 else ()


def started(image: Build, *command: str, **environment: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [*PLAIN, *command],
        cwd=image.here("/planner"),
        env={**image.environment, "SECRET_KEY": SECRET, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def answer(image: Build, *command: str, **environment: str) -> tuple[int, str]:
    """Its exit code and what it says, once it has ended."""
    running = started(image, *command, **environment)
    said = running.communicate(timeout=60)[0]
    return running.returncode, said


def files_in(image: Build) -> set[tuple[str, float]]:
    data = image.here("/data")
    return {(str(file), file.lstat().st_mtime) for file in image.place.rglob("*") if not file.is_relative_to(data)}


def test_its_steps_make_a_server_that_writes_to_its_volume_alone(image: Build) -> None:
    before = files_in(image)
    code, said = answer(image, "cp", "LICENSE", "planner.py")
    assert (code, "Permission denied" in said) == (1, True)  # else the rest proves nothing
    planner, python = (str(image.here("/planner/.venv/bin") / name) for name in (*image.entry, "python"))
    image.environment |= {"HOST": "127.0.0.1", "PORT": "0"}

    code, said = answer(image, planner, "serve")
    assert (code, "run planner migrate" in said) == (1, True), said
    code, said = answer(image, planner, "migrate")
    assert (code, said.startswith("Migrated: 0001_initial")) == (0, True), said
    server = started(image, planner, "serve")
    try:
        assert server.stdout is not None
        url = re.search(r"http://127\.0\.0\.1:(\d+)", server.stdout.readline())
        assert url is not None
        begun = time.monotonic()
        while answer(image, python, *image.health[1:], PORT=url[1])[0]:
            assert time.monotonic() < begun + 20
        page = httpx.get(f"{url[0]}/graphql", headers={"accept": "text/html"})
        assert page.status_code == 200  # 503 without GraphiQL's files
        code, said = answer(image, planner, "doctor")
        assert (code, "WRONG" in said) == (0, False), said
    finally:
        server.send_signal(signal.SIGTERM)
        rest = server.communicate(timeout=30)[0]

    assert server.returncode == 0, rest
    assert files_in(image) == before
    assert (image.here("/data") / "planner.sqlite3").exists()
    assert answer(image, python, *image.health[1:], PORT="1")[0]


def test_nothing_but_what_it_needs_gets_into_it(image: Build) -> None:
    names = {file.name for file in image.here("/planner").iterdir()}

    assert not names & {".env", ".git", "var", "tests", "bench", "requirements"}
    assert not list(image.here("/planner/.venv").rglob("node"))  # which brought GraphiQL's files
    assert not list(image.here("/planner/.venv/lib").glob("python*/site-packages/pytest"))
    assert not list(image.here("/planner").rglob("*.pem")) or all(
        "site-packages" in file.parts for file in image.here("/planner").rglob("*.pem")
    )


def test_it_runs_as_nobody_in_particular() -> None:
    last = dict(instructions())
    [added] = [rest for word, rest in instructions() if word == "RUN" and rest.startswith("useradd")]

    assert last["USER"] == "10001:10001"
    assert "--uid 10001" in added
    assert (last["VOLUME"], json.loads(last["CMD"])) == ("/data", ["serve"])
    assert not [rest for word, rest in instructions() if re.search(r"SECRET|PASSWORD|TOKEN", rest)]


def test_its_health_is_that_of_the_process_alone() -> None:
    [check] = [rest for word, rest in instructions() if word == "HEALTHCHECK"]

    assert "'/health/live'" in check  # else all would be restarted when the database is away


def test_hadolint_has_nothing_to_say() -> None:
    ran = subprocess.run(
        [Path(sys.executable).with_name("hadolint"), DOCKERFILE], capture_output=True, text=True, check=False
    )

    assert (ran.returncode, ran.stdout) == (0, "")


def unit() -> dict[str, list[str]]:
    values: dict[str, list[str]] = {}
    for line in UNIT.read_text("utf-8").splitlines():
        if line and line[0] not in "#[":
            name, _, value = line.partition("=")
            values.setdefault(name, []).append(value)
    return values


def test_the_unit_runs_commands_that_there_are_and_lets_them_do_little() -> None:
    said = unit()

    assert "\nStartLimitIntervalSec=0\n" in UNIT.read_text("utf-8").partition("[Service]")[0]  # it is of [Unit] alone
    assert said["Restart"] == ["always"]
    assert [command.rpartition("/")[2] for command in said["ExecStartPre"] + said["ExecStart"]] == [
        "planner migrate",
        "planner serve",
    ]
    assert said["User"] == ["planner"]
    assert said["CapabilityBoundingSet"] == [""]
    for wall in ("NoNewPrivileges", "PrivateDevices", "PrivateTmp", "ProtectHome", "MemoryDenyWriteExecute"):
        assert said[wall] == ["yes"]
    assert said["ProtectSystem"] == ["strict"]
    # auth/passwords.py calls it, and @resources holds it.
    assert said["SystemCallFilter"][-1] == "setpriority"
    assert int(said["TimeoutStopSec"][0]) > 10


def test_as_planner_runs_a_command_as_the_unit_does(tmp_path: Path) -> None:
    stand_in = tmp_path / "systemd-run"
    stand_in.write_text('#!/bin/sh\necho "PATH=$PATH"\nprintf "%s\\n" "$@"\n')
    stand_in.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}

    said = subprocess.run(
        [UNIT.with_name("as-planner"), "planner", "doctor"], env=environment, capture_output=True, text=True, check=True
    ).stdout.splitlines()

    properties = [word.removeprefix("--property=").split("=", 1) for word in said if word.startswith("--property=")]
    assert all(value in unit()[name] for name, value in properties)
    assert {"User", "Group", "EnvironmentFile", "StateDirectory", "UMask", "ProtectHome"} <= dict(properties).keys()
    assert said[0].startswith(f"PATH={Path(unit()['ExecStart'][0].split()[0]).parent}:")
    assert said[-3:] == ["--", "planner", "doctor"]
