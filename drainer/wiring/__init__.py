"""
The controllers that few invocations need, on their gateways: imported when they are first asked.
"""
