"""The Terraform modules, written from the CloudFormation templates."""
