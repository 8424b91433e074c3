#!/usr/bin/env python3
"""Seals the secrets of a job as upstream's Python clients do, and has Landfall carry it out.

Usage: rsa.py BASE_URL JOB.json

BASE_URL is that of `landfall serve` (http://127.0.0.1:8420); JOB.json is a body of `install/` with its secrets in clear text.
Needs the PyPI package bk-crypto-python-sdk. Exit code 0 when every host ended SUCCESS with what came out of the envelopes, and
when a broken envelope was refused without a word of why.
"""

import base64
import json
import sys
import time
import urllib.request

from bkcrypto import constants
from bkcrypto.asymmetric.options import RSAAsymmetricOptions
from bkcrypto.contrib.basic.ciphers import get_asymmetric_cipher

NAME = "DEFAULT"
SECRETS = ("password", "key", "passphrase", "sudo_password")
# Seconds until a job must have ended.
PATIENCE = 300


def ask(base, path, body):
    """The envelope of an answer."""
    request = urllib.request.Request(
        base.rstrip("/") + path, json.dumps(body).encode(), {"Content-Type": "application/json", "Accept-Language": "en"}
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.load(response)


def data(base, path, body):
    """The data of an answer that must say yes."""
    envelope = ask(base, path, body)
    if envelope["code"] != 0:
        sys.exit(f"{path}: {envelope['message']} {envelope['errors']}")
    return envelope["data"]


def sealer(base):
    """Seals a secret as upstream's front end does: the name of the key in base64, then what the SDK makes."""
    keys = [data(base, f"/api/encrypt_{kind}/fetch_public_keys/", {"names": [NAME]}) for kind in ("rsa", "asymmetric")]
    key = keys[0][0]
    assert keys[0] == keys[1] and (key["name"], key["cipher_type"]) == (NAME, "RSA"), keys
    rsa = constants.AsymmetricCipherType.RSA.value
    options = RSAAsymmetricOptions(
        public_key_string=key["content"], padding=constants.RSACipherPadding.PKCS1_v1_5
    )
    cipher = get_asymmetric_cipher(cipher_type=rsa, cipher_options={rsa: options})
    assert cipher.get_block_size(cipher.config.public_key) == key["block_size"], key
    prefix = base64.b64encode(NAME.encode()).decode()
    return lambda secret: prefix + cipher.encrypt(secret)


def sealed(job, seal):
    """The job with every secret in an envelope."""
    count = 0
    for host in job["hosts"]:
        for name in SECRETS:
            if host.get(name):
                host[name] = seal(host[name])
                count += 1
    assert count > 0, "the job has no secret to seal"
    return job, count


def refuses_a_broken_envelope(base, job):
    """A changed envelope is a fault of its place and says no more; nothing is recorded."""
    broken = json.loads(json.dumps(job))
    host = broken["hosts"][0]
    name = next(name for name in SECRETS if host.get(name))
    middle = len(host[name]) // 2
    host[name] = host[name][:middle] + ("A" if host[name][middle] != "A" else "B") + host[name][middle + 1 :]
    envelope = ask(base, "/api/job/install/", broken)
    assert envelope["code"] == 3800001 and envelope["errors"][0]["path"] == f"hosts[0].{name}", envelope


def end_of(base, job_id):
    """The details of a job that has ended."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        details = data(base, f"/api/job/{job_id}/details/", {"pagesize": -1})
        if details["status"] not in ("PENDING", "RUNNING"):
            return details
        time.sleep(0.5)
    sys.exit(f"job {job_id} did not end within {PATIENCE} s")


def main():
    """Runs the story."""
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    base = sys.argv[1]
    with open(sys.argv[2], encoding="utf-8") as file:
        job, count = sealed(json.load(file), sealer(base))
    refuses_a_broken_envelope(base, job)
    job_id = data(base, "/api/job/install/", job)["job_id"]
    details = end_of(base, job_id)
    hosts = [(host["ip"], host["status"], (host.get("failure") or {}).get("code")) for host in details["list"]]
    print(f"job {job_id}, {count} secrets sealed: {details['status']} {hosts}")
    sys.exit(0 if details["status"] == "SUCCESS" else 1)


if __name__ == "__main__":
    main()
