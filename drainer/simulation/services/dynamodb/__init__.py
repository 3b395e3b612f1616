"""DynamoDB: the tables of the drainer, and the expressions that it uses."""
