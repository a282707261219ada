"""`verify_audit` on a real PostgreSQL: whatever is changed behind Andon's back is named."""
# ruff: noqa: S608  # the statements are the test's own

import pytest
from sqlalchemy import Engine, Row, create_engine, text
from sqlalchemy.exc import IntegrityError, ProgrammingError

from models.audit import AuditEntry, AuditKey, AuditKeys, write_audit
from models.audit_heads import prepare_heads, sign_heads
from models.audit_verify import Misfit, Verification, verify_audit
from models.tables import audit_records
from policy.vocabulary import AuditAction
from tests.support.audits import UNLOCK
from tests.support.installation import AUDIT_KEY, Installation
from tests.support.requests import delivery, event, report, update
from tests.support.shell import andon

OTHER_KEY = AuditKey("audit-other", bytes(range(32)))


@pytest.fixture
def audited(installation: Installation) -> Installation:
    """An installation with five records in one chain, of real requests."""
    with installation.superuser.begin() as connection:
        connection.execute(text("SELECT FROM audit_chains WHERE chain <> 7 FOR UPDATE"))
        # The one free head is taken by all five.
        later = update(incident_id=None, incident_request={"id": "r1"})
        installation.process(
            delivery(event("report_incident", report(), id="r1")),
            delivery(event("update_incident", later)),
            delivery(event("update_incident", update(incident_id="99"))),
            delivery(event("report_incident", report(), id="r2")),
            delivery(event("report_incident", report(), id="r3")),
        )
    installation.execute(UNLOCK)
    return installation


def verify(
    installation: Installation, key: AuditKey = AUDIT_KEY, *retired: AuditKey
) -> Verification:
    """Verify with the worker's own rights."""
    engine = create_engine(installation.urls.worker)
    try:
        return verify_audit(engine, AuditKeys(key, retired))
    finally:
        engine.dispose()


def test_an_untouched_audit_verifies(audited: Installation) -> None:
    """Every record of every chain is looked at."""
    assert verify(audited) == Verification(chains=64, records=5, misfits=())


def test_an_audit_that_says_nothing_yet_verifies(installation: Installation) -> None:
    """Empty chains have heads of their own."""
    assert verify(installation) == Verification(chains=64, records=0, misfits=())


CHANGES = {
    "at": "at + interval '1 microsecond'",
    "action": "'delete'",
    "procedure": "overlay(procedure placing 'X' from 1 for 1)",
    "source": "overlay(source placing 'X' from 1 for 1)",
    "request_id": "overlay(request_id placing 'X' from 1 for 1)",
    "entry": "overlay(entry placing 'X' from 1 for 1)",
    "actor": "overlay(actor placing 'X' from 1 for 1)",
    "subject": "NULL",
    "outcome": "overlay(outcome placing 'X' from 1 for 1)",
    "reason": "''",
    "context": """context || '{"x": 1}'""",
    "mac": "set_byte(mac, 31, get_byte(mac, 31) # 1)",
    "witness": "COALESCE(witness, '') || '\\x00'",
}


@pytest.mark.parametrize("column", CHANGES)
def test_one_changed_byte_of_any_column_is_named(column: str, audited: Installation) -> None:
    """The record is named by its chain and its number."""
    audited.execute(f"UPDATE audit_records SET {column} = {CHANGES[column]} WHERE sequence = 2")
    (misfit,) = verify(audited).misfits
    assert (misfit.chain, misfit.sequence) == (7, 2)
    assert "was changed" in misfit.message


def test_every_column_of_a_record_is_among_the_changes() -> None:
    """A new column of the table needs its place in the test above, or in one below."""
    assert CHANGES.keys() | {"chain", "sequence", "key_id"} == set(audit_records.columns.keys())


@pytest.mark.parametrize("moment", ["infinity", "-infinity", "0044-03-15 BC", "20000-01-01"])
def test_a_moment_beyond_all_calendars_is_named(moment: str, audited: Installation) -> None:
    """And does not end the verification."""
    audited.execute(f"UPDATE audit_records SET at = '{moment}' WHERE sequence = 2")
    assert [(each.chain, each.sequence) for each in verify(audited).misfits] == [(7, 2)]


@pytest.mark.parametrize("context", ["null", "[]", "1e400", '"\\u00e9"', "[" * 2000 + "]" * 2000])
def test_a_context_of_another_kind_is_named(context: str, audited: Installation) -> None:
    """And does not end the verification."""
    with audited.superuser.begin() as connection:
        connection.execute(
            text("UPDATE audit_records SET context = CAST(:new AS jsonb) WHERE sequence = 2"),
            {"new": context},
        )
    assert [(each.chain, each.sequence) for each in verify(audited).misfits] == [(7, 2)]


def test_a_deleted_record_is_named(audited: Installation) -> None:
    """By the number it had."""
    audited.execute("DELETE FROM audit_records WHERE sequence = 3")
    assert verify(audited).misfits == (Misfit(7, 3, "is missing"),)


def test_a_tail_cut_off_is_named(audited: Installation) -> None:
    """By the first record that is gone."""
    audited.execute("DELETE FROM audit_records WHERE sequence >= 4")
    assert verify(audited).misfits == (Misfit(7, 4, "is missing, with all that followed it"),)


def test_a_tail_cut_off_shows_when_the_head_is_set_back(audited: Installation) -> None:
    """The head's own MAC cannot be made without the key."""
    audited.execute(
        "DELETE FROM audit_records WHERE sequence >= 4",
        """UPDATE audit_chains SET sequence = 3, mac =
           (SELECT mac FROM audit_records WHERE sequence = 3) WHERE chain = 7""",
    )
    assert verify(audited).misfits == (Misfit(7, None, "was changed"),)


def test_a_record_put_where_another_was_is_named(audited: Installation) -> None:
    """Each carries the place it was written at."""
    audited.execute(
        "UPDATE audit_records SET sequence = 100 WHERE sequence = 2",
        "UPDATE audit_records SET sequence = 2 WHERE sequence = 3",
        "UPDATE audit_records SET sequence = 3 WHERE sequence = 100",
    )
    assert [(each.chain, each.sequence) for each in verify(audited).misfits] == [(7, 2)]


@pytest.mark.parametrize("chain", [8, 64, -1])
def test_a_record_moved_to_another_chain_is_missing_from_its_own(
    chain: int, audited: Installation
) -> None:
    """Be it one that exists or none."""
    audited.execute(f"UPDATE audit_records SET chain = {chain} WHERE sequence = 2")
    assert Misfit(7, 2, "is missing") in verify(audited).misfits


def test_records_of_a_chain_that_should_not_be_are_named(audited: Installation) -> None:
    """Nothing vouches for them."""
    audited.execute(copied("64", "sequence", "at"))
    assert verify(audited).misfits == (Misfit(64, None, "is missing"),)


def test_a_record_before_the_first_is_named(audited: Installation) -> None:
    """Numbers begin at 1."""
    audited.execute("UPDATE audit_records SET sequence = 0 WHERE sequence = 5")
    assert verify(audited).misfits == (
        Misfit(7, 0, "does not belong to the chain"),
        Misfit(7, 5, "is missing, with all that followed it"),
    )


def test_the_lowest_number_that_a_record_can_have_is_named(audited: Installation) -> None:
    """Wherever a number lies, it is looked at; the chain itself goes on."""
    audited.execute(copied("7", "-9223372036854775808", "'-infinity'"))
    assert verify(audited).misfits == (Misfit(7, -(2**63), "does not belong to the chain"),)


@pytest.mark.parametrize("column", ["sequence = 0", "sequence = -1", "chain = 64", "chain = -1"])
def test_a_number_that_no_record_has_is_not_even_stored(
    column: str, installation: Installation
) -> None:
    """Neither the worker's role nor the owner puts in what the audit cannot have."""
    append(installation.superuser, AUDIT_KEY)
    name, _, value = column.partition(" = ")
    values = {"chain": "chain", "sequence": "sequence", name: value}
    with pytest.raises(IntegrityError, match=f"audit_records_{name}_check"):
        as_worker(installation, copied(values["chain"], values["sequence"], "at"))


@pytest.mark.parametrize(
    "moment", ["at + interval '1 second'", "at - interval '1 second'", "'20000-01-01'"]
)
def test_a_second_record_of_a_number_is_named_where_a_page_ends(
    moment: str, installation: Installation
) -> None:
    """The worker's role may insert; a number is not enough to go on from, nor is a date's text."""
    append(installation.superuser, AUDIT_KEY, 10_002)
    as_worker(installation, copied("chain", "sequence", moment, where="sequence = 10000"))
    found = verify(installation)
    (misfit,) = found.misfits
    assert (misfit.sequence, found.records) == (10_000, 10_003)


def test_a_second_record_does_not_hide_what_was_changed_after_it(audited: Installation) -> None:
    """The chain is followed past what does not belong to it."""
    audited.execute(
        copied("7", "2", "at + interval '1 second'"),
        "UPDATE audit_records SET actor = 'x' WHERE sequence = 4",
    )
    assert [(each.chain, each.sequence) for each in verify(audited).misfits] == [(7, 2), (7, 4)]


def test_a_missing_head_is_named(audited: Installation) -> None:
    """Of a chain with records, and of an empty one."""
    audited.execute("DELETE FROM audit_chains WHERE chain IN (7, 30)")
    found = verify(audited)
    assert found.misfits == (Misfit(7, None, "is missing"), Misfit(30, None, "is missing"))
    assert found.chains == 62


@pytest.mark.parametrize("change", ["sequence = 6", "mac = head_mac", "head_mac = mac"])
def test_a_changed_head_is_named(change: str, audited: Installation) -> None:
    """Also of a chain whose records are all as they were."""
    audited.execute(f"UPDATE audit_chains SET {change} WHERE chain = 7")
    assert verify(audited).misfits[0] == Misfit(7, None, "was changed")


def test_an_unknown_key_is_named(audited: Installation) -> None:
    """On a record, and on a head."""
    audited.execute("UPDATE audit_records SET key_id = 'k9' WHERE sequence = 3")
    assert [each.sequence for each in verify(audited).misfits] == [3]
    assert "'k9'" in verify(audited).misfits[0].message
    without = verify(audited, OTHER_KEY)
    assert len(without.misfits) == 65  # every head, and the one chain's first record


def test_records_under_a_retired_key_verify(audited: Installation) -> None:
    """As long as the key is given with the new one."""
    change_key(audited, OTHER_KEY, AUDIT_KEY)
    append(audited.superuser, OTHER_KEY)
    assert verify(audited, OTHER_KEY, AUDIT_KEY).misfits == ()
    assert [each.message for each in verify(audited, OTHER_KEY).misfits] == [
        "names the key 'audit-test', which is none of those given"
    ]


def test_heads_have_to_carry_the_current_key(audited: Installation) -> None:
    """Whoever got hold of a retired key can sign no head with it; a changed key needs migrate."""
    misfits = verify(audited, OTHER_KEY, AUDIT_KEY).misfits
    assert len(misfits) == 64
    assert {each.sequence for each in misfits} == {None}
    assert all("'audit-test': `andon migrate`" in each.message for each in misfits)


def test_a_retired_key_signs_nothing_after_the_current_one(audited: Installation) -> None:
    """Even where everything follows, and the head carries the current key."""
    change_key(audited, OTHER_KEY, AUDIT_KEY)
    fill(audited, OTHER_KEY)
    change_key(audited, AUDIT_KEY, OTHER_KEY, again=True)
    fill(audited, AUDIT_KEY)
    with audited.superuser.begin() as connection:
        prepare_heads(connection, AuditKeys(AuditKey("third", bytes(16)), (AUDIT_KEY, OTHER_KEY)))
    assert verify(audited, AuditKey("third", bytes(16)), AUDIT_KEY, OTHER_KEY).misfits == ()
    found = verify(audited, OTHER_KEY, AUDIT_KEY, AuditKey("third", bytes(16))).misfits
    after = [each for each in found if each.sequence is not None]
    assert len(after) == 64
    assert all("retired key 'audit-test', after" in each.message for each in after)


def test_a_record_that_no_head_reaches_is_named(audited: Installation) -> None:
    """The worker's role may insert records, and cannot sign the head."""
    as_worker(
        audited,
        copied("chain", "sequence + 100000", "at"),
    )
    (misfit,) = verify(audited).misfits
    assert (misfit.chain, misfit.sequence) == (7, 100001)
    assert "beyond the head" in misfit.message


def test_an_old_head_in_the_place_of_the_new_one_is_named(audited: Installation) -> None:
    """It is genuine, and hides what was recorded since, had anybody been able to put it back."""
    old = audited.rows("SELECT sequence, mac, head_mac FROM audit_chains WHERE chain = 8")[0]
    fill(audited, AUDIT_KEY)
    assert verify(audited).misfits == ()
    with audited.superuser.begin() as connection:
        connection.execute(
            text(
                "UPDATE audit_chains SET sequence = :sequence, mac = :mac, head_mac = :head_mac"
                " WHERE chain = 8"
            ),
            old._asdict(),
        )
    assert [(each.chain, each.sequence) for each in verify(audited).misfits] == [(8, 1)]


@pytest.mark.parametrize("change", ["sequence = sequence - 1", "mac = head_mac", "chain = 70"])
def test_the_worker_s_role_moves_a_head_on_and_nowhere_else(
    installation: Installation, change: str
) -> None:
    """A head that was put back would hide records."""
    append(installation.superuser, AUDIT_KEY)
    with pytest.raises(ProgrammingError, match="only moves on"):
        as_worker(installation, f"UPDATE audit_chains SET {change}")


@pytest.mark.parametrize("statement", ["DELETE FROM audit_chains", "TRUNCATE audit_chains"])
def test_not_even_the_owner_removes_heads(installation: Installation, statement: str) -> None:
    """Not by a slip."""
    with pytest.raises(ProgrammingError, match="never changed or deleted"):
        installation.execute(statement)


def test_a_chain_rewritten_under_another_known_key_does_not_verify(audited: Installation) -> None:
    """The key's name is not taken from the record alone: its MAC must follow."""
    audited.execute("UPDATE audit_records SET key_id = 'audit-other' WHERE sequence = 3")
    assert [each.sequence for each in verify(audited, AUDIT_KEY, OTHER_KEY).misfits] == [3]


def test_what_is_written_while_verifying_does_no_harm(audited: Installation) -> None:
    """Records beyond the noted heads are the next verification's."""
    engine = create_engine(audited.urls.worker)
    seen = []

    def meanwhile(done: int, total: int) -> None:
        append(audited.superuser, AUDIT_KEY)
        seen.append((done, total))

    assert verify_audit(engine, AuditKeys(AUDIT_KEY), meanwhile).misfits == ()
    engine.dispose()
    assert seen[-1] == (5, 5)
    assert verify(audited).records == 5 + len(seen)


def copied(chain: str, sequence: str, at: str, *, where: str = "sequence = 1") -> str:
    """A statement that puts in a record like another one, at a place of its own."""
    places = ("chain", "sequence", "at")
    others = [column.name for column in audit_records.columns if column.name not in places]
    return (
        f"INSERT INTO audit_records (chain, sequence, at, {', '.join(others)})"
        f" SELECT {chain}, {sequence}, {at}, {', '.join(others)} FROM audit_records WHERE {where}"
    )


def append(engine: Engine, key: AuditKey, records: int = 1) -> Row[tuple[int]]:
    """Append records to some chain, and say how many there are."""
    with engine.begin() as connection:
        moment = connection.execute(text("SELECT now()")).scalar_one()
        write_audit(connection, key, [AuditEntry(moment, AuditAction.APPROVE, "done")] * records)
        return connection.execute(text("SELECT count(*) FROM audit_records")).one()


def fill(installation: Installation, key: AuditKey) -> None:
    """Append one record to every chain."""
    for chain in range(64):
        with installation.superuser.begin() as others, installation.superuser.begin() as connection:
            others.execute(
                text("SELECT FROM audit_chains WHERE chain <> :chain FOR UPDATE"), {"chain": chain}
            )
            moment = connection.execute(text("SELECT now()")).scalar_one()
            write_audit(connection, key, [AuditEntry(moment, AuditAction.APPROVE, "done")])


def change_key(
    installation: Installation, new: AuditKey, *retired: AuditKey, again: bool = False
) -> None:
    """Sign all heads again; *again* if the key has been in use before, which is else refused."""
    keys = AuditKeys(new, retired)
    if not again:
        with installation.superuser.begin() as connection:
            assert prepare_heads(connection, keys) == {key.key_id for key in retired}
        return
    with installation.superuser.begin() as connection:
        sign_heads(connection, keys, connection.execute(text("SELECT * FROM audit_chains")).all())


def as_worker(installation: Installation, statement: str) -> None:
    """Run a statement with the rights of the worker's role."""
    engine = create_engine(installation.urls.worker)
    try:
        with engine.begin() as connection:
            connection.execute(text(statement))
    finally:
        engine.dispose()


def test_what_is_wrong_with_every_head_is_said_once(installation: Installation) -> None:
    """A wrong key is one sentence with some of the chains, not one for each of the 64."""
    found = andon(
        "audit",
        "verify",
        settings=installation.environment() | {"ANDON_AUDIT_KEY": f"other:{'ab' * 32}"},
        directory=installation.directory,
    )
    assert found.code == 1
    lines = found.stdout.splitlines()
    assert len(lines) == 2
    assert "Of 64 chains (0, 1, 2, 3, 4 and 59 more) each head names the key" in lines[0]
    assert lines[1] == "The audit does not verify."
