"""A real daemon is asked whatever its OpenAPI allows, and what it doesn't: each answer has a declared status,
type and form, and none is the daemon's fault.

``API_REQUESTS`` sets about how many are made: CONTRIBUTING.md.
"""

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode, Response
from schemathesis.checks import (
    CheckFunction,
    negative_data_rejection,
    not_a_server_error,
    positive_data_acceptance,
)
from schemathesis.schemas import APIOperation

from tests.daemon.test_child import Child
from tests.rigs import unix_http
from tests.rigs.hub import Hub

REQUESTS = int(os.environ.get("API_REQUESTS", "0"))  # 0: the same ones each time
USUAL_REQUESTS = 400
MODES = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
URL = "http://node-daemon"
ENDS_THE_DAEMON = "/v1/shutdown"
OF_OTHERS = ("download_failed", "disk_full", "engine_failed")  # faults that are not the daemon's
REPO = "owner/Tiny-GGUF"
# A second or more each
SLOW = ("/v1/compare", "/v1/doctor", "/v1/doctor/report", "/v1/probe", "/v1/profile", "/v1/engines/check")
READ_ONLY = ("/v1/plan", "/v1/estimate", "/v1/models/verify", "/v1/models/pin")


@pytest.fixture
def child(tmp_path: Path, smollm2: Path) -> Iterator[Child]:
    """A daemon whose hub has one repository, of 94 MiB."""
    with Hub() as hub:
        hub.add(REPO, {"Tiny-Q4_1.gguf": smollm2.read_bytes()})
        environ = {"HF_ENDPOINT": hub.url, "NODE_DAEMON_OFFLINE": "false"}
        daemon = Child(tmp_path, **environ).up()
        try:
            yield daemon
        finally:
            output = daemon.end()
            assert daemon.process.returncode == 0, output[-5000:]


@pytest.mark.slow
def test_whatever_is_asked_gets_a_declared_answer(child: Child) -> None:
    asked: Counter[int] = Counter()
    with unix_http.session(child.socket) as http:
        schema = schemathesis.openapi.from_dict(http.get(f"{URL}/openapi.json").json())
        operations = [
            found.ok() for found in schema.get_all_operations() if found.ok().path != ENDS_THE_DAEMON
        ]
        shares = sum(share(operation) for operation in operations) * len(MODES)
        for operation in operations:
            for mode in MODES:
                count = max(1, (REQUESTS or USUAL_REQUESTS) * share(operation) // shares)
                ask(http, operation, mode, count, asked)
            print(asked.total(), operation.method.upper(), operation.path, flush=True)
        assert http.get(f"{URL}/v1/status").json()["pid"] == child.process.pid
    print(sum(asked.values()), "requests, answers by status:", dict(sorted(asked.items())))


def share(operation: APIOperation) -> int:
    return 1 if operation.path in SLOW else 8


def ask(
    http: requests.Session, operation: APIOperation, mode: GenerationMode, count: int, asked: Counter[int]
) -> None:
    @settings(
        max_examples=count,
        derandomize=not REQUESTS,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def run(case: Case) -> None:
        if case.query.get("follow"):
            case.query["follow"] = False  # it has no end
        may_change = mode is GenerationMode.POSITIVE and isinstance(case.body, dict)
        if may_change and case.path in READ_ONLY and asked.total() % 2:
            case.body["model"] = REPO
        response = case.call(base_url=URL, session=http, timeout=300)
        asked[response.status_code] += 1
        case.validate_response(response, excluded_checks=needless_checks(response))

    with suppress(Unsatisfiable):  # a path without parameters has no negative of itself
        run()


def needless_checks(response: Response) -> list[CheckFunction]:
    """A value of the right form may still be none that exists here, as a rate or the name of a check."""
    needless = [positive_data_acceptance]
    if response.status_code in (413, 414, 431):  # which schemathesis takes for an acceptance
        needless.append(negative_data_rejection)
    if response.status_code >= 500 and response.json()["error"]["code"] in OF_OTHERS:
        needless.append(not_a_server_error)
    return needless
