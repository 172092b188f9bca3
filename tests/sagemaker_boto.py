"""boto3 in a process of its own: one call a line of JSON, one answer a line. Run by an interpreter that has boto3."""

from __future__ import annotations

import json
import sys
from functools import cache
from typing import Any

import boto3  # type: ignore[import-not-found]
from botocore import UNSIGNED  # type: ignore[import-not-found]
from botocore.config import Config  # type: ignore[import-not-found]
from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-not-found]

READ_SECONDS = 300


@cache
def client(service: str, key: str | None, secret: str | None, token: str | None) -> Any:
    """Client of a service; without a key it signs nothing."""
    config = Config(signature_version="v4" if key else UNSIGNED, read_timeout=READ_SECONDS)
    return boto3.client(
        service, config=config, aws_access_key_id=key, aws_secret_access_key=secret, aws_session_token=token
    )


def call(service: str, operation: str, arguments: dict[str, Any], credentials: list[str | None]) -> Any:
    """What an operation gives, all pages of it for `operation` with `*` after it; or what it raises."""
    key, secret, token = credentials
    asked = client(service, key, secret, token)
    try:
        if operation.endswith("*"):
            answer = list(asked.get_paginator(operation[:-1]).paginate(**arguments))
        else:
            answer = getattr(asked, operation)(**arguments)
    except ClientError as error:
        told = error.response
        return {
            "error": {
                "class": type(error).__name__,
                "code": told["Error"].get("Code"),
                "text": told["Error"].get("Message"),
                "status": told["ResponseMetadata"]["HTTPStatusCode"],
                "retries": told["ResponseMetadata"]["RetryAttempts"],
            }
        }
    except BotoCoreError as error:
        return {"error": {"class": type(error).__name__, "text": str(error)}}
    for page in answer if isinstance(answer, list) else [answer]:
        page.pop("ResponseMetadata")
    return {"value": answer}


def main() -> None:
    """Answers calls until the input ends."""
    out, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        out.write(json.dumps(call(*json.loads(line)), default=lambda moment: moment.timestamp()) + "\n")
        out.flush()


if __name__ == "__main__":
    main()
