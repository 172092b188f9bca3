"""The thin client of a feature server: needs no more than the base install."""

from twinbeam.client.async_client import AsyncClient
from twinbeam.client.definitions import Definitions, FeatureEntry, Readiness
from twinbeam.client.errors import (
    BadRequest,
    ClientError,
    DeadlineExceeded,
    FingerprintMismatch,
    NotFound,
    NotServed,
    ProblemError,
    ServerFault,
    TooLarge,
    Unauthorized,
    Unavailable,
    Unconfirmed,
    UnfitEvents,
    Unreachable,
    WrongAnswer,
)
from twinbeam.client.feature_table import FeatureTable
from twinbeam.client.pushed import Pushed
from twinbeam.client.sync_client import Client

__all__ = [
    "AsyncClient",
    "BadRequest",
    "Client",
    "ClientError",
    "DeadlineExceeded",
    "Definitions",
    "FeatureEntry",
    "FeatureTable",
    "FingerprintMismatch",
    "NotFound",
    "NotServed",
    "ProblemError",
    "Pushed",
    "Readiness",
    "ServerFault",
    "TooLarge",
    "Unauthorized",
    "Unavailable",
    "Unconfirmed",
    "UnfitEvents",
    "Unreachable",
    "WrongAnswer",
]
