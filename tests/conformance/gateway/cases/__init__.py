"""The cases, a file for each kind of promise; importing this registers them, in this order."""

from tests.conformance.gateway.cases import (  # noqa: I001 - the order of the table
    fields as fields,
    replies as replies,
    streams as streams,
    many as many,
    leaving as leaving,
    errors as errors,
    endpoints as endpoints,
    operation as operation,
    hostile as hostile,
)
