"""A real object store on loopback: a process of its own that speaks S3's protocol, with accounts and rights."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

from pipelines.objects import Objects
from schemas.home import Home
from schemas.inbox import Bucket

KEY, SECRET = "depositaire-test", "marked-secret-8c1f"
SECONDS = 30


class Server:
    def __init__(self, address: str = "127.0.0.1") -> None:
        self._address = address
        with socket.create_server((address, 0)) as free:
            self.port = free.getsockname()[1]
        self.start()

    def start(self) -> None:
        # Accounts are checked once somebody asks for it (`strict`).
        env = os.environ | {"INITIAL_NO_AUTH_ACTION_COUNT": "inf"}
        told = [sys.executable, "-m", "moto.server", "-H", self._address, "-p", str(self.port)]
        self.process = subprocess.Popen(told, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            try:
                self.tell("/moto-api/data.json", method="GET")
            except OSError:
                time.sleep(0.1)
            else:
                return
        raise RuntimeError("the object store did not start")

    @property
    def url(self) -> str:
        return f"http://{self._address}:{self.port}"

    def tell(self, path: str, body: bytes = b"", method: str = "POST") -> None:
        plain = {"Content-Type": "text/plain"}
        asked = urllib.request.Request(self.url + path, body or None, plain, method=method)
        urllib.request.urlopen(asked, timeout=5).close()

    def reset(self) -> None:
        self.tell("/moto-api/reset")

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()

    def client(self, service: str = "s3", key: str = KEY, secret: str = SECRET) -> Any:
        import boto3

        return boto3.client(
            service, endpoint_url=self.url, region_name="us-east-1", aws_access_key_id=key, aws_secret_access_key=secret
        )

    def access(self, home: Home, key: str = KEY, secret: str = SECRET) -> None:
        home.keys.mkdir(parents=True, exist_ok=True)
        home.inbox_keys.touch(mode=0o600)
        said = {"endpoint": self.url, "region": "us-east-1", "key": key, "secret": secret}
        home.inbox_keys.write_text(json.dumps(said))

    def fill(self, bucket: Bucket, folder: Path) -> None:
        """Everything below a folder, as objects."""
        client = self.client()
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            key = bucket.key(path.relative_to(folder).as_posix())
            client.put_object(Bucket=bucket.name, Key=key, Body=path.read_bytes())

    def account(self, *actions: str) -> tuple[str, str]:
        """An account that may do only this, from now on."""
        iam = self.client("iam")
        iam.create_user(UserName="u")
        rule = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [rule]})
        iam.put_user_policy(UserName="u", PolicyName="p", PolicyDocument=policy)
        made = iam.create_access_key(UserName="u")["AccessKey"]
        self.tell("/moto-api/reset-auth", b"0")
        return made["AccessKeyId"], made["SecretAccessKey"]

    def lax(self) -> None:
        self.tell("/moto-api/reset-auth", b"1000000")


def connected(home: Home, bucket: Bucket) -> Objects:
    return Objects(bucket, home.inbox_keys)
