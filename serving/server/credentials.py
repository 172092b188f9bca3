"""Credentials: keys and bearer tokens, and who shows them; compared in constant time, never shown or logged."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from schemas.errors import SettingsError
from serving.server.access import Caller, Grant
from serving.server.configuration import ServerConfiguration, Tokens
from serving.server.messages import Request

TOKEN_SECRET = "jwt"
LEAST_KEY = 16
_MOST_KNOWN = 1_024
_LEEWAY = 10


class Keys:
    """Keys of the configured callers.

    Args:
        project: name of the project.
        grants: of the callers, by name.
        secrets: their keys, one a line, by name.

    Raises:
        SettingsError: a caller has no key, or one that is too short.
    """

    def __init__(self, project: str, grants: Mapping[str, tuple[Grant, ...]], secrets: Mapping[str, str]) -> None:
        self._known: list[tuple[bytes, Caller]] = []
        self._callers: dict[str, tuple[Caller, tuple[str, ...]]] = {}
        for name, given in grants.items():
            keys = [line.strip() for line in secrets.get(name, "").splitlines() if line.strip()]
            if not keys:
                raise SettingsError(
                    f'server.callers.{name}: has no key: legal is [server.secrets] {name}_env = "NAME OF A VARIABLE" '
                    f'or {name}_file = "PATH"'
                )
            if any(len(key) < LEAST_KEY for key in keys):
                raise SettingsError(f"server.callers.{name}: a key has less than {LEAST_KEY} characters")
            caller = Caller(name, [grant for grant in given if grant.project in ("*", project)])
            self._callers[name] = caller, tuple(keys)
            self._known += [(_digest(key), caller) for key in keys]

    def caller(self, key: str) -> Caller | None:
        """Who has a key; it takes as long whoever that is."""
        digest, found = _digest(key), None
        for known, caller in self._known:
            if hmac.compare_digest(known, digest):
                found = caller
        return found

    def named(self, name: str) -> tuple[Caller, tuple[str, ...]] | None:
        """Caller of a name and its keys, for protocols that sign with them."""
        return self._callers.get(name)


class TokenKeys:
    """Bearer tokens (JWT), verified, and remembered until they expire.

    Args:
        project: name of the project.
        tokens: which are taken.
        secret: that they are signed with, or None for the public keys of a file.

    Raises:
        SettingsError: there are no keys, or they are not legal; or PyJWT is not installed.
    """

    def __init__(self, project: str, tokens: Tokens, secret: str | None) -> None:
        try:
            import jwt  # noqa: PLC0415
        except ModuleNotFoundError as error:
            raise SettingsError(
                f"server.tokens: the package {error.name!r} is missing: pip install 'twinbeam[tokens]'"
            ) from error
        self._project, self._tokens, self._jwt = project, tokens, jwt
        self._key_of = _verifier(jwt, tokens, secret)
        self._known: dict[bytes, tuple[float, Caller]] = {}

    def caller(self, token: str) -> Caller | None:
        """Whom a token names; None if it is not valid."""
        digest = _digest(token)
        known = self._known.get(digest)
        if known is not None:
            if known[0] > time.time():
                return known[1]
            del self._known[digest]
        tokens = self._tokens
        try:
            claims = self._jwt.decode(
                token,
                self._key_of(token),
                algorithms=list(tokens.algorithms),
                audience=tokens.audience,
                issuer=tokens.issuer,
                leeway=_LEEWAY,
                options={"require": ["exp"], "verify_aud": tokens.audience is not None},
            )
        except (self._jwt.PyJWTError, ValueError, TypeError, KeyError):
            return None
        caller = Caller(str(claims.get("sub", "token"))[:128], self._grants(claims.get(tokens.claim)))
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known[digest] = float(claims["exp"]), caller
        return caller

    def _grants(self, claim: Any) -> list[Grant]:
        """Grants that a claim holds for this project; what is no grant is none."""
        texts = claim.split() if isinstance(claim, str) else claim if isinstance(claim, list) else []
        found = []
        for text in texts:
            try:
                grant = Grant.parse(text)
            except (ValueError, TypeError):
                continue
            if grant.project in ("*", self._project):
                found.append(grant)
        return found


class Credentials:
    """Finds out who sends requests: `Authorization: Bearer KEY-OR-TOKEN`, or `X-API-Key: KEY`.

    Args:
        project: name of the project.
        configuration: of the server.

    Raises:
        SettingsError: credentials are configured that cannot be.
    """

    def __init__(self, project: str, configuration: ServerConfiguration) -> None:
        secrets = configuration.secrets
        for name in secrets:
            if name not in configuration.callers and not (name == TOKEN_SECRET and configuration.tokens is not None):
                raise SettingsError(f"server.secrets.{name}: there is no caller of that name in [server.callers]")
        self.keys = Keys(project, configuration.callers, secrets)
        tokens = configuration.tokens
        self._tokens = None if tokens is None else TokenKeys(project, tokens, secrets.get(TOKEN_SECRET))

    def caller(self, request: Request) -> Caller | None:
        """Who sent a request; None if nobody that is known."""
        given = request.headers.get("x-api-key")
        if given is None:
            kind, _, given = request.headers.get("authorization", "").partition(" ")
            if kind.lower() != "bearer":
                return None
        given = given.strip()
        if self._tokens is not None and given.count(".") == 2:
            found = self._tokens.caller(given)
            if found is not None:
                return found
        return self.keys.caller(given)


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()


def _verifier(jwt: Any, tokens: Tokens, secret: str | None) -> Callable[[str], Any]:
    """What finds the key that verifies a token."""
    symmetric = [name for name in tokens.algorithms if name.startswith("HS")]
    if (tokens.keys is None) == (secret is None) or (len(symmetric) not in (0, len(tokens.algorithms))):
        raise SettingsError(
            "server.tokens: legal is a secret ([server.secrets] jwt_env or jwt_file) with HS algorithms, or keys (a "
            "file of public keys) with others; not both"
        )
    if bool(symmetric) != (secret is not None):
        raise SettingsError("server.tokens.algorithms: HS algorithms go with a secret, the others with public keys")
    if secret is not None:
        if len(secret) < 2 * LEAST_KEY:
            raise SettingsError(f"server.secrets.jwt: has less than {2 * LEAST_KEY} characters")
        return lambda token: secret
    assert tokens.keys is not None
    try:
        text = tokens.keys.read_text(encoding="utf-8")
        if text.lstrip().startswith("{"):
            found = jwt.PyJWKSet.from_dict(json.loads(text))
            by_id = {key.key_id: key.key for key in found.keys}
            return lambda token: by_id[jwt.get_unverified_header(token).get("kid")]
    except (OSError, ValueError, jwt.PyJWTError) as error:
        raise SettingsError(f"server.tokens.keys: {tokens.keys} cannot be used: {error}") from None
    return lambda token: text
