"""The store: domain values in and out, migrated, and clear about what it can't use."""

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from daemon.state import events
from daemon.state.durability import opening
from daemon.state.records import ConversationCopy, LaunchRecord, LaunchRequest, Work, WorkKey, WorkKind
from daemon.state.store import Store
from domain.errors import ConfigError, StateError
from domain.launches.launch import LaunchState
from domain.launches.plan import (
    Confidence,
    DeviceMemory,
    LaunchOptions,
    LlamaFlags,
    Plan,
    Range,
    Speed,
    VllmFlags,
)
from domain.models.model import Source, WeightFile, Weights
from launchers.command import Command, StopPolicy
from launchers.process.procfs import Identity
from launchers.readiness import Ready

WEIGHTS = Weights(Source.HUB, "o/r", "abc", (WeightFile("m.gguf", 5, "00"),), "Q4_1", 5, "/m")
PLAN = Plan(
    model="tiny",
    engine="llama.cpp",
    weights=WEIGHTS,
    context_tokens=512,
    parallel=1,
    kv_cache_type="f16",
    memory=(DeviceMemory("host", 1, 2, 3, 4, 10, None),),
    speed=Speed(decode_tokens_per_s=Range(1.0, 2.0, 3.0)),
    fits=True,
    confidence=Confidence.ESTIMATED,
    flags=LlamaFlags(gpu_layers=3, overrides=(("a", "CPU"),)),
    env={"A": "b"},
)
LAUNCH = LaunchRecord(
    request=LaunchRequest("tiny", "o/r", LaunchOptions(context_tokens=512)),
    desired=True,
    state=LaunchState.READY,
    since="2026-01-01T00:00:00+00:00",
    plan=PLAN,
    fingerprint="f",
    ready=Ready("Paris", 10.0, None, 2.0),
    reused=("a plan",),
    restarts=2,
    last_error="it died",
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "state.db")


def test_a_launch_comes_back_as_it_was(store: Store) -> None:
    store.launches.save(LAUNCH)
    assert Store(store.path).launches.all() == (LAUNCH,)


def test_a_vllm_plan_keeps_its_own_kind_of_flags(store: Store) -> None:
    plan = replace(PLAN, engine="vllm", flags=VllmFlags(dtype="bfloat16", kv_cache_memory_bytes=1))
    store.launches.save(replace(LAUNCH, plan=plan))
    assert store.launches.get("tiny") == replace(LAUNCH, plan=plan)


def test_launches_come_in_the_order_of_their_first_launch(store: Store) -> None:
    for name in ("b", "a", "c", "b"):
        store.launches.save(replace(LAUNCH, request=LaunchRequest(name, "m", LaunchOptions())))
    assert [launch.request.name for launch in store.launches.all()] == ["b", "a", "c"]
    store.launches.forget("a")
    assert store.launches.get("a") is None


def test_a_run_is_open_from_before_its_pid_until_its_end(store: Store) -> None:
    command = Command(("/bin/engine", "--port", "1"), 1, "tiny", {"A": "b"}, stop=StopPolicy(grace_s=3))
    run_id = store.runs.begin("tiny", command, port=1, engine_version="b1")
    (run,) = store.runs.unfinished()
    assert (run.identity, run.command) == (None, command)
    store.runs.identify(run_id, Identity(7, 8))
    assert store.runs.unfinished()[0].identity == Identity(7, 8)
    store.runs.end(("tiny",), "stopped")
    assert store.runs.unfinished() == ()
    assert store.runs.last_port("tiny") == 1


def test_measurements_keep_the_boot_they_hold_for(store: Store) -> None:
    assert store.measurements.get(dict[str, float], "x") is None
    store.measurements.put("x", {"a": 1.5}, boot_id="boot")
    assert store.measurements.get_with_boot(dict[str, float], "x") == ({"a": 1.5}, "boot")


async def test_a_boot_that_is_not_known_is_not_the_one_that_measured(store: Store) -> None:
    await store.record("x", 1.5, boot_id="one")
    assert await store.recall_of_boot(float, "x", "one") == 1.5
    assert await store.recall_of_boot(float, "x", "two") is None
    assert await store.recall_of_boot(float, "x", None) is None
    assert await store.recall(float, "x") == 1.5


@pytest.mark.parametrize("value", ["{", "[]", '"text"', "null", "1e999"])
async def test_a_damaged_measurement_counts_as_none(store: Store, value: str) -> None:
    await store.record("x", {"a": 1.5})
    await store.run(damage, store, "UPDATE facts SET value = ?", value)
    assert await store.recall(dict[str, float], "x") is None


def test_events_only_grow_and_the_oldest_go(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "EVENTS_MAX", 3)
    for number in range(5):
        store.events.append("kind", f"event {number}")
    assert [event.message for event in store.events.since()] == ["event 2", "event 3", "event 4"]
    assert [event.id for event in store.events.since(4)] == [5]


def test_what_was_in_flight_is_known_with_its_deaths_until_it_has_ended(store: Store) -> None:
    tiny, big = WorkKey(WorkKind.LAUNCH, "tiny"), WorkKey(WorkKind.PULL, "1")
    store.in_flight.begin(tiny, "planning tiny", "boot")
    store.in_flight.begin(big, "choosing files", "boot")
    store.in_flight.begin(tiny, "starting tiny", "boot")
    works = Store(store.path).in_flight.all()
    assert works == (Work(big, "choosing files", "boot"), Work(tiny, "starting tiny", "boot"))
    store.in_flight.update([replace(works[1], deaths=1, running=False)])
    store.in_flight.begin(tiny, "planning tiny", "boot")
    assert store.in_flight.all()[1] == Work(tiny, "planning tiny", "boot", deaths=1)
    store.in_flight.rest_all()
    assert [work.running for work in store.in_flight.all()] == [False, False]
    store.in_flight.end(tiny)
    store.in_flight.end(big)
    assert store.in_flight.all() == ()


def test_a_failed_migration_leaves_the_database_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = tmp_path / "migrations"
    steps.mkdir()
    (steps / "0001.sql").write_text("CREATE TABLE first (a TEXT);")
    monkeypatch.setattr(opening, "MIGRATIONS", steps)
    path = tmp_path / "state.db"
    Store(path)
    (steps / "0002.sql").write_text("CREATE TABLE second (a TEXT);\nCREATE TABLE first (a TEXT);")
    with pytest.raises(ConfigError, match="already exists"):
        Store(path)
    db = sqlite3.connect(path)
    assert db.execute("SELECT name FROM sqlite_schema").fetchall() == [("first",)]
    assert db.execute("PRAGMA user_version").fetchone() == (1,)
    db.close()


def test_a_state_that_can_not_be_written_is_an_error_of_ours(store: Store) -> None:
    db = sqlite3.connect(store.path)
    db.execute("PRAGMA writable_schema = 1")
    db.execute("DROP TABLE events")
    db.close()
    with pytest.raises(StateError, match="no such table"):
        store.events.append("kind", "message", None)


def damage(store: Store, statement: str, *values: str) -> None:
    with store.database.writing() as db:
        db.execute(statement, values)


def test_a_plan_that_can_not_be_read_costs_the_plan_alone(store: Store) -> None:
    store.launches.save(LAUNCH)
    damage(store, "UPDATE launches SET plan = '{\"model\": 1}', ready = 'no JSON'")
    assert store.launches.all() == (replace(LAUNCH, plan=None, ready=None),)


def test_a_row_that_can_not_be_read_is_told_and_keeps_no_other(store: Store) -> None:
    for name in ("a", "b"):
        store.launches.save(replace(LAUNCH, request=LaunchRequest(name, "m", LaunchOptions())))
        store.runs.begin(name, Command(("/bin/engine",), 1, name), port=1, engine_version=None)
    damage(store, "UPDATE launches SET request = '[]' WHERE name = 'a'")
    damage(store, "UPDATE runs SET command = '{}' WHERE launch = 'a'")
    assert [launch.request.name for launch in store.launches.all()] == ["b"]
    assert [run.launch for run in store.runs.unfinished()] == ["b"]
    assert store.launches.get("a") is None
    told = [event.message for event in store.events.since() if event.kind == "unreadable"]
    assert len(told) == 2
    assert all(message.startswith("a") and "can't be read" in message for message in told)


def test_a_kept_conversation_that_can_not_be_read_is_told_and_keeps_no_other(store: Store) -> None:
    whole = ConversationCopy("tiny", "a.slot", "build", (b"8 bytes!",), 10, 5, None, 1000, 1.5)
    store.conversations.save(whole)
    store.conversations.save(replace(whole, file="b.slot"))
    damage(store, "UPDATE conversations SET chain = x'0102' WHERE file = 'b.slot'")
    assert store.conversations.all() == (whole,)
    [told] = [event.message for event in store.events.since() if event.kind == "unreadable"]
    assert told.startswith("a kept conversation of tiny: ")


def test_a_file_that_is_damaged_later_is_an_error_of_ours(store: Store) -> None:
    store.launches.save(LAUNCH)
    for path in store.path.parent.glob("state.db*"):
        path.write_bytes(b"not a database at all" * 500)
    with pytest.raises(StateError, match="not a database"):
        store.launches.all()
