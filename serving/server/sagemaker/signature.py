"""Signatures of AWS (version 4): who signed a request, with a key of a configured caller.

The access key id is the name of the caller, the secret access key one of its keys. The whole request is signed: method,
path, query, every `x-amz-` header, the host, and the body, whose digest is always computed here.
"""

from __future__ import annotations

import hashlib
import hmac
import posixpath
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, unquote_to_bytes

from serving.server.access import ANYBODY, Caller
from serving.server.credentials import Credentials
from serving.server.messages import Request
from serving.server.problems import Problem
from serving.server.sagemaker.errors import SIGNATURE, failure

ALGORITHM = "AWS4-HMAC-SHA256"
SERVICE = "sagemaker"
SKEW = timedelta(minutes=5)
_ENDING = "aws4_request"
_PART = re.compile(r"\s*(Credential|SignedHeaders|Signature)=([^,\s]+)\s*")
_STAMP = re.compile(r"[0-9]{8}T[0-9]{6}Z")
_BLANKS = re.compile(r" +")
_NO_KEY = "no key, for nobody that is known"


@dataclass(frozen=True)
class Authorization:
    """What the header Authorization of a signed request says.

    Attributes:
        key_id: access key id.
        scope: date, region and service of the key that was derived, and the ending.
        headers: names of the signed headers, in small letters.
        signature: in hexadecimal.
    """

    key_id: str
    scope: tuple[str, str, str, str]
    headers: tuple[str, ...]
    signature: str

    @staticmethod
    def parse(text: str) -> Authorization:
        """Authorization of the header's text.

        Raises:
            Problem: it is none.
        """
        parts: dict[str, str] = {}
        for part in text.removeprefix(ALGORITHM).split(","):
            match = _PART.fullmatch(part)
            if match is None or match[1] in parts:
                raise _refused("the header Authorization is not of the form that version 4 has")
            parts[match[1]] = match[2]
        key_id, *scope = parts.get("Credential", "").rsplit("/", 4)
        if len(parts) != 3 or len(scope) != 4:
            raise _refused("the header Authorization needs Credential, SignedHeaders and Signature")
        named = parts["SignedHeaders"].lower().split(";")
        return Authorization(key_id, (scope[0], scope[1], scope[2], scope[3]), tuple(named), parts["Signature"])


class Signatures:
    """Finds out who signed requests; those with a key of ours in the native way are known too.

    Args:
        credentials: the configured ones.
        guarded: whether credentials are asked for; if not, whoever asks is anybody.
        now: the time.
    """

    def __init__(
        self,
        credentials: Credentials,
        guarded: bool,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._credentials, self._guarded, self._now = credentials, guarded, now

    def caller(self, request: Request) -> Caller:
        """Who sent a request.

        Raises:
            Problem: nobody that is known, or the signature does not hold.
        """
        if not self._guarded:
            return ANYBODY
        given = request.headers.get("authorization", "")
        if not given.startswith(ALGORITHM):
            found = self._credentials.caller(request)
            if found is None:
                raise failure("MissingAuthenticationTokenException", 403, "Missing Authentication Token")
            return found
        authorization = Authorization.parse(given)
        self._check(authorization, request)
        known = self._credentials.keys.named(authorization.key_id)
        caller, keys = known if known is not None else (None, (_NO_KEY,))
        signed = [hmac.compare_digest(signature(request, authorization, key), _hex(authorization)) for key in keys]
        if caller is None or not any(signed):
            raise _refused(
                "The request signature we calculated does not match the signature you provided. The access key id is "
                "the name of a caller in [server.callers], the secret access key its key"
            )
        return caller

    def _check(self, authorization: Authorization, request: Request) -> None:
        """Refuses what could be replayed later, elsewhere, or with something else."""
        date, _, service, ending = authorization.scope
        if service != SERVICE or ending != _ENDING:
            raise _refused(
                f"Credential should be scoped to service {SERVICE!r}, the one of AWS that is here, and end in "
                f"{_ENDING!r}; it is scoped to {service[:40]!r}"
            )
        headers = request.headers
        moment = _moment(headers.get("x-amz-date", ""))
        if date != f"{moment:%Y%m%d}":
            raise _refused("the date of Credential is not that of the header X-Amz-Date")
        if abs(self._now() - moment) > SKEW:
            raise _refused(f"Signature expired: {headers['x-amz-date']} is more than 5 minutes from the server's time")
        unsigned = {name for name in headers if name.startswith("x-amz-")} | {"host"}
        unsigned -= set(authorization.headers)
        if unsigned:
            raise _refused(f"headers that must be signed are not: {', '.join(sorted(unsigned))}")
        if not all(name in headers for name in authorization.headers):
            raise _refused("a header that was signed did not come")
        told = headers.get("x-amz-content-sha256")
        if told is not None and told != hashlib.sha256(request.body).hexdigest():
            raise _refused("the header X-Amz-Content-SHA256 is not the digest of the body")


def signature(request: Request, authorization: Authorization, key: str) -> bytes:
    """Signature of a request by a key, in hexadecimal."""
    lines = [ALGORITHM, request.headers.get("x-amz-date", ""), "/".join(authorization.scope)]
    lines.append(hashlib.sha256(canonical(request, authorization.headers)).hexdigest())
    derived = f"AWS4{key}".encode("utf-8", "surrogateescape")
    for part in authorization.scope:
        derived = hmac.digest(derived, part.encode(), "sha256")
    return hmac.digest(derived, "\n".join(lines).encode(), "sha256").hex().encode()


def canonical(request: Request, headers: tuple[str, ...]) -> bytes:
    """The request in the one form that is signed."""
    named = [f"{name}:{_BLANKS.sub(' ', request.headers.get(name, '').strip())}\n" for name in headers]
    lines = [
        request.method,
        quote(_path(request.path), safe="/~"),
        _query(request.target.partition("?")[2]),
        "".join(named),
        ";".join(headers),
        hashlib.sha256(request.body).hexdigest(),
    ]
    return "\n".join(lines).encode("latin-1")


def _path(path: str) -> str:
    """A path without dots and doubled slashes; one that ends in a slash still does."""
    plain = posixpath.normpath(path).replace("//", "/")
    return plain + "/" if path.endswith("/") and plain != "/" else plain


def _query(query: str) -> str:
    pairs = [pair.partition("=") for pair in query.split("&") if pair]
    return "&".join(sorted(f"{_encoded(name)}={_encoded(value)}" for name, _, value in pairs))


def _encoded(text: str) -> str:
    return quote(unquote_to_bytes(text), safe="-_.~")


def _hex(authorization: Authorization) -> bytes:
    return authorization.signature.encode("latin-1", "replace")


def _moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text if _STAMP.fullmatch(text) else "")
    except ValueError:
        raise _refused("the header X-Amz-Date is missing, or is not as in 20261201T120000Z") from None


def _refused(message: str) -> Problem:
    return failure(SIGNATURE, 403, message)
