"""Who may do what: keys, tokens, roles, and nothing learnt by those without rights."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from schemas.errors import SettingsError
from serving.server.access import ANYBODY, Caller, Grant
from serving.server.configuration import ServerConfiguration, Tokens
from serving.server.credentials import Credentials
from serving.server.messages import Request
from tests.served import Server, project, read, serving

pytestmark = pytest.mark.xdist_group("server")
KEYS = {name: secrets.token_urlsafe(24) for name in ("root", "scorer", "crm", "writer", "elsewhere", "next")}
SECRET = secrets.token_urlsafe(48)
SETTINGS = """\
[server.callers.root]
grants = ["admin"]
[server.callers.scorer]
grants = ["read:spending"]
[server.callers.crm]
grants = ["shop/read:person", "push:profiles"]
[server.callers.writer]
grants = ["push:spending"]
[server.callers.elsewhere]
grants = ["other/admin"]
[server.tokens]
algorithms = ["HS256"]
audience = "features"
issuer = "tests"
[server.secrets]
root_env = "ROOT_KEY"
scorer_env = "SCORER_KEY"
crm_file = "crm.keys"
writer_env = "WRITER_KEY"
elsewhere_env = "ELSEWHERE_KEY"
jwt_env = "TOKEN_SECRET"
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = project(tmp_path_factory.mktemp("guarded") / "shop")
    (folder / "crm.keys").write_text(f"{KEYS['crm']}\n{KEYS['next']}\n", encoding="utf-8")
    with (folder / "twinbeam.toml").open("a", encoding="utf-8") as file:
        file.write(SETTINGS)
    environment = {f"{name.upper()}_KEY": key for name, key in KEYS.items()} | {"TOKEN_SECRET": SECRET}
    with serving(folder, environment=environment) as server:
        yield server
        assert server.stop() == 0
        said = server.err() + server.out()
        assert "/v1/features" in said
        assert not [name for name, key in {**KEYS, "token": SECRET}.items() if key in said]


def client(server: Server, key: str | None) -> httpx.Client:
    headers = {} if key is None else {"authorization": f"Bearer {key}"}
    return httpx.Client(base_url=server.url, headers=headers, timeout=60)


def token(secret: str = SECRET, **claims: Any) -> str:
    usual = {"sub": "model", "exp": time.time() + 300, "aud": "features", "iss": "tests"}
    return jwt.encode({**usual, **claims}, secret, "HS256")


def test_strangers_learn_nothing(server: Server) -> None:
    paths = ["/v1/registry", "/v1/registry/features/person:score", "/metrics", "/openapi.json", "/docs", "/nope", "/v1"]
    for key in (
        None,
        "x" * 32,
        KEYS["root"][:-1],
        token(secrets.token_urlsafe(48)),
        token(exp=time.time() - 60),
        "a.b.c",
    ):
        with client(server, key) as stranger:
            answers = [stranger.get(path) for path in paths]
            answers += [stranger.post("/v1/features", content=body) for body in (b"{}", b'{"features": "person"}')]
            answers += [stranger.post(f"/v1/push/{source}", json={"events": []}) for source in ("profiles", "x")]
            told = {
                (answer.status_code, answer.headers["www-authenticate"], answer.text.partition(',"instance"')[0])
                for answer in answers
            }
            assert len(told) == 1
            assert next(iter(told))[0] == 401
            assert stranger.get("/healthz").text == "alive\n"
            assert stranger.get("/readyz").json() == {"status": "ready"}


def test_what_may_not_be_read_is_as_if_it_did_not_exist(server: Server) -> None:
    with client(server, KEYS["scorer"]) as scorer:
        assert read(scorer, "spending", {"user_id": [1]})["statuses"]["spending:count_24h"] == ["PRESENT"]
        legal: set[str] = set()
        for name in ("person", "both", "burden", "payer", "calm", "nothing"):
            for asked in (name, f"{name}:score", f"{name}:nothing", ["spending", f"{name}:score"]):
                found = read(scorer, asked, {"user_id": [1]}, 404)
                del found["instance"]
                legal.add(json.dumps(found).replace(repr(name), "NAME"))
        assert len(legal) == 1
        registry = scorer.get("/v1/registry").json()
        assert [view["name"] for view in registry["views"]] == ["spending"]
        assert [source["name"] for source in registry["sources"]] == ["purchases"]
        assert (registry["services"], registry["on_demand"], registry["aliases"]) == ([], [], [])
        shown = scorer.get("/v1/registry/features/spending:count_24h").json()
        assert shown["downstream"] == []
        hidden, unknown = (
            scorer.get(f"/v1/registry/features/{address}").json() for address in ("person:score", "person:scare")
        )
        assert hidden["detail"].replace("score", "scare") == unknown["detail"]
        assert scorer.get("/v1/registry/search?q=person").json()["features"] == []
        hidden, unknown = (
            scorer.post(f"/v1/push/{source}", json={"events": []}) for source in ("profiles", "profilez")
        )
        assert (hidden.status_code, unknown.status_code) == (404, 404)
        assert hidden.json()["detail"].replace("profiles", "profilez") == unknown.json()["detail"]
        assert scorer.get("/metrics").status_code == 404


def test_rights_by_view_and_source(server: Server) -> None:
    with client(server, KEYS["crm"]) as crm:
        assert read(crm, ["person:name", "payer:name", "burden"], {"user_id": [1], "payer_id": [2], "amount": [1.0]})
        read(crm, "both", {"user_id": [1]}, 404)
        assert crm.post("/v1/push/profiles", json={"events": []}).status_code == 202
        assert crm.post("/v1/push/purchases", json={"events": []}).status_code == 404
    with client(server, KEYS["next"]) as rotated:
        assert read(rotated, "person:name", {"user_id": [1]})
    with client(server, KEYS["writer"]) as writer:
        assert writer.post("/v1/push/purchases", json={"events": []}).status_code == 202
        assert writer.post("/v1/push/readings", json={"events": []}).status_code == 404
        read(writer, "spending", {"user_id": [1]}, 404)
    with client(server, KEYS["elsewhere"]) as elsewhere:
        read(elsewhere, "spending", {"user_id": [1]}, 404)
        assert elsewhere.get("/v1/registry").json()["views"] == []
    with client(server, KEYS["root"]) as root:
        assert read(root, "both", {"user_id": [1]})
        assert root.get("/metrics").status_code == 200
        assert root.get("/openapi.json").json()["security"] == [{"bearer": []}, {"key": []}]
    answer = httpx.get(f"{server.url}/v1/registry", headers={"x-api-key": KEYS["scorer"]})
    assert [view["name"] for view in answer.json()["views"]] == ["spending"]


def test_tokens(server: Server) -> None:
    grants: Mapping[str, Any] = {"a list": ["shop/read:spend*", "nonsense", 7], "a text": "read:spending other/admin"}
    for claim in grants.values():
        with client(server, token(twinbeam=claim)) as model:
            for _ in range(2):
                assert read(model, "spending:count_24h", {"user_id": [1]})
            read(model, "person", {"user_id": [1]}, 404)
    with client(server, token()) as nobody:
        assert nobody.get("/v1/registry").json()["views"] == []
    none = jwt.encode({"sub": "x", "exp": time.time() + 99, "aud": "features", "iss": "tests"}, "", "none")
    ends = token()[:-3] + "AAA"
    for wrong in (token(aud="others"), token(iss="others"), none, ends, jwt.encode({"sub": "x"}, SECRET, "HS256")):
        with client(server, wrong) as stranger:
            assert stranger.get("/v1/registry").status_code == 401


def test_a_token_is_forgotten_when_it_expires(server: Server) -> None:
    brief = token(exp=time.time() - 8.0, twinbeam="admin")
    with client(server, brief) as model:
        assert model.get("/v1/registry").status_code in (200, 401)
        time.sleep(3)
        assert model.get("/v1/registry").status_code == 401


def test_tokens_by_public_keys(tmp_path: Path) -> None:
    private, other = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    pem = private.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "key.pem").write_bytes(pem)
    algorithm = jwt.algorithms.ECAlgorithm(jwt.algorithms.ECAlgorithm.SHA256)
    key_set = {"keys": [{**json.loads(algorithm.to_jwk(private.public_key())), "kid": "one", "alg": "ES256"}]}
    (tmp_path / "keys.json").write_text(json.dumps(key_set), encoding="utf-8")
    claims = {"sub": "model", "exp": time.time() + 300, "twinbeam": "read:a"}
    for file in ("key.pem", "keys.json"):
        tokens = Tokens(tmp_path / file, None, None, ("ES256",), "twinbeam")
        credentials = Credentials("shop", ServerConfiguration(tokens=tokens))
        good = jwt.encode(claims, private, "ES256", {"kid": "one"})
        forged = jwt.encode(claims, other, "ES256", {"kid": "one"})
        strange = jwt.encode(claims, private, "ES256", {"kid": "two"})
        confused = jwt.encode(claims, "0" * 64, "HS256", {"kid": "one"})
        found = credentials.caller(bearer(good))
        assert found is not None
        assert (found.name, found.may("read", "a"), found.may("read", "b")) == ("model", True, False)
        assert credentials.caller(bearer(forged)) is None
        assert credentials.caller(bearer(confused)) is None
        assert (credentials.caller(bearer(strange)) is None) == (file == "keys.json")


def bearer(text: str) -> Request:
    return Request("GET", "/", {"authorization": f"Bearer {text}"}, b"")


def test_credentials_that_cannot_be() -> None:
    tokens = Tokens(None, None, None, ("HS256",), "twinbeam")
    wrong = {
        "has no key": ServerConfiguration(callers={"a": ()}),
        "less than 16 characters": ServerConfiguration(callers={"a": ()}, secrets={"a": "short"}),
        "no caller of that name": ServerConfiguration(secrets={"a": "x" * 40}),
        "legal is a secret": ServerConfiguration(tokens=tokens),
        "less than 32 characters": ServerConfiguration(tokens=tokens, secrets={"jwt": "x" * 20}),
    }
    for text, configuration in wrong.items():
        with pytest.raises(SettingsError, match=text):
            Credentials("shop", configuration)


def test_grants() -> None:
    assert Grant.parse("shop/read:user_*") == Grant("read", "user_*", "shop")
    assert Grant.parse("*/push") == Grant("push", "*", "*")
    for text in ("", "write", "read:", "read:a:b", "shop/", "/read", "read:a b", "read:*a"):
        with pytest.raises(ValueError, match="a grant is ROLE"):
            Grant.parse(text)
    caller = Caller("c", [Grant("read", "user_*"), Grant("admin", "x")])
    assert [caller.may("read", name) for name in ("user_a", "user", "x")] == [True, False, True]
    assert [caller.may("push", name) for name in ("user_a", "x")] == [False, True]
    assert (caller.admin, caller.everything, caller.may_any("push")) == (False, False, True)
    assert (ANYBODY.admin, ANYBODY.everything) == (True, True)
