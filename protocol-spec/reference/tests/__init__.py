"""Tests of the reference client. A server made from the same pages answers on the loopback."""
