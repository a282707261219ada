"""What a flood is made of is told from what is not."""

from datetime import UTC, datetime

from models.deliveries import Delivery
from models.registry import Key, Registry, Source
from models.signatures import sign
from models.tables import Door
from tasks.surplus import COPIES_KEPT, Skimming

LIMIT = 100
SECRET = b"k" * 32
REGISTRY = Registry(
    sources={
        "monitor": Source(
            procedures="any", users="any", keys=(Key(id="monitor-1", secret=SECRET.hex()),)
        )
    }
)


def delivery(event: str, *, signed: bool = True, **how: object) -> Delivery:
    """One message, in a place of its own."""
    bare = Delivery(
        entry=f"andon:intake/{event}",
        door=Door.INTAKE,
        event=event.encode(),
        key_id="monitor-1",
        signature=sign(event.encode(), SECRET) if signed else f"{event} is signed by nobody",
        received_at=datetime.now(UTC),
    )
    return bare._replace(**how)  # type: ignore[arg-type]  # fields of it


DIFFERENT = [delivery(f"r{number}") for number in range(LIMIT)]


def test_different_messages_are_none() -> None:
    """However many there are."""
    assert Skimming(LIMIT, None).surplus(DIFFERENT, room=LIMIT) == []
    assert Skimming(LIMIT, REGISTRY).surplus(DIFFERENT, room=LIMIT) == []


def test_copies_beyond_a_few_are() -> None:
    """The first ones are kept, and so is everything else."""
    copies = [delivery("copied", entry=f"andon:intake/{number}") for number in range(50)]
    skimming = Skimming(LIMIT, None)
    assert skimming.surplus(DIFFERENT[:50] + copies, room=LIMIT) == copies[COPIES_KEPT:]
    assert skimming.surplus(DIFFERENT[50:] + copies, room=LIMIT) == copies  # in the same batch


def test_what_proves_nothing_is_beyond_a_tenth_of_a_batch() -> None:
    """But only where signatures are looked at."""
    garbage = [delivery(f"g{number}", signed=False) for number in range(60)]
    strangers = [delivery(f"s{number}", key_id="nobody-1") for number in range(40)]
    assert Skimming(LIMIT, None).surplus(garbage + strangers, room=LIMIT) == []
    assert Skimming(LIMIT, REGISTRY).surplus(garbage + strangers, room=LIMIT) == [
        *garbage[10:],
        *strangers,
    ]


def test_what_names_no_key_is_told_without_looking_at_signatures() -> None:
    """Nobody can have signed it; whoever may have is looked at only once there is a flood."""
    garbage = [delivery(f"g{number}", key_id="") for number in range(30)]
    read = DIFFERENT[:70] + garbage
    assert Skimming(LIMIT, None).surplus(read, room=LIMIT) == garbage[10:]


def test_a_read_that_was_not_full_has_none() -> None:
    """Nothing waits behind it, however little was asked for."""
    copies = [delivery("copied", entry=f"andon:intake/{number}") for number in range(80)]
    assert Skimming(LIMIT, None).surplus(copies, room=LIMIT) == []
    assert Skimming(LIMIT, None).surplus(copies, room=85) == copies[COPIES_KEPT:]


def test_what_was_set_aside_is_run_now() -> None:
    """So everything is run in the end; and so is what others may have died with."""
    before = [delivery("copied", entry=f"{n}", set_aside=True) for n in range(50)]
    again = [delivery("copied", entry=f"{n}", deliveries=2) for n in range(50, 100)]
    assert Skimming(LIMIT, None).surplus(before + again, room=LIMIT) == []
