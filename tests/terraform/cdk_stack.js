// Synthesizes a stack around the code of docs/cdk.md, which comes in by the environment, and prints
// the template.
const { App, Duration, Fn, Stack } = require('aws-cdk-lib');
const autoscaling = require('aws-cdk-lib/aws-autoscaling');
const hooks = require('aws-cdk-lib/aws-autoscaling-hooktargets');
const ec2 = require('aws-cdk-lib/aws-ec2');
const ecs = require('aws-cdk-lib/aws-ecs');
const sns = require('aws-cdk-lib/aws-sns');

class Shop extends Stack {
  constructor(app) {
    super(app, 'shop');
    const vpc = new ec2.Vpc(this, 'Vpc', { maxAzs: 2, natGateways: 0 });
    const cluster = new ecs.Cluster(this, 'Cluster', { vpc });
    const group = new autoscaling.AutoScalingGroup(this, 'Group', {
      vpc,
      vpcSubnets: { subnetType: ec2.SubnetType.PUBLIC },
      instanceType: new ec2.InstanceType('t3.small'),
      machineImage: ecs.EcsOptimizedImage.amazonLinux2023(),
    });
    const names = { autoscaling, cluster, Duration, Fn, group, hooks, sns };
    new Function(...Object.keys(names), process.env.DOCUMENTED).apply(this, Object.values(names));
  }
}

const app = new App({ analyticsReporting: false });
const shop = new Shop(app);
process.stdout.write(JSON.stringify(app.synth().getStackByName(shop.stackName).template));
