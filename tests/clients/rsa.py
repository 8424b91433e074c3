"""Seals the secrets of an install with bk-crypto-python-sdk, as upstream's clients do, and follows the job until it has ended:
exits with 0 only if every host is SUCCESS with what came out of the envelopes, and a broken envelope was refused without a
word of why.

Usage: rsa.py URL HOSTS.json     URL of landfall serve; HOSTS.json as the test world writes it
"""

import base64
import copy
import json
import sys
import time
import urllib.request

from bkcrypto import constants
from bkcrypto.asymmetric.options import RSAAsymmetricOptions
from bkcrypto.contrib.basic.ciphers import get_asymmetric_cipher

NAME = "DEFAULT"
SECRETS = ("password", "key", "passphrase", "sudo_password")
# An install here takes seconds; one that takes minutes hangs.
PATIENCE_S = 120
PAUSE_S = 0.5


def ask(url, path, body):
    """The envelope of an answer."""
    head = {"Content-Type": "application/json", "Accept-Language": "en"}
    request = urllib.request.Request(url.rstrip("/") + path, json.dumps(body).encode(), head)
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.load(response)


def data_of(url, path, body):
    """The data of an answer that must say yes."""
    answer = ask(url, path, body)
    if answer["code"] != 0:
        raise SystemExit(f"{path} is refused with {answer['code']}: {answer['message']} {answer['errors']}")
    return answer["data"]


def sealer(url):
    """Seals a secret as upstream's front end does: the name of the key in base64, then what the SDK makes."""
    keys = [data_of(url, f"/api/encrypt_{kind}/fetch_public_keys/", {"names": [NAME]}) for kind in ("rsa", "asymmetric")]
    key = keys[0][0]
    if keys[0] != keys[1] or (key["name"], key["cipher_type"]) != (NAME, "RSA"):
        raise SystemExit(f"these are not the keys that were asked for: {keys}")
    rsa = constants.AsymmetricCipherType.RSA.value
    options = RSAAsymmetricOptions(public_key_string=key["content"], padding=constants.RSACipherPadding.PKCS1_v1_5)
    cipher = get_asymmetric_cipher(cipher_type=rsa, cipher_options={rsa: options})
    if cipher.get_block_size(cipher.config.public_key) != key["block_size"]:
        raise SystemExit(f"the SDK puts another number of bytes into a block than {key['block_size']}")
    prefix = base64.b64encode(NAME.encode()).decode()
    return lambda secret: prefix + cipher.encrypt(secret)


def install_on(hosts, seal):
    """The published body for hosts of the test world, every secret in an envelope."""
    job = {"bk_username": "admin", "job_type": "INSTALL_AGENT", "hosts": []}
    for host in hosts:
        entry = {"bk_biz_id": 2, "bk_cloud_id": 0, "ap_id": 1, "inner_ip": host["ip"], "os_type": "LINUX"}
        entry.update({"account": host["user"], "port": host["port"], "sudo_password": host["sudo_password"]})
        if host["password"]:
            entry.update({"auth_type": "PASSWORD", "password": host["password"]})
        else:
            with open(host["key_file"], encoding="utf-8") as file:
                entry.update({"auth_type": "KEY", "key": file.read()})
        entry.update({name: seal(entry[name]) for name in SECRETS if entry.get(name)})
        job["hosts"].append(entry)
    return job


def refused(url, job):
    """A changed envelope is a fault of its place, and nothing is recorded."""
    broken = copy.deepcopy(job)
    host = broken["hosts"][0]
    name = next(name for name in SECRETS if host.get(name))
    middle = len(host[name]) // 2
    host[name] = host[name][:middle] + ("B" if host[name][middle] == "A" else "A") + host[name][middle + 1 :]
    answer = ask(url, "/api/job/install/", broken)
    if answer["code"] != 3800001 or [error["path"] for error in answer["errors"]] != [f"hosts[0].{name}"]:
        raise SystemExit(f"a broken envelope is answered with {answer}")
    print(f"a broken envelope: {answer['message']}")


def follow(url, job):
    """The details of a job that has ended."""
    end = time.monotonic() + PATIENCE_S
    while True:
        details = data_of(url, f"/api/job/{job}/details/", {"pagesize": -1})
        if details["status"] not in ("PENDING", "RUNNING"):
            return details
        if time.monotonic() > end:
            raise SystemExit(f"job {job} is still {details['status']} after {PATIENCE_S} s: {details['statistics']}")
        time.sleep(PAUSE_S)


def main(url, hosts_file):
    with open(hosts_file, encoding="utf-8") as file:
        body = install_on(json.load(file), sealer(url))
    secrets = sum(name in host for host in body["hosts"] for name in SECRETS if host.get(name))
    refused(url, body)
    accepted = data_of(url, "/api/job/install/", body)
    if accepted["ip_filter"]:
        raise SystemExit(f"hosts were left out: {accepted['ip_filter']}")
    details = follow(url, accepted["job_id"])
    for host in details["list"]:
        print(f"  {host['ip']:<15} {host['status']} {host['status_display']}")
    print(f"job {accepted['job_id']} with {secrets} sealed secrets is {details['status']}")
    if details["status"] != "SUCCESS" or len(details["list"]) != len(body["hosts"]):
        raise SystemExit(1)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    main(*sys.argv[1:])
