"""What stands in the queues of RabbitMQ, for `andon status`.

AMQP tells how many messages of a queue nobody has in hand. It tells neither how many were ever
accepted nor how many are in hand, so no sum can be drawn up here.
"""

from dataclasses import dataclass, field
from pathlib import Path

from amqp import Connection

from models.rabbitmq import connect_rabbitmq, intake_queues, open_channel, undelivered
from models.streams import Lane, StreamNames
from worker.broker_warnings import BrokerWarning
from worker.intake_status import BrokerStatus, ConsumerStatus, IntakeStatus, LaneStatus


@dataclass(slots=True)
class RabbitGauge:
    """Implements ``worker.intake_status.Gauge``."""

    url: str
    names: StreamNames
    ca: Path | None = None
    _connection: Connection | None = field(default=None, init=False)

    def read_intake(self) -> IntakeStatus:
        """The depth of each lane; dead letters count as urgent, and what is set aside as bulk."""
        if self._connection is None:
            self._connection = connect_rabbitmq(self.url, ca=self.ca)
        channel = open_channel(self._connection)
        depths = {queue: undelivered(channel, queue) for queue in intake_queues(self.names)}
        outcomes, halts = (
            undelivered(channel, stream) for stream in (self.names.outcomes, self.names.halts)
        )
        depths[self.names.intake(Lane.BULK)] += undelivered(channel, self.names.set_aside)
        channel.close()
        depths[self.names.intake()] += depths[self.names.dead_letters]
        return IntakeStatus(
            lanes={
                lane: LaneStatus(None, depths[self.names.intake(lane)], pending=None, orphans=0)
                for lane in Lane
            },
            outcomes=outcomes,
            halts=halts,
        )

    def read_consumers(self) -> list[ConsumerStatus]:
        """None: a process consumes only while it drains, and AMQP does not name it."""
        return []

    def read_warnings(self) -> list[BrokerWarning]:
        """None: what the queues promise is declared with them."""
        return []

    def read_broker(self) -> BrokerStatus:
        """Nothing: AMQP tells of no age and no alarm, and who looks at a message takes it."""
        return BrokerStatus(oldest_seconds=dict.fromkeys(Lane))

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.collect()
