"""What each reason code means, what it rests on, and what to do about it.

The text behind `andon explain CODE`. It is written for two readers: the operator, who looks after
the halts, and the producer, who sent the request. Quotations are word for word, with their place.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from policy.halts import Reason


@dataclass(frozen=True, slots=True)
class Explanation:
    """One reason code in plain words.

    `meaning` says what happened, `policy` quotes the sentence of the policy or of the design on
    which the halt rests, and `remedy` says what to do next.
    """

    reason: Reason
    meaning: str
    policy: str
    remedy: str


_AS_WRITTEN = (
    Explanation(
        Reason.MALFORMED,
        meaning="""
            The message is not a request at all: it is not JSON, not a CloudEvent 1.0 event, or
            larger than 256 KiB. Nothing was carried out. Its bytes are kept with the halt (the
            first 64 KiB of them, with the full length and hash).
        """,
        policy="""
            Design, section 2: "The message is not a request at all (not JSON, not a CloudEvent, too
            large, bad signature): halted as malformed or unauthenticated, its bytes kept".
        """,
        remedy="""
            Operator: look at the bytes with `andon halts show` and find out which program wrote
            them; replaying cannot help, so discard the halt. Producer: send a whole CloudEvent
            (`andon send --example PROCEDURE` prints one to start from). The id was not used up and
            may be sent again.
        """,
    ),
    Explanation(
        Reason.UNAUTHENTICATED,
        meaning="""
            The message does not prove that it comes from the source it names: the source or the key
            id is not in the producer registry, the signature is missing, or it does not fit the
            bytes. Nothing was carried out, and the source's ids are untouched.
        """,
        policy="""
            Design, section 2: "what cannot prove its source may not take that source's (source, id)
            away from a genuine request."
        """,
        remedy="""
            Producer: sign the exact bytes you send, with HMAC-SHA256 and a key that is registered
            for this source, and send them again under the same id. Operator: compare the source and
            key id with `andon producers list`; a key that was just rotated out is the usual cause.
            If nobody knows the message, treat it as an attempt to forge one.
        """,
    ),
    Explanation(
        Reason.UNKNOWN_PROCEDURE,
        meaning="""
            The event's type names no procedure. The procedures are report_incident,
            update_incident, submit_escalation and record_communication, and an event's type is one
            of these after `andon.`.
        """,
        policy="""
            Policy, Common Standards, Tool Usage: "Use only provided tools—no invented steps or
            integrations."
        """,
        remedy="""
            Producer: correct the type, for example to andon.report_incident, and send the request
            under a new id. Operator: discard the halt.
        """,
    ),
    Explanation(
        Reason.MISSING_INPUT,
        meaning="""
            The request lacks one or more inputs that its procedure requires. The halt lists every
            input at fault with its JSON path, not only the first.
        """,
        policy="""
            Policy, Common Standards, Validation: "Halt with a clear error if required inputs are
            missing or invalid."
        """,
        remedy="""
            Producer: add the inputs that the halt lists and send the request under a new id (the
            old id stays with this halt). Operator: nothing to repair here; discard the halt once
            the corrected request has arrived.
        """,
    ),
    Explanation(
        Reason.INVALID_INPUT,
        meaning="""
            One or more inputs have a value that they may not have: an unknown word, an unknown
            field, a text that is too long, a timestamp that cannot be (a detection more than five
            minutes in the future, a resolution before the detection or before the escalation, or of
            an incident that is not resolved), or a dedup_key that belongs to another client's
            incident. The halt lists every input at fault with its JSON path.
        """,
        policy="""
            Policy, Common Standards, Validation: "Halt with a clear error if required inputs are
            missing or invalid."
        """,
        remedy="""
            Producer: correct the inputs that the halt lists and send the request under a new id. A
            detection in the future means that a clock is wrong: correct that first. Operator:
            discard the halt once the corrected request has arrived.
        """,
    ),
    Explanation(
        Reason.IDEMPOTENCY_CONFLICT,
        meaning="""
            An earlier request of this source had the same id and different content. The earlier one
            keeps the id and its outcome; this one was not carried out.
        """,
        policy="""
            Design, section 5: "the same identity with another hash halts as idempotency_conflict".
        """,
        remedy="""
            Producer: if this was meant as a new request, send it under a new id; if it was meant as
            a repetition, repeat the content unchanged. An id that is reused means that the program
            making the ids is at fault. Operator: discard the halt.
        """,
    ),
    Explanation(
        Reason.USER_NOT_FOUND,
        meaning="""
            The user on whose authority the request is to run is not in the directory.
        """,
        policy="""
            Policy, Authority and Access Controls: "Active status: user must be active in the users
            table".
        """,
        remedy="""
            Operator: if the user exists and the directory is behind, load it (`andon directory
            load`) and replay the halt. Producer: if the user id is wrong, correct it and send the
            request under a new id.
        """,
    ),
    Explanation(
        Reason.USER_INACTIVE,
        meaning="""
            The user on whose authority the request is to run is inactive or on leave. Being on
            leave counts as not active.
        """,
        policy="""
            Policy, Authority and Access Controls: "Active status: user must be active in the users
            table". Design, section 6, Existence: "on_leave is not active."
        """,
        remedy="""
            Producer: send the request under a new id, in the name of a user who is active.
            Operator: if the user is active again, load the directory and replay the halt.
        """,
    ),
    Explanation(
        Reason.NOT_AUTHORIZED,
        meaning="""
            The user's role may not run this procedure. What counts is the list of roles in the SOP
            itself. Client contacts may report incidents only where the setting that allows it is
            on; it is off by default.
        """,
        policy="""
            Policy, Common Standards, Authorization & Approvals: "Enforce role-based access."
            Design, section 6, Roles: "The SOP's own list is what counts."
        """,
        remedy="""
            Producer: have the request made in the name of a user whose role is on the SOP's list.
            Operator: if the directory has the wrong role for the user, correct it, load it and
            replay the halt.
        """,
    ),
    Explanation(
        Reason.CLIENT_ASSOCIATION,
        meaning="""
            The user is linked to one client and the incident concerns another, or the user is a
            client contact who is linked to none. Staff without a link act for all clients.
        """,
        policy="""
            Policy, Authority and Access Controls: "Client association: user must be linked to the
            relevant client_id".
        """,
        remedy="""
            Producer: check that the request names the right incident or client_id, and the right
            user; send the corrected request under a new id. Operator: if the user's client_id in
            the directory is wrong, correct it, load it and replay the halt.
        """,
    ),
    Explanation(
        Reason.VENDOR_ASSOCIATION,
        meaning="""
            The user acts for one vendor, and the product of the incident's component is supported
            by another vendor or by none; or the user is a vendor contact who is linked to no
            vendor.
        """,
        policy="""
            Policy, Authority and Access Controls: "Vendor association: user must be linked to the
            relevant vendor_id".
        """,
        remedy="""
            Producer: check that the request names the right component and the right user; send the
            corrected request under a new id. Operator: if the directory is wrong about the user's
            vendor_id, the component's product or the product's vendor, correct it, load it and
            replay the halt.
        """,
    ),
    Explanation(
        Reason.CLIENT_NOT_FOUND,
        meaning="""
            The client that the report names is not in the directory. Only its existence is asked,
            not its status or its subscriptions.
        """,
        policy="""
            Policy, SOP 1, Steps: "Verify the reporter user is active; as well, client and component
            exist."
        """,
        remedy="""
            Operator: if the client is new, load the directory and replay the halt. Producer: if the
            client_id is wrong, correct it and send the report under a new id.
        """,
    ),
    Explanation(
        Reason.COMPONENT_NOT_FOUND,
        meaning="""
            The component that the report or the change set names is not in the directory.
        """,
        policy="""
            Policy, SOP 1, Steps: "Verify the reporter user is active; as well, client and component
            exist."
        """,
        remedy="""
            Operator: if the component is new, load the directory and replay the halt. Producer: if
            the component_id is wrong, correct it and send the request under a new id.
        """,
    ),
    Explanation(
        Reason.SEVERITY_NOT_DETERMINED,
        meaning="""
            The severity of the report cannot be told: it gives neither severity_flags nor a
            severity, or it gives only a severity and the registry requires flags of its source. An
            empty severity_flags object is no flags.
        """,
        policy="""
            Policy, SOP 1, Halt conditions: "severity not determined". Design, section 6, Severity:
            "With only a stated severity, that one stands, marked as stated, unless the registry
            requires flags of this source."
        """,
        remedy="""
            Producer: evaluate the nine conditions, say in severity_flags which apply (at least one
            flag, true or false), and send the report under a new id. Operator: if a stated severity
            is good enough from this source, say so in the producer registry and replay the halt.
        """,
    ),
    Explanation(
        Reason.INCIDENT_NOT_FOUND,
        meaning="""
            The incident that the request is about cannot be found: no incident has this
            incident_id, an escalation or a communication names an incident_dedup_key under which
            nothing was opened, or the report that incident_request points to was halted or did not
            arrive in time. A later change of an escalation or a communication halts so too when its
            escalation_id or communication_id does not exist: it names no escalation or
            communication, and so no incident.
        """,
        policy="""
            Policy, SOP 2, SOP 3 and Recording Communications, Halt conditions: "Incident not
            found".
        """,
        remedy="""
            Operator: if the report behind incident_request was halted, replay that halt first, then
            this one. Producer: if the id is wrong, correct it and send the request under a new id.
        """,
    ),
    Explanation(
        Reason.INCIDENT_CLOSED,
        meaning="""
            The incident is closed, and a closed incident takes no more updates. Escalations and
            communications are still taken.
        """,
        policy="""
            Design, section 6, Status: "Closed is final: an update of a closed incident is
            incident_closed (escalations and communications are still taken)."
        """,
        remedy="""
            Producer: if the problem is back, report it as a new incident; under the same dedup_key
            it will refer to the closed one. Operator: discard the halt; replaying cannot help.
        """,
    ),
    Explanation(
        Reason.INVALID_STATUS,
        meaning="""
            The status that is asked for cannot follow the present one. An incident goes forward
            from open through investigating, in_progress and resolved to closed, and may leave steps
            out; from in_progress it may go back to investigating, and from resolved to
            investigating or in_progress. It may not be reopened while a newer incident is open
            under its dedup_key. An escalation goes from active to resolved or cancelled and then
            stays. A communication that was delivered stays so, and one that was sent is not pending
            again unless it failed.
        """,
        policy="""
            Policy, SOP 2, Halt conditions: "invalid status". Design, section 6, Status: "Any
            forward move along open, investigating, in_progress, resolved, closed; resolved may be
            reopened to investigating or in_progress; from in_progress back to investigating."
        """,
        remedy="""
            Producer: the halt says which status it is and which may follow; send the change that is
            meant under a new id. Operator: if the request was merely early and the status has moved
            on since, replay the halt; otherwise discard it.
        """,
    ),
    Explanation(
        Reason.VERSION_CONFLICT,
        meaning="""
            The update expected another version of the incident than the stored one: somebody
            changed the incident after the producer had read it. Nothing was changed.
        """,
        policy="""
            Design, section 6, Order: "expected_version is checked against the stored version and
            exempts from superseding."
        """,
        remedy="""
            Producer: read the incident again, decide whether the change is still wanted, and send
            it under a new id with the new version, or without expected_version if it is to hold in
            any case. Operator: discard the halt; replaying cannot help.
        """,
    ),
    Explanation(
        Reason.ASSIGNEE_INVALID,
        meaning="""
            The user to whom the incident is to be assigned does not exist, is not active, is a
            client contact who is not linked to the incident's client, or belongs to a vendor that
            does not support the component's product.
        """,
        policy="""
            Design, section 6: "An assignee must exist and be active (assignee_invalid)"; "Whom
            a request names as recipient, assignee or escalation target is bound likewise, so that
            nothing leaks: a client contact to the incident's client, whoever has a vendor_id, and
            a vendor contact, to the vendor that supports the component's product."
        """,
        remedy="""
            Producer: name another assignee, or none, and send the request under a new id. Operator:
            if the directory is behind, load it and replay the halt.
        """,
    ),
    Explanation(
        Reason.TARGET_USER_INVALID,
        meaning="""
            The user to whom the incident is to be escalated does not exist, is not active, or does
            not have the role of the level: technical is for technical_support, management for
            incident_manager or account_manager, executive for executive, and vendor for
            vendor_contact. Or they belong to a vendor that does not support the component's
            product.
        """,
        policy="""
            Policy, SOP 3, Steps: "Confirm the target user exists with a valid escalation role."
            Design, section 6, Escalation target: "Active, and of the level's role". Policy,
            Authority and Access Controls: "Vendor association: user must be linked to the relevant
            vendor_id".
        """,
        remedy="""
            Producer: name an active user whose role fits the level, or choose the level that fits
            the user, and send the request under a new id: the incident is not escalated until then.
            Operator: if the directory is behind, load it and replay the halt.
        """,
    ),
    Explanation(
        Reason.SENDER_INVALID,
        meaning="""
            The sender of the communication does not exist or is not active. The sender is the user
            on whose authority a communication is recorded.
        """,
        policy="""
            Policy, Recording Communications, Steps: "Verify both incident and sender user exists."
            Halt conditions: "invalid sender/recipient".
        """,
        remedy="""
            Producer: name an active user as sender_id and send the request under a new id.
            Operator: if the directory is behind, load it and replay the halt.
        """,
    ),
    Explanation(
        Reason.RECIPIENT_INVALID,
        meaning="""
            The recipient of the communication does not exist, is a client contact who is not linked
            to the incident's client, or belongs to a vendor that does not support the component's
            product. A recipient need not be active.
        """,
        policy="""
            Policy, Recording Communications, Steps: "Confirm recipient exists or recipient_type is
            valid." Design, section 6, Association: "Whom a request names as recipient, assignee or
            escalation target is bound likewise, so that nothing leaks: a client contact to the
            incident's client, whoever has a vendor_id, and a vendor contact, to the vendor that
            supports the component's product."
        """,
        remedy="""
            Producer: correct recipient_id, or give a recipient_type in its place, and send the
            request under a new id. If the communication has already gone to another client's
            contact, or another vendor's, tell the incident manager: that is a leak, and not
            recording it does not undo it. Operator: if the directory is behind, load it and replay
            the halt.
        """,
    ),
    Explanation(
        Reason.CREATION_FAILED,
        meaning="""
            The request passed every check, and the database refused the incident or the
            communication it was to create. Nothing of it was written, and the other requests of its
            batch were not touched.
        """,
        policy="""
            Policy, SOP 1 and Recording Communications, Halt conditions: "creation failed". Design,
            section 2: "the batch is bisected until the one request is alone, and it is halted as
            the policy names it".
        """,
        remedy="""
            Operator: read the halt's message and the worker's log, mend what the database objected
            to, and replay the halt. Data that passes the checks and is then refused points to a gap
            in the checks: please report it. Producer: wait for the replay; the same request under a
            new id could be carried out twice.
        """,
    ),
    Explanation(
        Reason.UPDATE_FAILED,
        meaning="""
            The request passed every check, and the database refused the change to the incident. The
            incident is as it was, and the other requests of its batch were not touched.
        """,
        policy="""
            Policy, SOP 2, Halt conditions: "update failed". Design, section 2: "the batch is
            bisected until the one request is alone, and it is halted as the policy names it".
        """,
        remedy="""
            Operator: read the halt's message and the worker's log, mend what the database objected
            to, and replay the halt. Data that passes the checks and is then refused points to a gap
            in the checks: please report it. Producer: wait for the replay; the same request under a
            new id could be carried out twice.
        """,
    ),
    Explanation(
        Reason.ESCALATION_FAILED,
        meaning="""
            The request passed every check, and the database refused the escalation. The incident
            has not been escalated, and the other requests of its batch were not touched.
        """,
        policy="""
            Policy, SOP 3, Halt conditions: "escalation failed". Design, section 2: "the batch is
            bisected until the one request is alone, and it is halted as the policy names it".
        """,
        remedy="""
            Operator: tell the person it was to reach, by other means if it is urgent; then read the
            halt's message and the worker's log, mend what the database objected to, and replay the
            halt. Producer: wait for the replay; the same request under a new id could be carried
            out twice.
        """,
    ),
    Explanation(
        Reason.SOURCE_NOT_ALLOWED,
        meaning="""
            The source is genuine, but the producer registry does not let it ask for this procedure
            or act for this user.
        """,
        policy="""
            Design, section 5: "what the registry does not let a source ask, or act for, is
            source_not_allowed".
        """,
        remedy="""
            Operator: compare the request with `andon producers list`. If the source should have
            this right, grant it in the registry and replay the halt; if not, find out why it asked.
            Producer: ask the operator for the right, or let another source make the request.
        """,
    ),
    Explanation(
        Reason.EXPIRED,
        meaning="""
            The event's time lies before what the ledger has forgotten, so that it can no longer be
            told whether the request was carried out before. It was not carried out now.
        """,
        policy="""
            Design, section 5: "The ledger keeps identities for ever unless a retention is set; …
            an unknown event whose time is older, or that has none, halts as expired."
        """,
        remedy="""
            Producer: find out whether the request took effect at the time. If it did not and is
            still wanted, send it under a new id with the present time. Operator: discard the halt;
            if requests often arrive so late, set a longer retention.
        """,
    ),
    Explanation(
        Reason.WORKER_LOST,
        meaning="""
            Three times a worker process began with this request alone and did not live to finish
            it, so it was set aside without being run again. Nothing of it was written: a
            transaction that does not end leaves nothing behind.
        """,
        policy="""
            Design, section 2: "Runs that began with it alone are counted in PostgreSQL before they
            begin, and after the third of those that did not end it is halted as worker_lost,
            unrun."
        """,
        remedy="""
            Operator: look in the worker's and the system's logs for what ended the process, memory
            running out first of all; once that is mended, replay the halt. If it happens again, the
            request itself brings the worker down: please report it. Producer: wait for the replay;
            the same request under a new id could be carried out twice.
        """,
    ),
    Explanation(
        Reason.INTERNAL_ERROR,
        meaning="""
            A fault in Andon itself, not in the request: an exception was raised where none should
            be. Nothing of the request was written; the halt holds the exception's type and place.
        """,
        policy="""
            Design, section 2: "the batch is bisected, and the one request is halted as
            internal_error with the exception's type and place; the rest go on."
        """,
        remedy="""
            Operator: report the fault with what `andon halts show` says, and replay the halt when a
            version that mends it is running. Producer: wait for the replay; the same request under
            a new id could be carried out twice.
        """,
    ),
)

EXPLANATIONS: Mapping[Reason, Explanation] = {
    written.reason: Explanation(
        written.reason,
        *(" ".join(text.split()) for text in (written.meaning, written.policy, written.remedy)),
    )
    for written in _AS_WRITTEN
}
"""The explanation of every reason code, each text unwrapped into one line."""
