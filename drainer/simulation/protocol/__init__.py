"""The ways into the account: clients in process, and AWS's wire protocols over HTTP."""
