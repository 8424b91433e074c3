"""A client of BlueKing's node manager, built on bkapi-client-core as the platform's own are: submits an install, follows its
details and its log until the job has ended, and exits with 0 only if every host is SUCCESS and its log has every step.

Usage: bkapi.py URL HOSTS.json [APP_CODE SECRET_FILE]     URL of landfall serve; HOSTS.json as the test world writes it
The app's code and secret go out in X-Bkapi-Authorization, with every request.
"""

import json
import sys
import time

from bkapi_client_core.apigateway import APIGatewayClient, Operation, OperationGroup, bind_property

# The published steps of INSTALL_AGENT, in their order.
STEPS = ["connect", "probe", "upload_package", "upload_files", "run_script", "verify", "register", "cleanup"]
# An install here takes seconds; one that takes minutes hangs.
PATIENCE_S = 120
# Between two looks. The platform polls every 5 s; this shall not take longer than it must.
PAUSE_S = 0.5


class Jobs(OperationGroup):
    install = bind_property(Operation, name="install", method="POST", path="/api/job/install/")
    job_list = bind_property(Operation, name="job_list", method="POST", path="/api/job/job_list/")
    details = bind_property(Operation, name="details", method="POST", path="/api/job/{id}/details/")
    log = bind_property(Operation, name="log", method="GET", path="/api/job/{id}/log/")


class Client(APIGatewayClient):
    _api_name = "bk-nodeman"
    jobs = bind_property(Jobs, name="jobs")


def data_of(answer):
    """What the envelope carries. bkapi-client-core itself raises for statuses of HTTP and for what is no JSON."""
    if set(answer) != {"result", "code", "data", "message", "errors"}:
        raise SystemExit(f"this is not the published envelope: {answer}")
    if answer["result"] is not True or answer["code"] != 0:
        raise SystemExit(f"refused with {answer['code']}: {answer['message']} {answer['errors']}")
    return answer["data"]


def install_on(hosts):
    """The published body for hosts of the test world."""
    job = {"bk_username": "admin", "job_type": "INSTALL_AGENT", "hosts": []}
    for host in hosts:
        entry = {"bk_biz_id": 2, "bk_cloud_id": 0, "ap_id": 1, "inner_ip": host["ip"], "os_type": "LINUX", "is_manual": False}
        # The document's table has the port as text.
        entry.update({"account": host["user"], "port": str(host["port"]), "auth_type": "PASSWORD", "password": host["password"]})
        if host["sudo_password"]:
            entry["sudo_password"] = host["sudo_password"]
        job["hosts"].append(entry)
    return job


def follow(client, job):
    """Says what changes until the job has ended, and gives its last details."""
    path, told, end = {"id": job}, {}, time.monotonic() + PATIENCE_S
    while True:
        details = data_of(client.jobs.details({"page": 1, "pagesize": -1}, path_params=path))
        for host in details["list"]:
            state = f"{host['status']} {host['status_display']}"
            if told.get(host["instance_id"]) != state:
                told[host["instance_id"]] = state
                print(f"  {host['ip']:<15} {state}")
        if details["status"] not in ("PENDING", "RUNNING"):
            return details
        if time.monotonic() > end:
            raise SystemExit(f"job {job} is still {details['status']} after {PATIENCE_S} s: {details['statistics']}")
        time.sleep(PAUSE_S)


def tail_of(client, job, instance):
    """What a host printed, by step, read as a poller reads it: each byte once."""
    printed, offset = {}, 0
    while True:
        question = {"instance_id": instance, "offset": offset, "limit": 1000}
        tail = data_of(client.jobs.log(question, path_params={"id": job}))
        for piece in tail["list"]:
            printed[piece["step"]] = printed.get(piece["step"], "") + piece["log"]
        if tail["finished"] and not tail["list"]:
            return printed
        offset = tail["offset"]


def faults_of(client, job, host):
    """What is wrong with a host at the end, log included."""
    if host["status"] != "SUCCESS":
        yield f"it is {host['status']}: {host['status_display']}"
    log = data_of(client.jobs.log({"instance_id": host["instance_id"]}, path_params={"id": job}))
    steps = [entry["step"] for entry in log]
    if steps != STEPS:
        yield f"its log has the steps {steps}"
    for entry in log:
        if entry["status"] != "SUCCESS" or not entry["start_time"] or not entry["finish_time"]:
            yield f"its log has {entry['step']} as {entry['status']}"
    script = next((entry["log"] for entry in log if entry["step"] == "run_script"), "")
    if "setup_agent" not in script:
        yield f"its log does not have what the install script printed: {script!r}"
    printed = tail_of(client, job, host["instance_id"])
    if not printed.get("run_script") or not script.endswith(printed["run_script"]):
        yield "its log read piece by piece is another one than read at once"
    print(f"  {host['ip']:<15} {len(log)} steps, {len(script.splitlines())} lines of the install script")


def main(url, hosts_file, app_code="esb_test", secret_file=None):
    with open(hosts_file, encoding="utf-8") as file:
        body = install_on(json.load(file))
    secret = "not asked for on loopback"
    if secret_file:
        with open(secret_file, encoding="utf-8") as file:
            secret = file.read().strip()
    # Without a gateway before it there is no stage in the path.
    with Client(stage="", endpoint=url) as client:
        client.set_timeout(30)
        client.session.set_accept_language("en")
        client.update_bkapi_authorization(bk_app_code=app_code, bk_app_secret=secret, bk_username="admin")
        accepted = data_of(client.jobs.install(body))
        job = accepted["job_id"]
        print(f"job {job} accepted, {len(body['hosts'])} hosts: {accepted['job_url']}")
        if accepted["ip_filter"]:
            raise SystemExit(f"hosts were left out: {accepted['ip_filter']}")
        details = follow(client, job)
        print(f"job {job} is {details['status']}: {details['statistics']}")
        faults = [f"{host['ip']}: {fault}" for host in details["list"] for fault in faults_of(client, job, host)]
        if len(details["list"]) != len(body["hosts"]) or details["status"] != "SUCCESS":
            faults.append(f"job {job} is {details['status']} with {len(details['list'])} hosts")
        listed = data_of(client.jobs.job_list({"job_id": [job], "status": ["SUCCESS"]}))
        if listed["total"] != 1 or listed["list"][0]["created_by"] != "admin":
            faults.append(f"the list of jobs shows {listed}")
    if faults:
        raise SystemExit("\n".join(faults))


if __name__ == "__main__":
    if not 3 <= len(sys.argv) <= 5:
        raise SystemExit(__doc__)
    main(*sys.argv[1:])
