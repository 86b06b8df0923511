"""Requests to the application itself, by the name that the tests of this folder have for them."""

from mica.testing.line_requests import Reply as Reply
from mica.testing.line_requests import send as send
