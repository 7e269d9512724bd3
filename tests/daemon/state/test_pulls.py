"""The table of pulls: each one for itself, and those of an older version."""

import sqlite3
from pathlib import Path

from daemon.state.durability import opening
from daemon.state.records import PullRecord, PullRequest
from daemon.state.store import Store
from domain.download import DownloadPolicy, Window
from domain.launches.plan import LaunchOptions
from domain.models.model import Source, WeightFile, Weights

WEIGHTS = Weights(Source.HUB, "o/r", "abc", (WeightFile("m.gguf", 5, "00"),), "Q4_1", 5)


def request(quality: str) -> PullRequest:
    return PullRequest("gpt-oss-20b", LaunchOptions(quality=quality), DownloadPolicy(window=Window(60, 360)))


def test_the_end_of_one_forgets_no_other_of_the_same_model(tmp_path: Path) -> None:
    store = Store(tmp_path / "state.db")
    first = PullRecord(1, request("Q4_K_M"), WEIGHTS)
    second = PullRecord(2, request("Q8_0"))
    for pull in (first, second):
        store.pulls.save(pull)
    assert store.pulls.all() == (first, second)
    store.pulls.forget(1)
    assert Store(store.path).pulls.all() == (second,)


def test_pulls_of_an_older_version_are_read(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    steps = sorted(opening.MIGRATIONS.glob("*.sql"))[:2]
    db = sqlite3.connect(path)
    for step in steps:
        db.executescript(step.read_text())
    policy = '{"window": {"begin_min": 1, "end_min": 2}}'
    rows = [
        ("b", f'{{"model": "b", "wish": {{"quality": "Q8_0"}}, "terms": {policy}}}'),
        ("a", '{"model": "a", "wish": {}, "terms": null}'),
        ("c", "damaged"),
    ]
    db.executemany("INSERT INTO pulls (model, body) VALUES (?, ?)", rows)
    db.execute(f"PRAGMA user_version = {len(steps)}")
    db.commit()
    db.close()
    store = Store(path)
    policy = DownloadPolicy(window=Window(1, 2))
    assert store.pulls.all() == (
        PullRecord(1, PullRequest("b", LaunchOptions(quality="Q8_0"), policy)),
        PullRecord(2, PullRequest("a", LaunchOptions())),
    )
    (event,) = store.events.since()
    assert event.message.startswith("pull 3: ")


def test_weights_that_can_not_be_read_are_looked_up_again(tmp_path: Path) -> None:
    store = Store(tmp_path / "state.db")
    pull = PullRecord(1, request("Q8_0"), WEIGHTS)
    store.pulls.save(pull)
    db = sqlite3.connect(store.path)
    with db:
        db.execute("UPDATE pulls SET weights = '{}'")
    db.close()
    assert store.pulls.all() == (PullRecord(1, request("Q8_0")),)
