"""The store: domain values in and out, migrated, and clear about what it can't use."""

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from daemon.state import store as subject
from daemon.state.records import LaunchRecord, LaunchRequest
from daemon.state.store import Store
from domain.errors import ConfigError, StateError
from domain.launch import LaunchState
from domain.model import Source, WeightFile, Weights
from domain.plan import Confidence, DeviceMemory, LaunchOptions, LlamaFlags, Plan, Range, Speed, VllmFlags
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
    store.save_launch(LAUNCH)
    assert Store(store.path).launches() == (LAUNCH,)


def test_a_vllm_plan_keeps_its_own_kind_of_flags(store: Store) -> None:
    plan = replace(PLAN, engine="vllm", flags=VllmFlags(dtype="bfloat16", kv_cache_memory_bytes=1))
    store.save_launch(replace(LAUNCH, plan=plan))
    assert store.launch("tiny") == replace(LAUNCH, plan=plan)


def test_launches_come_in_the_order_of_their_first_launch(store: Store) -> None:
    for name in ("b", "a", "c", "b"):
        store.save_launch(replace(LAUNCH, request=LaunchRequest(name, "m", LaunchOptions())))
    assert [launch.request.name for launch in store.launches()] == ["b", "a", "c"]
    store.forget_launch("a")
    assert store.launch("a") is None


def test_a_run_is_open_from_before_its_pid_until_its_end(store: Store) -> None:
    command = Command(("/bin/engine", "--port", "1"), 1, "tiny", {"A": "b"}, stop=StopPolicy(grace_s=3))
    run_id = store.open_run("tiny", command, port=1, engine_version="b1")
    (run,) = store.open_runs()
    assert (run.identity, run.command) == (None, command)
    store.identify_run(run_id, Identity(7, 8))
    assert store.open_runs()[0].identity == Identity(7, 8)
    store.close_run(run_id, "stopped")
    assert store.open_runs() == ()
    assert store.last_port("tiny") == 1


def test_facts_keep_the_boot_they_hold_for(store: Store) -> None:
    assert store.fact("x") is None
    store.put_fact("x", {"a": 1.5}, boot_id="boot")
    fact = store.fact("x")
    assert fact is not None
    assert (fact.value, fact.boot_id) == ({"a": 1.5}, "boot")


def test_events_only_grow_and_the_oldest_go(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "EVENTS_KEPT", 3)
    for number in range(5):
        store.add_event("kind", f"event {number}", None)
    assert [event.message for event in store.events()] == ["event 2", "event 3", "event 4"]
    assert [event.id for event in store.events(since=4)] == [5]


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    path.write_text("not a database at all, but long enough to be read as one")
    with pytest.raises(ConfigError, match="not a database") as caught:
        Store(path)
    assert str(path) in str(caught.value)


def test_a_failed_migration_leaves_the_database_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = tmp_path / "migrations"
    steps.mkdir()
    (steps / "0001.sql").write_text("CREATE TABLE first (a TEXT);")
    monkeypatch.setattr(subject, "MIGRATIONS", steps)
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
        store.add_event("kind", "message", None)


def damage(store: Store, statement: str) -> None:
    with store._db() as db:
        db.execute(statement)


def test_a_plan_that_can_not_be_read_costs_the_plan_alone(store: Store) -> None:
    store.save_launch(LAUNCH)
    damage(store, "UPDATE launches SET plan = '{\"model\": 1}', ready = 'no JSON'")
    assert store.launches() == (replace(LAUNCH, plan=None, ready=None),)


def test_a_row_that_can_not_be_read_is_told_and_keeps_no_other(store: Store) -> None:
    for name in ("a", "b"):
        store.save_launch(replace(LAUNCH, request=LaunchRequest(name, "m", LaunchOptions())))
        store.open_run(name, Command(("/bin/engine",), 1, name), port=1, engine_version=None)
    damage(store, "UPDATE launches SET request = '[]' WHERE name = 'a'")
    damage(store, "UPDATE runs SET command = '{}' WHERE launch = 'a'")
    assert [launch.request.name for launch in store.launches()] == ["b"]
    assert [run.launch for run in store.open_runs()] == ["b"]
    assert store.launch("a") is None
    told = [event.message for event in store.events() if event.kind == "unreadable"]
    assert len(told) == 2
    assert all(message.startswith("not known any more: a") for message in told)


def test_a_file_that_is_damaged_later_is_an_error_of_ours(store: Store) -> None:
    store.save_launch(LAUNCH)
    for path in store.path.parent.glob("state.db*"):
        path.write_bytes(b"not a database at all" * 500)
    with pytest.raises(StateError, match="not a database"):
        store.launches()
