"""What must be so in every overlay, or in production. Each rule says what is wrong; nothing said is nothing wrong."""

import pathlib
import re

from manifests import containers, name, pod, seconds, selects, spec

RULES = {}

# After the time to shut down, the process takes this long to say goodbye (LAST_GRACE of its lifecycle).
GOODBYE = 1
ROOT = pathlib.Path(__file__).parents[3]


def rule(check):
    """Its name is what it demands."""
    RULES[check.__name__] = check
    return check


@rule
def pods_do_not_run_as_root(cluster):
    for workload in cluster.workloads():
        context = spec(workload).get("securityContext", {})
        if context.get("runAsNonRoot") is not True:
            yield f"{name(workload)}: runAsNonRoot is not true"
        if context.get("runAsUser", 0) < 10_000:
            yield f"{name(workload)}: runAsUser is less than 10000"
        for each in containers(workload):
            own = each.get("securityContext", {})
            if own.get("runAsNonRoot", True) is not True or own.get("runAsUser", 10_000) < 10_000:
                yield f"{name(workload)}: {each['name']} is another user"


@rule
def system_calls_are_filtered(cluster):
    for workload in cluster.workloads():
        if spec(workload).get("securityContext", {}).get("seccompProfile") != {"type": "RuntimeDefault"}:
            yield f"{name(workload)}: seccompProfile is not RuntimeDefault"


@rule
def containers_have_no_privileges(cluster):
    for workload in cluster.workloads():
        for each in containers(workload):
            own = each.get("securityContext", {})
            if own.get("allowPrivilegeEscalation") is not False:
                yield f"{name(workload)}: {each['name']} may escalate its privileges"
            if own.get("capabilities") != {"drop": ["ALL"]}:
                yield f"{name(workload)}: {each['name']} keeps capabilities, or adds some"
            if own.get("privileged"):
                yield f"{name(workload)}: {each['name']} is privileged"
        for shared in ["hostNetwork", "hostPID", "hostIPC"]:
            if spec(workload).get(shared):
                yield f"{name(workload)}: {shared}"


@rule
def root_file_systems_are_read_only(cluster):
    for workload in cluster.workloads():
        volumes = {volume["name"]: volume for volume in spec(workload).get("volumes", [])}
        for each in containers(workload):
            if each.get("securityContext", {}).get("readOnlyRootFilesystem") is not True:
                yield f"{name(workload)}: the root of {each['name']} can be written to"
            mounts = {mount["mountPath"]: mount["name"] for mount in each.get("volumeMounts", [])}
            if "emptyDir" not in volumes.get(mounts.get("/tmp"), {}):
                yield f"{name(workload)}: {each['name']} has no emptyDir at /tmp"
        for volume in volumes.values():
            if "emptyDir" in volume and "sizeLimit" not in volume["emptyDir"]:
                yield f"{name(workload)}: the emptyDir {volume['name']} has no sizeLimit"
            if "hostPath" in volume:
                yield f"{name(workload)}: {volume['name']} is the host's"


@rule
def nobody_gets_a_token_of_the_cluster(cluster):
    for workload in cluster.workloads():
        if spec(workload).get("automountServiceAccountToken") is not False:
            yield f"{name(workload)}: automountServiceAccountToken is not false"
    for account in cluster.of("ServiceAccount"):
        if account.get("automountServiceAccountToken") is not False:
            yield f"{name(account)}: automountServiceAccountToken is not false"


@rule
def service_accounts_are_not_shared(cluster):
    made = {account["metadata"]["name"] for account in cluster.of("ServiceAccount")}
    used = [spec(workload).get("serviceAccountName", "default") for workload in cluster.workloads()]
    for account in used:
        if account not in made:
            yield f"the service account {account} is not ours"
        if used.count(account) > 1:
            yield f"the service account {account} is shared"


@rule
def memory_is_bounded_and_the_api_is_not_throttled(cluster):
    for workload in cluster.workloads():
        for each in containers(workload):
            resources = each.get("resources", {})
            for kind in ["cpu", "memory"]:
                if kind not in resources.get("requests", {}):
                    yield f"{name(workload)}: {each['name']} requests no {kind}"
            if "memory" not in resources.get("limits", {}):
                yield f"{name(workload)}: {each['name']} has no memory limit"
            if each["name"] == "api" and "cpu" in resources.get("limits", {}):
                yield f"{name(workload)}: {each['name']} has a CPU limit"


@rule
def images_have_a_version(cluster):
    for workload in cluster.workloads():
        for each in containers(workload):
            image = each["image"].rsplit("/", 1)[-1]
            if ":" not in image or image.split("@")[0].endswith(":latest"):
                yield f"{name(workload)}: the image {each['image']} may be another one tomorrow"


@rule
def production_images_have_a_digest(cluster):
    if cluster.settings()["APP_ENV"] != "production":
        return
    for workload in cluster.workloads():
        for each in containers(workload):
            if not re.search(r"@sha256:[0-9a-f]{64}$", each["image"]):
                yield f"{name(workload)}: the image {each['image']} has no digest"


@rule
def networks_are_closed_but_for_what_is_listed(cluster):
    everything = [
        policy["spec"]
        for policy in cluster.of("NetworkPolicy")
        if policy["spec"]["podSelector"] == {} and "ingress" not in policy["spec"]
    ]
    for direction in ["Ingress", "Egress"]:
        if not any(direction in it["policyTypes"] and direction.lower() not in it for it in everything):
            yield f"{direction} is not denied by default"
    dns = [
        port["port"]
        for policy in cluster.of("NetworkPolicy")
        if policy["spec"]["podSelector"] == {}
        for way in policy["spec"].get("egress", [])
        for port in way.get("ports", [])
    ]
    if sorted(dns) != [53, 53]:
        yield "not everybody may ask for names, or may do more than that"
    for policy in cluster.of("NetworkPolicy"):
        for way in policy["spec"].get("ingress", []) + policy["spec"].get("egress", []):
            if not way.get("ports") or not (way.get("from") or way.get("to")):
                yield f"{name(policy)}: any port, or anybody"


@rule
def databases_are_for_api_and_workers_only(cluster):
    clients = {"database": {"api", "worker", "migration"}, "queue": {"api", "worker"}, "storage": {"api", "worker"}}
    for workload in cluster.of("StatefulSet"):
        labels = pod(workload)["labels"]
        component = labels["app.kubernetes.io/component"]
        allowed = [
            peer
            for policy in cluster.of("NetworkPolicy")
            if policy["spec"]["podSelector"] != {} and selects(policy["spec"]["podSelector"], labels)
            for way in policy["spec"].get("ingress", [])
            for peer in way["from"]
        ]
        if not allowed:
            yield f"{name(workload)}: nobody may connect"
        for other in cluster.workloads():
            theirs = pod(other)["labels"]
            admitted = any(
                "namespaceSelector" in peer or selects(peer.get("podSelector", {}), theirs) for peer in allowed
            )
            whose = theirs["app.kubernetes.io/component"]
            if admitted != (whose in clients[component]):
                yield f"{name(workload)}: {name(other)} {'may' if admitted else 'may not'} connect"


@rule
def evictions_leave_most_pods(cluster):
    for workload in cluster.deployments():
        labels = pod(workload)["labels"]
        budgets = [it for it in cluster.of("PodDisruptionBudget") if selects(it["spec"]["selector"], labels)]
        if [it["spec"].get("maxUnavailable") for it in budgets] != [1]:
            yield f"{name(workload)}: not one PodDisruptionBudget with maxUnavailable 1"
        if fewest(cluster, workload) < 2:
            yield f"{name(workload)}: there may be fewer than two"


def fewest(cluster, workload):
    """How many pods there are at least."""
    scalers = [
        scaler["spec"].get("minReplicas", scaler["spec"].get("minReplicaCount", 0))
        for scaler in cluster.of("HorizontalPodAutoscaler", "ScaledObject")
        if scaler["spec"]["scaleTargetRef"]["name"] == workload["metadata"]["name"]
    ]
    return min(scalers) if scalers else workload["spec"].get("replicas", 1)


@rule
def one_scaler_decides(cluster):
    for workload in cluster.deployments():
        called = workload["metadata"]["name"]
        scalers = cluster.of("HorizontalPodAutoscaler", "ScaledObject")
        count = sum(scaler["spec"]["scaleTargetRef"]["name"] == called for scaler in scalers)
        if count + ("replicas" in workload["spec"]) != 1:
            yield f"{name(workload)}: its number is decided {count} times, or set back by each deployment"


@rule
def a_rollout_takes_no_pod_away(cluster):
    for workload in cluster.deployments():
        strategy = workload["spec"].get("strategy", {})
        if strategy != {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}:
            yield f"{name(workload)}: the strategy is not maxUnavailable 0 and maxSurge 1"


@rule
def probes_ask_the_right_question(cluster):
    paths = {"startupProbe": "/health/live", "livenessProbe": "/health/live", "readinessProbe": "/health/ready"}
    for workload in cluster.deployments():
        for each in containers(workload):
            ports = {port["name"] for port in each.get("ports", [])}
            for probe, path in paths.items():
                asked = each.get(probe, {}).get("httpGet", {})
                if asked.get("path") != path or asked.get("port") not in ports:
                    yield f"{name(workload)}: the {probe} of {each['name']} does not ask {path}"
    for workload in cluster.of("StatefulSet"):
        for each in containers(workload):
            if any(probe not in each for probe in paths):
                yield f"{name(workload)}: {each['name']} lacks a probe"


@rule
def drain_times_add_up(cluster):
    settings = cluster.settings()
    drain = seconds(settings["SHUTDOWN_READY_DELAY"]) + seconds(settings["SHUTDOWN_TIMEOUT"]) + GOODBYE
    for workload in cluster.deployments():
        for each in containers(workload):
            pause = each.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
            if pause != 5:
                yield f"{name(workload)}: preStop does not sleep 5 s"
            grace = spec(workload).get("terminationGracePeriodSeconds", 30)
            if grace < 45 or grace < pause + drain + 5:
                yield f"{name(workload)}: {grace} s of grace are not more than {pause} s + {drain} s, with 5 s to spare"


@rule
def pods_are_spread_over_zones_and_hosts(cluster):
    for workload in cluster.deployments():
        spread = spec(workload).get("topologySpreadConstraints", [])
        if {each["topologyKey"] for each in spread} != {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}:
            yield f"{name(workload)}: is not spread over zones and hosts"
        for each in spread:
            if not selects(each.get("labelSelector", {}), pod(workload)["labels"]) or not each.get("labelSelector"):
                yield f"{name(workload)}: spreads other pods than its own"


@rule
def scaling_down_takes_its_time(cluster):
    if not any(it["spec"]["scaleTargetRef"]["name"] == "api" for it in cluster.of("HorizontalPodAutoscaler")):
        yield "the API has no HorizontalPodAutoscaler"
    for scaler in cluster.of("HorizontalPodAutoscaler", "ScaledObject"):
        advanced = scaler["spec"].get("advanced", {}).get("horizontalPodAutoscalerConfig", {})
        behavior = scaler["spec"].get("behavior") or advanced.get("behavior", {})
        if behavior.get("scaleDown", {}).get("stabilizationWindowSeconds") != 300:
            yield f"{name(scaler)}: scaling down is not held back for 300 s"


@rule
def production_workers_follow_depth_and_age(cluster):
    if cluster.settings()["APP_ENV"] != "production":
        return
    scalers = [it for it in cluster.of("ScaledObject") if it["spec"]["scaleTargetRef"]["name"] == "worker"]
    queries = [trigger["metadata"]["query"] for scaler in scalers for trigger in scaler["spec"]["triggers"]]
    for metric in ["job_oldest_ready_age_seconds", "jobs_in_state"]:
        if not any(metric in query for query in queries):
            yield f"workers do not follow {metric}"


@rule
def secrets_are_files(cluster):
    telling = re.compile(r"PASSWORD|SECRET|PRIVATE_KEY|TOKEN|_URL$|_URLS$")
    for workload in cluster.workloads():
        for each in containers(workload):
            for source in each.get("envFrom", []):
                if "secretRef" in source:
                    yield f"{name(workload)}: {each['name']} has a Secret in its environment"
            for variable in each.get("env", []):
                if "secretKeyRef" in variable.get("valueFrom", {}):
                    yield f"{name(workload)}: {variable['name']} is a secret in the environment"
                if telling.search(variable["name"]) and not variable["name"].endswith("_FILE"):
                    yield f"{name(workload)}: {variable['name']} looks like a secret"
    for variable in cluster.settings():
        if telling.search(variable) and not variable.endswith("_FILE"):
            yield f"the setting {variable} looks like a secret"
    for secret in cluster.of("Secret"):
        yield f"{name(secret)} is among the manifests"


@rule
def files_of_secrets_are_mounted_for_the_group_only(cluster):
    files = [value for key, value in cluster.settings().items() if key.endswith("_FILE")]
    for workload in cluster.workloads():
        volumes = {volume["name"]: volume for volume in spec(workload).get("volumes", [])}
        for each in containers(workload):
            secrets = {
                mount["mountPath"]: volumes[mount["name"]]["secret"]
                for mount in each.get("volumeMounts", [])
                if "secret" in volumes.get(mount["name"], {})
            }
            for mount in each.get("volumeMounts", []):
                if mount["mountPath"] in secrets and not mount.get("readOnly"):
                    yield f"{name(workload)}: {mount['mountPath']} can be written to"
            if any(secret.get("defaultMode") != 0o440 for secret in secrets.values()):
                yield f"{name(workload)}: files of secrets are not of mode 0440"
            if "fsGroup" not in spec(workload).get("securityContext", {}):
                yield f"{name(workload)}: files of secrets are of no group of its own"
            wanted = [variable["value"] for variable in each.get("env", []) if variable["name"].endswith("_FILE")]
            wanted += files if each.get("envFrom") else []
            for file in wanted:
                folder, _, item = file.rpartition("/")
                items = secrets.get(folder, {}).get("items", [{"path": item}])
                if folder not in secrets or item not in [it["path"] for it in items]:
                    yield f"{name(workload)}: nothing is mounted at {file}"


@rule
def nothing_is_a_service_but_the_api_and_its_databases(cluster):
    for service in cluster.of("Service"):
        for workload in cluster.workloads():
            component = pod(workload)["labels"]["app.kubernetes.io/component"]
            labels = {"matchLabels": service["spec"].get("selector", {})}
            if component in ["worker", "migration"] and selects(labels, pod(workload)["labels"]):
                yield f"{name(service)} sends requests to {name(workload)}"
        if service["spec"].get("type", "ClusterIP") != "ClusterIP":
            yield f"{name(service)} can be reached from outside"


@rule
def the_management_port_stays_inside(cluster):
    port = int(cluster.settings()["MANAGEMENT_PORT"])
    for service in cluster.of("Service"):
        for each in service["spec"]["ports"]:
            if each.get("targetPort", each["port"]) in ["management", port]:
                yield f"{name(service)} leads to the management port"


@rule
def the_namespace_admits_restricted_pods_only(cluster):
    namespaces = cluster.of("Namespace")
    if len(namespaces) != 1:
        yield f"{len(namespaces)} namespaces"
    for namespace in namespaces:
        if namespace["metadata"].get("labels", {}).get("pod-security.kubernetes.io/enforce") != "restricted":
            yield f"{name(namespace)} does not enforce the restricted standard"
        for thing in cluster.objects:
            if thing is not namespace and thing["metadata"].get("namespace") != namespace["metadata"]["name"]:
                yield f"{name(thing)} is in another namespace"


@rule
def one_job_migrates_and_nobody_else(cluster):
    jobs = [job for job in cluster.of("Job") if containers(job)[0].get("args") == ["migrate", "up"]]
    if len(jobs) != 1:
        yield f"{len(jobs)} jobs migrate"
    for workload in cluster.deployments():
        for each in containers(workload):
            if each.get("args", [])[:1] == ["serve"] and "--no-migrate" not in each["args"]:
                yield f"{name(workload)} migrates, too"
            if each.get("args", [])[:1] not in [["serve"], ["worker"]]:
                yield f"{name(workload)}: {each['name']} does neither serve nor work"


@rule
def a_redis_of_ours_keeps_its_queue(cluster):
    for workload in cluster.of("StatefulSet"):
        if workload["metadata"]["name"] != "redis":
            continue
        lines = cluster.get("ConfigMap", "redis")["data"]["redis.conf"].splitlines()
        for line in ["maxmemory-policy noeviction", "appendonly yes", "dir /data"]:
            if line not in lines:
                yield f"{name(workload)}: its configuration is without `{line}`"
        claims = [claim["metadata"]["name"] for claim in workload["spec"].get("volumeClaimTemplates", [])]
        mounts = {mount["mountPath"]: mount["name"] for mount in containers(workload)[0]["volumeMounts"]}
        if mounts.get("/data") not in claims:
            yield f"{name(workload)}: /data does not outlive the pod"


@rule
def no_variables_are_made_of_services(cluster):
    for workload in cluster.workloads():
        if spec(workload).get("enableServiceLinks") is not False:
            yield f"{name(workload)}: a Service called redis sets REDIS_PORT, which is a setting"


@rule
def every_setting_is_one_of_the_product(cluster):
    table = ROOT / "bootstrap/src/config"
    known = set()
    for file in [table / "variables.rs", *table.glob("later.rs"), *(table / "variables").glob("*.rs")]:
        known |= set(re.findall(r'"([A-Z][A-Z0-9_]+)"', file.read_text()))
    for variable in cluster.settings():
        if variable not in known and variable.removesuffix("_FILE") not in known:
            yield f"nobody knows the setting {variable}"


@rule
def whatever_is_named_is_there(cluster):
    called = {(thing["kind"], thing["metadata"]["name"]) for thing in cluster.objects}
    for workload in cluster.workloads():
        for each in containers(workload):
            for source in each.get("envFrom", []):
                if ("ConfigMap", source.get("configMapRef", {}).get("name")) not in called:
                    yield f"{name(workload)}: there is no ConfigMap of that name"
    for scaler in cluster.of("HorizontalPodAutoscaler", "ScaledObject"):
        if ("Deployment", scaler["spec"]["scaleTargetRef"]["name"]) not in called:
            yield f"{name(scaler)}: there is no such Deployment"
    for service in cluster.of("Service"):
        ports = [
            port["name"]
            for workload in cluster.workloads()
            if selects({"matchLabels": service["spec"]["selector"]}, pod(workload)["labels"])
            for each in containers(workload)
            for port in each.get("ports", [])
        ]
        for port in service["spec"]["ports"]:
            if port["targetPort"] not in ports:
                yield f"{name(service)}: no container has the port {port['targetPort']}"
    for ingress in cluster.of("Ingress"):
        for way in ingress["spec"]["rules"]:
            for path in way["http"]["paths"]:
                if ("Service", path["backend"]["service"]["name"]) not in called:
                    yield f"{name(ingress)}: there is no such Service"
