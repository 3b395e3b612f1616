"""
What a terminating hook gets: heartbeats, re-invocations, the answer, and the sweep.

A pass reads each drain's record, looks (`observer.py`), decides (`rules.py`), acts and publishes
(`acting.py`). What happens when things go wrong:

* A message is **lost**: the sweep finds the instance waiting; nothing is early.
* A message is **doubled**: the drain's record takes one write for each hop, and a pass publishes
  only after its write. A pass that finds the hop taken is a duplicate, so chains do not fork. If
  the record is silent, the chain is lost, and the duplicate takes its place.
* Everything is **silent**: the sweep resumes, every few minutes, what the records say is open and
  silent, and looks for instances that wait under a hook of ours and have no record.
* A message is **early** (for some minutes after its deployment, SNS may deliver without its filter
  policies, and so past the queue that delays): what it leads to is done, and it is not published
  again; its delayed twin is.
* A message is **late**: the look is what counts; the deadline is an instant, so lateness cannot
  extend it. An old notification of a finished drain finds nothing waiting and stops.
* The function **dies between two calls**: answers come first, then heartbeats (which prove that
  the action is a true one), DRAINING, the record, and last the re-invocation. Whatever was not
  reached is done by the retry of the message, which finds the record silent by then.
* A look **fails**: the phase is `unseen`, the hook gets its heartbeat, and the next pass looks
  again, until the deadline.
"""
