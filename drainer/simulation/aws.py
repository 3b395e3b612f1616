"""
An account with its services: the one place where they are made and come to know each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from drainer.simulation.account import Account
from drainer.simulation.protocol.client import InProcessClient
from drainer.simulation.services.auto_scaling.api import AutoScalingApi
from drainer.simulation.services.auto_scaling.groups import AutoScaling
from drainer.simulation.services.cloudformation.stacks import CloudFormationApi, Stacks
from drainer.simulation.services.dynamodb.former_table import FormerTables
from drainer.simulation.services.dynamodb.record_table import DynamoDbItemsApi, RecordTables
from drainer.simulation.services.ec2.api import Ec2Api
from drainer.simulation.services.ec2.spot import Spot
from drainer.simulation.services.ec2.spot_fleet import SpotFleets
from drainer.simulation.services.ecs.api import EcsApi
from drainer.simulation.services.ecs.clusters import Ecs
from drainer.simulation.services.elb.api import LoadBalancingApi
from drainer.simulation.services.elb.target_groups import LoadBalancing

if TYPE_CHECKING:
    from datetime import datetime


class Aws(Account):
    """One AWS account in one Region, in virtual time, with everything that the drainer calls."""

    def __init__(
        self,
        *,
        now: datetime,
        region: str = "us-east-1",
        account_id: str = "123456789012",
        seed: int = 0,
    ) -> None:
        super().__init__(now=now, region=region, account_id=account_id, seed=seed)
        self.load_balancing = LoadBalancing(self)
        self.ecs = Ecs(self, self.load_balancing)
        self.auto_scaling = AutoScaling(self, self.ecs)
        self.fleets = SpotFleets(self, self.ecs)
        launchers = (self.auto_scaling, self.fleets)
        self.spot = Spot(self, self.ecs, [one.handle_loss for one in launchers])
        self.tables = FormerTables(self)
        self.record_tables = RecordTables(self)
        self.stacks = Stacks(self)
        self.apis |= {
            "autoscaling": AutoScalingApi(self, self.auto_scaling),
            "cloudformation": CloudFormationApi(self.stacks),
            "dynamodb": DynamoDbItemsApi(self, self.tables, self.record_tables),
            "ec2": Ec2Api(self.fleets),
            "ecs": EcsApi(self, self.ecs),
            "elbv2": LoadBalancingApi(self.load_balancing),
        }

    def client(self, service: str) -> InProcessClient:
        """Make a look-alike of `boto3.client(service)` that calls this account."""
        return InProcessClient(service, self.call, self.region)
