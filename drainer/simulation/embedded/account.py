"""
The embedded account: ministack and the simulation joined on loopback, in one compressed time.

ministack is CloudFormation, SNS, SQS, Lambda, DynamoDB, EventBridge, IAM, S3 and CloudWatch Logs,
and runs the very zip; the simulation is Auto Scaling, ECS, Spot Fleets and load balancer targets.
It ends with its `with` block, and with the process.
"""

from __future__ import annotations

import json
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Self, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from drainer.simulation.aws import Aws
from drainer.simulation.embedded.compressed_time import EmbeddedTime
from drainer.simulation.embedded.deployment import Deployment
from drainer.simulation.embedded.gateway import Gateway
from drainer.simulation.protocol.server import Server
from drainer.simulation.records import ApiError

Entered = TypeVar("Entered")

if TYPE_CHECKING:
    from collections.abc import Iterator
    from threading import RLock

    from drainer.simulation.records import Notification

# A drain with AWS's default deregistration delay takes six and a half minutes; at twelve times the
# speed that is half a minute, and the function still gets real milliseconds for each call.
FACTOR_DEFAULT = 12.0
REGION = "us-east-1"
ACCOUNT_ID = "123456789012"
# Services that the simulation serves, by the name boto3 has for the client; the value is the name
# in AWS_ENDPOINT_URL_<SERVICE>. Of EC2 it knows Spot Fleets alone: networks and launch templates
# are ministack's, whose CloudFormation makes them without a client.
# https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html
SIMULATED = {
    "autoscaling": "AUTO_SCALING",
    "ec2": "EC2",
    "ecs": "ECS",
    "elbv2": "ELASTIC_LOAD_BALANCING_V2",
}
# The image's public parameter is not in the embedded account, whose names under /aws/ are reserved
# as AWS's are; ministack checks a value against the pattern of the name, so it looks like one.
IMAGE_PARAMETER = "/embedded/image-id"
IMAGE_VALUE = "/embedded/image"
CALL_SECONDS_MAX = 60


class EmbeddedAccount:
    """
    An AWS account in this process and one child, as a context manager.

    Args:
        factor: how many of the account's seconds pass in a real one.
        seed: for the simulation's identifiers.

    """

    def __init__(self, *, factor: float = FACTOR_DEFAULT, seed: int = 0) -> None:
        self.factor = factor
        self._seed = seed
        self._stack = ExitStack()
        self._clients: dict[str, Any] = {}

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.time = EmbeddedTime(self.factor)
            self.account = Aws(
                now=self.time.now(), region=REGION, account_id=ACCOUNT_ID, seed=self._seed
            )
            self._server = stack.enter_context(Server(self.account, now=self.time.now))
            self._gateway = stack.enter_context(
                Gateway(
                    self.time,
                    account_id=ACCOUNT_ID,
                    region=REGION,
                    endpoints={
                        f"AWS_ENDPOINT_URL_{name}": self._server.url for name in SIMULATED.values()
                    },
                )
            )
            with self.lock:
                self.account.on_notification.append(self.publish)
            self.client("ssm").put_parameter(Name=IMAGE_PARAMETER, Value=IMAGE_VALUE, Type="String")
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def enter(self, context: AbstractContextManager[Entered]) -> Entered:
        """Enter a context that ends with the account."""
        return self._stack.enter_context(context)

    @property
    def lock(self) -> RLock:
        """Hold it while you change the simulated account directly."""
        return self._server.lock

    @contextmanager
    def catching_up(self) -> Iterator[Aws]:
        """Give the simulated account, as of now, to a caller that builds in it or moves it."""
        with self.lock:
            self._server.catch_up()
            yield self.account
            self._server.catch_up()

    @property
    def failures(self) -> list[BaseException]:
        """Mistakes of the simulation; there should be none."""
        return self._server.failures

    def client(self, service: str) -> Any:
        """Return a boto3 client of this account."""
        if service not in self._clients:
            url = self._server.url if service in SIMULATED else self._gateway.url
            self._clients[service] = self._make_client(service, url)
        return self._clients[service]

    def emulated(self, service: str) -> Any:
        """Return a client of what ministack has of a service that the simulation serves."""
        return self._make_client(service, self._gateway.url)

    def deployment(self) -> Deployment:
        """Return what deploys templates here."""
        return Deployment(self.client, region=REGION, account_id=ACCOUNT_ID)

    def _make_client(self, service: str, url: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=url,
            region_name=REGION,
            aws_access_key_id="embedded",
            aws_secret_access_key="embedded",  # noqa: S106 - there is nothing behind it
            config=Config(
                connect_timeout=CALL_SECONDS_MAX,
                read_timeout=CALL_SECONDS_MAX,
                retries={"total_max_attempts": 1},
            ),
        )

    def log_tail(self) -> str:
        """Return the last of ministack's log."""
        return self._gateway.log_tail()

    def publish(self, notification: Notification) -> None:
        """
        Publish a lifecycle notification to its topic.

        A refusal reaches the simulation, where it has the consequence that it has on AWS.
        """
        try:
            with self.time.held():
                self.client("sns").publish(
                    TopicArn=notification.target_arn,
                    Subject=notification.subject,
                    Message=json.dumps(notification.message),
                )
        except (ClientError, BotoCoreError) as error:
            raise ApiError("ValidationError", f"Unable to publish: {error}") from error
