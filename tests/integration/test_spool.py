"""The spool: on a real disk, before a real Redis, with producers that are real processes."""

import multiprocessing
import os
import random
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st

from console.embedded import Redis
from models.deliveries import Delivery
from models.signatures import verify
from models.streams import Lane, StreamNames
from producers.client import (
    SPOOLED,
    Client,
    IntakeFull,
    IntakeUnreachable,
    SignedEvent,
    SpoolFull,
    SpoolUnusable,
)
from producers.publisher import CHUNK
from producers.signed import sign_event
from producers.spool import Spool
from tests.support.installation import Installation
from tests.support.requests import KEY_ID, SECRET, SOURCE, delivery, event, report
from tests.support.spooling import arrivals, producing, spooling_client
from tests.support.waiting import wait_for


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Redis]:
    """A Redis of the test's own, which loses nothing that it has confirmed; not started yet."""
    made = Redis(tmp_path / "redis", appendfsync="always")
    yield made
    made.kill()


@pytest.fixture
def url(server: Redis) -> str:
    """Where that Redis is; it is down."""
    made = server.start()
    server.stop()
    return made


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the spool is to be."""
    return tmp_path / "spool.sqlite"


def numbered(client: Client, *numbers: int) -> list[SignedEvent]:
    """Events that are told by their numbers."""
    return [client.prepare("x", {}, id=str(number)) for number in numbers]


def large(client: Client, count: int) -> list[SignedEvent]:
    """Events that do not all fit into one round trip, numbered from 0."""
    inputs = {"note": "x" * 200_000}
    return [client.prepare("x", inputs, id=str(number)) for number in range(count)]


def signed(note: str = "") -> SignedEvent:
    """An event without a client."""
    return sign_event(event("x", {"note": note}), key_id=KEY_ID, secret=SECRET)


def test_what_an_intake_that_is_away_cannot_take_is_forwarded_in_order(
    server: Redis, url: str, path: Path
) -> None:
    """Published, spooled and forwarded events arrive as they were published."""
    server.start()
    with spooling_client(url, path) as client:
        (first,) = client.publish(numbered(client, 0))
        server.stop()
        assert client.publish(numbered(client, 1, 2)) == [SPOOLED, SPOOLED]
        assert client.publish(numbered(client, 3), lane=Lane.BULK) == [SPOOLED]
        with pytest.raises(IntakeUnreachable):
            client.forward()
        assert client.spooled() == 3
        server.start()
        assert client.publish(numbered(client, 4)) == [SPOOLED]  # behind the others
        assert client.forward() == 4
        assert client.forward() == client.spooled() == 0
        (last,) = client.publish(numbered(client, 5))
    assert SPOOLED not in (first, last)
    assert arrivals(url) == ["0", "1", "2", "4", "5"]
    assert arrivals(url, Lane.BULK) == ["3"]


def test_a_call_that_fails_half_way_says_which_events_are_spooled(
    server: Redis, url: str, path: Path
) -> None:
    """What was confirmed has its entry; the rest, in order, has none yet."""
    server.start()

    def events(client: Client) -> Iterator[SignedEvent]:
        for number in range(3 * CHUNK):
            if number == CHUNK:
                server.kill()
            yield from numbered(client, number)

    with spooling_client(url, path) as client:
        published = client.publish(events(client))
        assert [each == SPOOLED for each in published] == [False] * CHUNK + [True] * 2 * CHUNK
        server.start()
        assert client.forward() == 2 * CHUNK
    assert arrivals(url) == [str(number) for number in range(3 * CHUNK)]


def test_a_full_intake_is_spooled_for_too(server: Redis, url: str, path: Path) -> None:
    """What has no room waits on the disk, and what forwarding finds room for leaves it."""
    server.start()
    with spooling_client(url, path, intake_limit=5) as client:
        assert SPOOLED not in client.publish(numbered(client, 0, 1, 2))
        assert client.publish(numbered(client, 3, 4, 5)) == [SPOOLED] * 3
        with pytest.raises(IntakeFull):
            client.forward()
    with spooling_client(url, path) as roomy:
        assert roomy.forward() == 3
    assert arrivals(url) == ["0", "1", "2", "3", "4", "5"]


def test_of_a_chunk_that_was_taken_in_part_the_rest_is_spooled(
    server: Redis, url: str, path: Path
) -> None:
    """Large events take several round trips; what the first of them confirmed is not sent again."""
    server.start()
    with spooling_client(url, path, intake_limit=50) as client:
        published = client.publish(large(client, 60))
        taken = sum(each != SPOOLED for each in published)
        assert 0 < taken < 50
        assert published[taken:] == [SPOOLED] * (60 - taken)
        assert client.spooled() == 60 - taken
    assert arrivals(url) == [str(number) for number in range(taken)]


def test_of_a_head_that_was_taken_in_part_the_rest_stays(
    server: Redis, url: str, path: Path
) -> None:
    """Forwarding removes exactly what was confirmed, also when it ends with a failure."""
    with spooling_client(url, path, intake_limit=60) as client:
        client.publish(numbered(client, *range(100, 115)))
        server.start()
        client.forward()
        server.stop()
        client.publish(large(client, 60))
        server.start()
        with pytest.raises(IntakeFull):
            client.forward()
        taken = len(arrivals(url)) - 15
        assert 0 < taken < 60
        assert client.spooled() == 60 - taken


def test_a_thread_forwards_while_its_block_runs(server: Redis, url: str, path: Path) -> None:
    """It goes on through an outage, says what is wrong meanwhile, and empties the spool after."""
    with spooling_client(url, path) as client, client.forwarding(every=0.02) as forwarder:
        client.publish(numbered(client, 0, 1))
        wait_for(lambda: isinstance(forwarder.failure, IntakeUnreachable), what="a failure")
        server.start()
        wait_for(lambda: client.spooled() == 0, what="an empty spool")
        wait_for(lambda: forwarder.failure is None, what="no failure")
        wait_for(lambda: client.publish(numbered(client, 2)) != [SPOOLED], what="the direct way")
    assert arrivals(url) == ["0", "1", "2"]


def test_a_full_spool_refuses_says_where_it_is_and_takes_again_once_forwarded(
    server: Redis, url: str, path: Path
) -> None:
    """The limit holds for the file; a refused event is nowhere, those before it are all kept."""
    limit = 2 * 1024 * 1024
    with spooling_client(url, path, spool_limit=limit) as client:
        events = [client.prepare("x", {"note": "x" * 900}, id=str(n)) for n in range(4 * CHUNK)]
        with pytest.raises(SpoolFull, match=r"2,097,152 bytes.* 1,\d\d\d of them into") as refused:
            client.publish(events)
        assert str(path) in str(refused.value)
        assert refused.value.entries == []
        kept = client.spooled()
        assert kept == refused.value.spooled > 0
        assert path.stat().st_size <= limit
        server.start()
        assert client.forward() == kept
        assert client.publish(events[kept : kept + 1]) != [SPOOLED]
        server.stop()
        again = events[kept + 1 : kept + 1 + CHUNK // 2]
        assert client.publish(again) == [SPOOLED] * len(again)  # the room is used again
        assert path.stat().st_size <= limit
    server.start()
    assert arrivals(url) == [str(number) for number in range(kept + 1)]


@settings(max_examples=60)
@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("append"), st.integers(1, 6), st.sampled_from(list(Lane))),
            st.tuples(st.just("remove"), st.integers(1, 9), st.integers(0, 9)),
            st.just("reopen"),
        ),
        max_size=25,
    )
)
def test_the_spool_is_first_in_first_out(
    steps: list[tuple[str, int, Lane] | tuple[str, int, int] | str],
) -> None:
    """Whatever is appended, removed and opened anew: the head is the oldest of one lane."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "spool.sqlite"
        spool, expected = Spool(path), list[tuple[Lane, SignedEvent]]()
        for step in [*steps, "reopen"]:
            match step:
                case ("append", int(count), Lane() as lane):
                    events = [signed() for _ in range(count)]
                    spool.append(events, lane)
                    expected += [(lane, each) for each in events]
                case ("remove", int(count), int(confirmed)):
                    head = spool.head(count)
                    spool.remove(head[:confirmed])
                    del expected[: min(len(head), confirmed)]
                case _:
                    spool.close()
                    spool = Spool(path)
            head = [(each.lane, each.event) for each in spool.head(5)]
            assert head == expected[: len(head)]
            assert bool(head) == bool(expected) != spool.is_empty()
            assert len({lane for lane, _ in head}) <= 1
            assert len(spool) == len(expected)
        spool.close()


def test_removing_what_somebody_else_has_removed_leaves_what_came_since(path: Path) -> None:
    """Of two that forward the same head, the slower one takes nothing away."""
    one, other = Spool(path), Spool(path)
    one.append([signed(), signed()], Lane.URGENT)
    head = one.head(10)
    other.remove(other.head(10))
    late = signed()
    other.append([late], Lane.URGENT)
    one.remove(head)
    assert [each.event for each in one.head(10)] == [late]
    one.close()
    other.close()


def test_a_producer_killed_at_any_point_loses_nothing_it_was_promised(
    server: Redis, url: str, path: Path
) -> None:
    """Through kill -9 of producer and Redis, all that publish returned for arrives, in order."""
    rng = random.Random(20261124)  # noqa: S311
    first, is_up = 0, False
    for turn in range(12):
        with producing(url, path, first=first) as producer:
            producer.wait_until(first + rng.randint(1, 400))
            if rng.random() < 0.7:
                if is_up:
                    server.kill()
                else:
                    server.start()
                is_up = not is_up
                producer.wait_until(producer.promised() + rng.randint(1, 400))
            producer.kill()
            # The call that was cut short may have left events; publishing them again is harmless.
            first = producer.promised()
            assert first > turn
    if not is_up:
        server.start()
    with spooling_client(url, path) as client:
        client.forward()
    arrived = [int(one.removeprefix("r-")) for one in arrivals(url)]
    assert arrived == list(range(len(arrived)))
    assert len(arrived) >= first


def test_processes_share_a_spool_and_each_ones_order_holds(
    server: Redis, url: str, path: Path
) -> None:
    """Two that publish and forward at once, through an outage and the death of one of them."""
    server.start()
    with producing(url, path, name="a") as a, producing(url, path, name="b") as b:
        for producer in (a, b):
            producer.wait_until(200)
        server.kill()
        for producer in (a, b):
            producer.wait_until(producer.promised() + 300)
        server.start()
        for producer in (a, b):
            producer.wait_until(producer.promised() + 300)
        a.kill()
        b.wait_until(b.promised() + 300)
    with spooling_client(url, path) as client:
        client.forward()
    arrived = arrivals(url)
    for producer, name in ((a, "a"), (b, "b")):
        numbers = [int(one[2:]) for one in arrived if one.startswith(name)]
        assert numbers == list(range(len(numbers)))
        assert len(numbers) >= producer.promised()


def test_those_that_forward_at_once_take_turns(server: Redis, url: str, path: Path) -> None:
    """Each event is forwarded by one of them, not by all."""
    count = 10 * CHUNK
    with spooling_client(url, path) as client:
        client.publish(numbered(client, *range(count)))
    server.start()
    forwarded: list[int] = []

    def forward() -> None:
        with spooling_client(url, path) as client:
            forwarded.append(client.forward())

    threads = [Thread(target=forward) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(forwarded) == count
    with redis.Redis.from_url(url) as reader:
        assert reader.xlen(StreamNames().intake()) == count
    assert arrivals(url) == [str(number) for number in range(count)]


def test_who_keeps_the_turn_too_long_is_not_waited_for(
    server: Redis, url: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stopped process holds up nobody for ever."""
    monkeypatch.setattr("producers.spool._LONGEST_TURN", 0.1)
    with spooling_client(url, path) as client:
        client.publish(numbered(client, 1, 2))
        server.start()
        with Spool(path).turn():
            assert client.forward() == 2
    assert arrivals(url) == ["1", "2"]


def test_threads_share_a_client_and_each_ones_order_holds(
    server: Redis, url: str, path: Path
) -> None:
    """With the forwarder beside them, and the intake coming back in the middle."""
    with spooling_client(url, path) as client, client.forwarding(every=0.01):

        def publish(name: int) -> None:
            for number in range(200):
                client.publish(numbered(client, name * 1000 + number))

        threads = [Thread(target=publish, args=(name,)) for name in (1, 2, 3)]
        for thread in threads:
            thread.start()
        wait_for(lambda: client.spooled() > 50, what="a spool that fills")
        server.start()
        for thread in threads:
            thread.join()
        wait_for(lambda: client.spooled() == 0, what="an empty spool")
    arrived = [int(one) for one in arrivals(url)]
    for name in (1, 2, 3):
        mine = [number for number in arrived if number // 1000 == name]
        assert mine == [name * 1000 + number for number in range(200)]


def test_the_files_are_private_and_hold_no_key(url: str, path: Path) -> None:
    """Nobody else can read them, and who can learns events and signatures, never the secret."""
    path.touch(0o644)
    path.chmod(0o644)
    with spooling_client(url, path) as client:
        client.publish(numbered(client, 1))
        files = list(path.parent.glob("spool.sqlite*"))
        assert {one.name.removeprefix(path.name) for one in files} >= {"", "-wal", "-shm", "-turn"}
        for one in files:
            assert stat.S_IMODE(one.stat().st_mode) == 0o600
            content = one.read_bytes()
            assert SECRET not in content
            assert SECRET.hex().encode() not in content


@pytest.mark.parametrize("damage", ["garbage", "foreign", "no directory"])
def test_a_file_that_is_no_spool_is_refused_by_name(url: str, path: Path, damage: str) -> None:
    """The error names the file and what is wrong with it, and the file stays as it is."""
    match damage:
        case "garbage":
            path.write_bytes(b"no database" * 1000)
            wanted = "is damaged .*Move it away"
        case "foreign":
            with sqlite3.connect(path) as other:
                other.execute("CREATE TABLE theirs (a)")
            other.close()
            wanted = "no spool of this version"
        case _:
            path = path.parent / "nowhere" / path.name
            wanted = "No such file or directory"
    before = path.read_bytes() if path.exists() else None
    with pytest.raises(SpoolUnusable, match=wanted) as refused:
        spooling_client(url, path)
    assert str(path) in str(refused.value)
    assert (path.read_bytes() if path.exists() else None) == before


def test_damage_in_the_middle_is_said_when_it_is_met(server: Redis, url: str, path: Path) -> None:
    """Forwarding stops with the reason instead of leaving events out."""
    with spooling_client(url, path) as client:
        client.publish(numbered(client, *range(2 * CHUNK)))
    content = bytearray(path.read_bytes())
    content[8192 : len(content)] = b"\x55" * (len(content) - 8192)
    path.write_bytes(content)
    server.start()
    with spooling_client(url, path) as client:
        with pytest.raises(SpoolUnusable, match="is damaged"):
            client.forward()
        with pytest.raises(SpoolUnusable, match=r"is damaged.* Nothing was accepted\.$"):
            client.publish(numbered(client, 1))
    assert arrivals(url) == []


def test_a_spool_that_was_removed_while_in_use_takes_nothing_more(url: str, path: Path) -> None:
    """No event is written into a file that nobody will find again."""
    with spooling_client(url, path) as client:
        client.publish(numbered(client, 1))
        path.unlink()
        with pytest.raises(SpoolUnusable, match=r"was removed while it was in use.* Nothing was"):
            client.publish(numbered(client, 2))


def test_a_spool_that_another_process_holds_is_waited_for_and_then_said_so(
    url: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is accepted that could not be written; once it is free, it is written."""
    monkeypatch.setattr("producers.spool._BUSY", 0.1)
    with spooling_client(url, path) as client:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(SpoolUnusable, match=r"locked.* Nothing was accepted\.$"):
            client.publish(numbered(client, 1))
        other.execute("COMMIT")
        other.close()
        assert client.publish(numbered(client, 2)) == [SPOOLED]
        assert client.spooled() == 1


def test_a_client_with_a_spool_refuses_to_work_in_a_forked_child(url: str, path: Path) -> None:
    """A connection to SQLite does not survive a fork; the parent's goes on working."""
    with spooling_client(url, path) as client:
        events = numbered(client, 1)
        child = multiprocessing.get_context("fork").Process(
            target=_publish_in_child, args=(client, events)
        )
        child.start()
        child.join(120)
        assert child.exitcode == 0
        assert client.publish(events) == [SPOOLED]
        assert client.spooled() == 1


def _publish_in_child(client: Client, events: list[SignedEvent]) -> None:
    try:
        client.publish(events)
    except RuntimeError:
        client.close()
        os._exit(0)
    os._exit(1)


def test_a_client_without_a_spool_has_nothing_to_forward(url: str) -> None:
    """Asking for it is a mistake in the program, and is said so."""
    with (
        Client(url, source="s", key_id=KEY_ID, secret=SECRET) as client,
        pytest.raises(ValueError, match="without a spool"),
    ):
        client.forward()


def test_the_example_in_the_documentation_prints_what_it_says() -> None:
    """docs/spool.md is run as it stands."""
    root = Path(__file__).parents[2]
    text = (root / "docs" / "spool.md").read_text()
    code, output = (
        text.partition(f"```{kind}\n")[2].partition("```")[0] for kind in ("python", "text")
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False
    )
    assert (ran.stdout, ran.stderr) == (output, "")


def test_what_was_spooled_is_signed_with_the_key_that_forwards_it(
    server: Redis, url: str, path: Path, installation: Installation
) -> None:
    """A key is changed while events are spooled: they are what they were, and done."""
    with spooling_client(url, path) as client:
        client.publish([client.prepare("report_incident", report(), id="kept")])
        client.publish([client.sign(event("report_incident", report(), source="other"))])
    registry = installation.settings.producers_file
    registry.write_text(registry.read_text().replace(SECRET.hex(), "cd" * 32))
    server.start()
    with Client(url, source=SOURCE, key_id=KEY_ID, secret=b"\xcd" * 32, spool=path) as client:
        assert client.forward() == 2
    own, other = entries(url)
    (verdict,) = installation.process(own)
    assert verdict.outcome is not None
    assert (verdict.outcome.data["outcome"], verdict.outcome.data["request"]["id"]) == (
        "done",
        "kept",
    )
    assert not verify(other.event, other.signature, b"\xcd" * 32), "another source's is left alone"


def entries(url: str) -> list[Delivery]:
    """What is in the intake."""
    with redis.Redis.from_url(url) as client:
        found = client.xrange(StreamNames().intake(Lane.URGENT))
    return [
        delivery(fields[b"event"])._replace(
            key_id=fields[b"key"].decode(), signature=fields[b"signature"].decode()
        )
        for _, fields in found
    ]
