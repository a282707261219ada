"""Mapping files: what is read of them, and how every fault of one is named."""

from pathlib import Path

import pytest

from producers.gateway.mapping import MappingFaults
from producers.gateway.mapping_file import LARGEST_FILE, LONGEST_PATTERN, MOST_RULES, load_mapping
from producers.imports.mapping import MappingError
from producers.imports.mapping import load_mapping as load_report_mapping
from tests.support.alerts import RULES, alertmanager_alert, mapping
from tests.support.reports import MAPPING

_RULE = """
[[rules]]
match = {}
client_id = "acme"
component_id = "gateway"
category = "monitoring"
impact_level = "high"
urgency_level = "high"
reporter_user_id = "manager"
updated_by_user = "support"
severity = "P2"
"""


def _faults(text: str) -> list[str]:
    with pytest.raises(MappingFaults) as caught:
        mapping(text)
    return list(caught.value.faults)


def _with(line: str) -> str:
    """A rule with one line instead of, or besides, its own."""
    key = line.partition(" = ")[0]
    kept = [each for each in _RULE.splitlines() if each.partition(" = ")[0] != key]
    return "\n".join([*kept, line])


def test_a_rule_alone_is_a_mapping() -> None:
    """Defaults are not needed; the rule of the tests is sound."""
    assert mapping(_RULE).rules[0].title == "rule 1"


def test_every_fault_is_named_at_once() -> None:
    """Each with its rule, by number and name, and its key."""
    assert _faults(
        """
        surprise = 1
        [defaults]
        reporter_user_id = "two words"
        colour = "red"

        [[rules]]
        name = "first"
        match = { a = [], "alert.colour" = "red", b = { regex = "(" } }
        severity = "P9"
        title = "{open"
        severity_flags = ["p5_anything"]

        [[rules]]
        name = 7
        client_id = { from = "x" }
        impact_level = { from = "alert.no", map = { a = "huge" }, otherwise = "low" }
        """
    ) == [
        "the file: unknown key 'surprise'; there are defaults, rules",
        "[defaults]: unknown key 'colour'; there are client_id, component_id, reporter_user_id,"
        " updated_by_user, assigned_to_user_id, category, impact_level, urgency_level, severity,"
        " title, note, dedup_key, severity_flags",
        "[defaults], reporter_user_id: must be 1 to 64 of A-Z a-z 0-9 . _ : -",
        "rule 1 (first), severity: must be 'P1', 'P2', 'P3' or 'P4'",
        "rule 1 (first), title: has a lone '{'; a brace itself is written twice",
        "rule 1 (first), severity_flags: 'p5_anything' is no flag; there are"
        " p1_outage_no_workaround, p1_wide_enterprise_or_5plus_customers,"
        " p1_regulatory_safety_financial, p1_high_priority_customer_or_recurrent,"
        " p2_major_degradation_with_workaround, p2_multi_dept_sites_or_critical_functions,"
        " p2_risk_high_priority_sla_breach, p3_localized_or_non_critical,"
        " p3_moderate_deg_minimal_workaround",
        'rule 1 (first), match a: must be text, a list of texts, or { regex = "…" }',
        "rule 1 (first), match alert.colour: alert.colour is not among alert.title,"
        " alert.description, alert.key, alert.format, alert.receiver, alert.started_at",
        "rule 1 (first), match b: is not a regular expression: unclosed group",
        "rule 1 (first): needs client_id, here or in [defaults]",
        "rule 1 (first): needs component_id, here or in [defaults]",
        "rule 1 (first): needs category, here or in [defaults]",
        "rule 1 (first): needs impact_level, here or in [defaults]",
        "rule 1 (first): needs urgency_level, here or in [defaults]",
        "rule 1 (first): needs updated_by_user, here or in [defaults]",
        "rule 2, name: must be text on one line",
        'rule 2, client_id: needs from = "a label" and map = { "its text" = … }',
        "rule 2, impact_level: unknown key 'otherwise'; there are from, map, default",
        "rule 2, impact_level.map.a: must be 'low', 'medium', 'high' or 'critical'",
        "rule 2, impact_level.from: alert.no is not among alert.title, alert.description,"
        " alert.key, alert.format, alert.receiver, alert.started_at",
        "rule 2: needs match, a table of conditions; match = {} fits every alert",
        "rule 2: needs component_id, here or in [defaults]",
        "rule 2: needs category, here or in [defaults]",
        "rule 2: needs urgency_level, here or in [defaults]",
        "rule 2: needs updated_by_user, here or in [defaults]",
        "rule 2: needs severity or severity_flags, here or in [defaults]",
    ]


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("client_id = true", "rule 1, client_id: must be text"),
        ('client_id = ""', "rule 1, client_id: must be 1 to 64"),
        (f'category = "{"x" * 65}"', "rule 1, category: must have at most 64"),
        ('title = "a } b"', "rule 1, title: has a lone '}'"),
        ('title = "{}"', "rule 1, title: has a lone '{'"),
        ('title = "{ }"', "rule 1, title: is empty"),
        ('title = "{alert.x}"', "rule 1, title: alert.x is not among"),
        ("severity_flags = []", "rule 1, severity_flags: must be a list"),
        ("severity_flags = [1]", "rule 1, severity_flags: 1 is no flag"),
        ('severity = { from = "x", map = {} }', "rule 1, severity: needs from"),
        ('severity = { from = 1, map = { a = "P1" } }', "rule 1, severity: needs from"),
        ('severity = { from = "", map = { a = "P1" } }', "rule 1, severity.from: is empty"),
        (
            'severity = { from = "x", map = { a = "P1" }, default = "P" }',
            "rule 1, severity.default",
        ),
        ('match = "x"', "rule 1: needs match"),
        ('match = { a = "" }', "rule 1, match a: must be text"),
        ("match = { a = 7 }", "rule 1, match a: must be text"),
        ('match = { "" = "x" }', "rule 1, match : is empty"),
        ('match = { a = { regex = "x", flags = "i" } }', "rule 1, match a: must be text"),
        ('match = { a = { regex = "a)|(b" } }', "rule 1, match a: is not a regular expression"),
        ('match = { a = { regex = "(?=b)" } }', "rule 1, match a: is not a regular expression"),
        ('match = { a = { regex = "(x{999}){999}" } }', "rule 1, match a: is not a regular"),
        (
            f'match = {{ a = {{ regex = "{"x" * (LONGEST_PATTERN + 1)}" }} }}',
            "rule 1, match a: is longer than",
        ),
        ('name = "a\\nb"', "rule 1, name: must be text on one line"),
        ('name = ""', "rule 1, name: must be text on one line"),
    ],
)
def test_what_is_written_wrongly_is_said(line: str, fault: str) -> None:
    """One fault each, that names the rule, the key and what is expected."""
    found = _faults(_with(line))
    assert len(found) == 1, found
    assert found[0].startswith(fault)


def test_a_rule_for_every_alert_is_the_last_one() -> None:
    """What stands below it would never be reached, which nobody means."""
    assert _faults(_RULE + _RULE + _RULE) == [
        "rule 1: match: fits every alert, so none reaches rule 2, rule 3"
    ]
    assert mapping(RULES + _RULE).rules[-1].match == ()


@pytest.mark.parametrize("text", ["", "rules = []", "rules = 1", "[defaults]"])
def test_a_mapping_has_a_rule(text: str) -> None:
    """An empty file maps nothing and so is at fault."""
    assert _faults(text) == ["the file: needs at least one rule, [[rules]]"]


def test_a_file_has_limits(tmp_path: Path) -> None:
    """So many rules, and so many bytes."""
    rules = "".join(_with('match = { a = "b" }') for _ in range(MOST_RULES + 1))
    assert _faults(rules) == [f"the file: has {MOST_RULES + 1:,} rules; it may have {MOST_RULES:,}"]
    path = tmp_path / "mapping.toml"
    path.write_text("#" * (LARGEST_FILE + 1))
    with pytest.raises(MappingFaults, match="is larger than"):
        load_mapping(path)


@pytest.mark.parametrize(
    ("content", "fault"),
    [(b"rules = [", "is not TOML"), (b"\xff", "not UTF-8"), (None, "No such file")],
    ids=str,
)
def test_what_is_no_file_of_toml_is_said(content: bytes | None, fault: str, tmp_path: Path) -> None:
    """With the file's path."""
    path = tmp_path / "mapping.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(MappingFaults, match=fault) as caught:
        load_mapping(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("condition", "fits"),
    [
        ('{ host = "db-1" }', True),
        ('{ host = "db" }', False),
        ('{ host = ["web-1", "db-1"] }', True),
        ('{ host = ["web-1"] }', False),
        ('{ host = { regex = "db-[0-9]" } }', True),
        ('{ host = { regex = "db" } }', False),
        ('{ host = { regex = "b-1" } }', False),
        ('{ host = { regex = "web|db-1" } }', True),
        ('{ host = { regex = "db|1" } }', False),
        ('{ host = { regex = "(?m)^db$" } }', False),
        ('{ nothing = { regex = ".*" } }', False),
        ('{ host = "db-1", severity = "critical" }', True),
        ('{ host = "db-1", severity = "warning" }', False),
        ('{ "labels.host" = "db-1", "annotations.summary" = "Disk full" }', True),
        ('{ "alert.receiver" = "andon", "alert.format" = "alertmanager" }', True),
        ('{ "alert.format" = "grafana" }', False),
        ("{}", True),
    ],
)
def test_conditions(condition: str, fits: bool) -> None:
    """Equal, one of a list, or a pattern that fits the whole text; all of them have to hold."""
    (rule,) = mapping(_with(f"match = {condition}")).rules
    assert rule.fits(alertmanager_alert()) is fits


def test_a_pattern_does_not_end_before_a_line_break() -> None:
    """A text with one line more is another text."""
    (rule,) = mapping(_with('match = { host = { regex = "db-1" } }')).rules
    assert not rule.fits(alertmanager_alert(labels={"host": "db-1\n"}))
    assert not rule.fits(alertmanager_alert(labels={"host": "web\ndb-1"}))


def test_a_hostile_text_costs_a_pattern_no_time() -> None:
    """What would take others for ever is matched in linear time."""
    (rule,) = mapping(_with('match = { host = { regex = "(x+x+)+y" } }')).rules
    assert not rule.fits(alertmanager_alert(labels={"host": "x" * 100_000}))


def test_a_rule_takes_from_the_defaults_what_it_does_not_say() -> None:
    """Flags like any other value; what it says itself wins."""
    flags = 'severity_flags = ["p1_outage_no_workaround"]'
    text = f'[defaults]\nclient_id = "globex"\n{flags}\n' + _with("name = 'x'")
    (rule,) = mapping(text).rules
    assert rule.values["client_id"].of(alertmanager_alert()) == "acme"
    assert rule.severity_flags is not None
    assert rule.severity_flags.of(alertmanager_alert()) == ("p1_outage_no_workaround",)
    own = 'severity_flags = ["p2_risk_high_priority_sla_breach"]'
    (rule,) = mapping(f"[defaults]\n{flags}\n" + _with(own)).rules
    assert rule.severity_flags is not None
    assert rule.severity_flags.of(alertmanager_alert()) == ("p2_risk_high_priority_sla_breach",)


def test_numbers_stand_for_their_digits() -> None:
    """Directory ids may be written as TOML integers."""
    found = mapping(_with("client_id = 17"))
    assert found.rules[0].values["client_id"].of(alertmanager_alert()) == "17"


def test_ids_are_found_wherever_they_are_named() -> None:
    """In defaults, in rules, and in every line of a table; not where an alert has to name them."""
    text = _with('reporter_user_id = { from = "a", map = { x = "u1", y = "u2" }, default = "u3" }')
    text = '[defaults]\nupdated_by_user = "u0"\n' + text.replace(
        'updated_by_user = "support"', 'updated_by_user = "{user}"'
    )
    assert list(mapping(text).named_ids()) == [
        ("client_id", "acme"),
        ("component_id", "gateway"),
        ("reporter_user_id", "u1"),
        ("reporter_user_id", "u2"),
        ("reporter_user_id", "u3"),
        ("updated_by_user", "u0"),
    ]


def test_a_mapping_of_the_other_kind_is_told(tmp_path: Path) -> None:
    """One fault, that names the command it is for; nothing about all its unknown keys."""
    found = _faults(MAPPING)
    assert found == [
        "has [requests] and no [[rules]]: it maps a vendor's report, for `andon import`"
    ]
    (tmp_path / "mapping.toml").write_text(RULES)
    with pytest.raises(MappingError, match=r"has \[\[rules\]\] .* for `andon gateway`\.$"):
        load_report_mapping(tmp_path / "mapping.toml")
