"""How each rule is broken, to see that it notices. A mutation changes what one of the overlays renders."""

from manifests import containers, spec

# (the rule that must notice, the overlay, what to do to it)
MUTATIONS = []


def breaks(rule, *overlays):
    def add(change):
        MUTATIONS.extend((rule, overlay, change) for overlay in overlays)
        return change

    return add


def at(kind, called, *path, value):
    """Sets a place in an object; the value `None` removes it."""

    def change(cluster):
        place = cluster.get(kind, called)
        for step in path[:-1]:
            place = place[step]
        if value is None:
            del place[path[-1]]
        else:
            place[path[-1]] = value

    return change


POD = ("spec", "template", "spec")
FIRST = (*POD, "containers", 0)
SPREAD = (*POD, "topologySpreadConstraints")
DEV, PROD = "development", "production"


def broken_by(rule, *changes):
    for overlay, kind, called, path, value in changes:
        MUTATIONS.append((rule, overlay, at(kind, called, *path, value=value)))


broken_by(
    "pods_do_not_run_as_root",
    (PROD, "Deployment", "api", (*POD, "securityContext", "runAsNonRoot"), None),
    (PROD, "Deployment", "worker", (*POD, "securityContext", "runAsUser"), 1000),
    (DEV, "StatefulSet", "redis", (*POD, "securityContext", "runAsUser"), None),
    (PROD, "Deployment", "api", (*FIRST, "securityContext", "runAsUser"), 0),
)
broken_by(
    "system_calls_are_filtered",
    (PROD, "Job", "migration", (*POD, "securityContext", "seccompProfile"), None),
    (PROD, "Deployment", "api", (*POD, "securityContext", "seccompProfile", "type"), "Unconfined"),
)
broken_by(
    "containers_have_no_privileges",
    (PROD, "Deployment", "api", (*FIRST, "securityContext", "capabilities", "drop"), ["NET_RAW"]),
    (PROD, "Deployment", "api", (*FIRST, "securityContext", "capabilities", "add"), ["NET_ADMIN"]),
    (PROD, "Deployment", "worker", (*FIRST, "securityContext", "allowPrivilegeEscalation"), None),
    (PROD, "Deployment", "worker", (*POD, "hostNetwork"), True),
)
broken_by(
    "root_file_systems_are_read_only",
    (PROD, "Deployment", "api", (*FIRST, "securityContext", "readOnlyRootFilesystem"), None),
    (PROD, "Deployment", "api", (*FIRST, "volumeMounts", 1, "mountPath"), "/temporary"),
    (PROD, "Deployment", "worker", (*POD, "volumes", 1, "emptyDir"), {}),
    (PROD, "Deployment", "worker", (*POD, "volumes", 0), {"name": "data", "hostPath": {"path": "/"}}),
)
broken_by(
    "nobody_gets_a_token_of_the_cluster",
    (PROD, "Deployment", "worker", (*POD, "automountServiceAccountToken"), None),
    (PROD, "ServiceAccount", "api", ("automountServiceAccountToken",), True),
)
broken_by(
    "service_accounts_are_not_shared",
    (PROD, "Deployment", "worker", (*POD, "serviceAccountName"), "api"),
    (PROD, "Job", "migration", (*POD, "serviceAccountName"), None),
)
broken_by(
    "memory_is_bounded_and_the_api_is_not_throttled",
    (PROD, "Deployment", "worker", (*FIRST, "resources", "limits", "memory"), None),
    (PROD, "Deployment", "worker", (*FIRST, "resources", "requests", "cpu"), None),
    (PROD, "Deployment", "api", (*FIRST, "resources", "limits", "cpu"), "1"),
)
broken_by(
    "images_have_a_version",
    (DEV, "Deployment", "api", (*FIRST, "image"), "portwright:latest"),
    (DEV, "StatefulSet", "redis", (*FIRST, "image"), "localhost:5000/redis"),
)
broken_by("production_images_have_a_digest", (PROD, "Deployment", "worker", (*FIRST, "image"), "portwright:1.2.3"))
broken_by(
    "networks_are_closed_but_for_what_is_listed",
    (PROD, "NetworkPolicy", "default", ("spec", "policyTypes"), ["Ingress"]),
    (PROD, "NetworkPolicy", "default", ("spec", "policyTypes"), ["Egress"]),
    (PROD, "NetworkPolicy", "default", ("spec", "egress"), [{}]),
    (PROD, "NetworkPolicy", "dns", ("spec", "podSelector"), {"matchLabels": {"a": "b"}}),
    (PROD, "NetworkPolicy", "api", ("spec", "ingress", 0, "from"), []),
    (PROD, "NetworkPolicy", "metrics", ("spec", "ingress", 0, "ports"), None),
)


@breaks("databases_are_for_api_and_workers_only", DEV)
def redis_is_open_to_the_namespace(cluster):
    policy = next(it for it in cluster.of("NetworkPolicy") if it["metadata"]["name"] == "redis-from-portwright")
    policy["spec"]["ingress"][0]["from"] = [{"podSelector": {}}]


@breaks("databases_are_for_api_and_workers_only", DEV)
def postgres_is_open_to_other_namespaces(cluster):
    policy = next(it for it in cluster.of("NetworkPolicy") if it["metadata"]["name"] == "postgres-from-portwright")
    policy["spec"]["ingress"][0]["from"].append({"namespaceSelector": {}})


@breaks("databases_are_for_api_and_workers_only", DEV)
def workers_do_not_reach_redis(cluster):
    policy = next(it for it in cluster.of("NetworkPolicy") if it["metadata"]["name"] == "redis-from-portwright")
    policy["spec"]["ingress"][0]["from"][0]["podSelector"]["matchExpressions"][0]["values"] = ["api"]


broken_by(
    "evictions_leave_most_pods",
    (PROD, "PodDisruptionBudget", "api", ("spec", "maxUnavailable"), "50%"),
    (PROD, "PodDisruptionBudget", "worker", ("spec", "selector", "matchLabels"), {"a": "b"}),
    (PROD, "HorizontalPodAutoscaler", "api", ("spec", "minReplicas"), 1),
    (PROD, "ScaledObject", "worker", ("spec", "minReplicaCount"), 0),
    (DEV, "Deployment", "worker", ("spec", "replicas"), 1),
)
broken_by(
    "one_scaler_decides",
    (PROD, "Deployment", "api", ("spec", "replicas"), 3),
    (DEV, "Deployment", "worker", ("spec", "replicas"), None),
)
broken_by(
    "a_rollout_takes_no_pod_away",
    (PROD, "Deployment", "api", ("spec", "strategy", "rollingUpdate", "maxUnavailable"), "25%"),
    (PROD, "Deployment", "worker", ("spec", "strategy"), None),
)
broken_by(
    "probes_ask_the_right_question",
    (PROD, "Deployment", "api", (*FIRST, "livenessProbe", "httpGet", "path"), "/health/ready"),
    (PROD, "Deployment", "api", (*FIRST, "startupProbe"), None),
    (PROD, "Deployment", "api", (*FIRST, "readinessProbe", "httpGet", "path"), "/health/live"),
    (PROD, "Deployment", "worker", (*FIRST, "livenessProbe", "httpGet", "port"), "http"),
    (DEV, "StatefulSet", "redis", (*FIRST, "readinessProbe"), None),
)
broken_by(
    "drain_times_add_up",
    (PROD, "ConfigMap", "settings", ("data", "SHUTDOWN_TIMEOUT"), "35s"),
    (PROD, "ConfigMap", "settings", ("data", "SHUTDOWN_READY_DELAY"), "15000"),
    (PROD, "Deployment", "api", (*POD, "terminationGracePeriodSeconds"), None),
    (PROD, "Deployment", "worker", (*POD, "terminationGracePeriodSeconds"), 36),
    (PROD, "Deployment", "api", (*FIRST, "lifecycle"), None),
)
broken_by(
    "pods_are_spread_over_zones_and_hosts",
    (PROD, "Deployment", "api", (*SPREAD, 0), None),
    (PROD, "Deployment", "worker", (*SPREAD, 1, "labelSelector"), {"matchLabels": {"a": "b"}}),
)
broken_by(
    "scaling_down_takes_its_time",
    (PROD, "HorizontalPodAutoscaler", "api", ("spec", "behavior"), None),
    (PROD, "ScaledObject", "worker", ("spec", "advanced"), None),
    (DEV, "HorizontalPodAutoscaler", "api", ("spec", "scaleTargetRef", "name"), "worker"),
)
broken_by(
    "production_workers_follow_depth_and_age",
    (PROD, "ScaledObject", "worker", ("spec", "triggers", 0), None),
    (PROD, "ScaledObject", "worker", ("spec", "triggers", 1), None),
)
broken_by(
    "secrets_are_files",
    (PROD, "Deployment", "api", (*FIRST, "envFrom"), [{"secretRef": {"name": "portwright"}}]),
    (PROD, "Deployment", "api", (*FIRST, "env"), [{"name": "DB_PASSWORD", "value": "hunter2"}]),
    (PROD, "Deployment", "api", (*FIRST, "env"), [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "b"}}}]),
    (PROD, "ConfigMap", "settings", ("data", "DATABASE_URL"), "postgres://me:hunter2@db/portwright"),
)


@breaks("secrets_are_files", PROD)
def a_secret_is_committed(cluster):
    cluster.objects.append({"kind": "Secret", "metadata": {"name": "portwright", "namespace": "portwright"}})


broken_by(
    "files_of_secrets_are_mounted_for_the_group_only",
    (PROD, "Deployment", "api", (*POD, "volumes", 2, "secret", "defaultMode"), 0o444),
    (PROD, "Deployment", "api", (*POD, "securityContext", "fsGroup"), None),
    (PROD, "Deployment", "worker", (*FIRST, "volumeMounts", 2, "readOnly"), None),
    (PROD, "ConfigMap", "settings", ("data", "DB_PASSWORD_FILE"), "/somewhere/else"),
    (DEV, "StatefulSet", "postgres", (*POD, "volumes", 2, "secret", "items", 0, "path"), "another"),
)


@breaks("nothing_is_a_service_but_the_api_and_its_databases", PROD)
def workers_are_a_service(cluster):
    cluster.get("Service", "api")["spec"]["selector"] = {"app.kubernetes.io/name": "portwright"}


broken_by(
    "nothing_is_a_service_but_the_api_and_its_databases",
    (PROD, "Service", "api", ("spec", "type"), "LoadBalancer"),
)
broken_by(
    "the_management_port_stays_inside",
    (PROD, "Service", "api", ("spec", "ports", 0, "targetPort"), "management"),
    (PROD, "Service", "api", ("spec", "ports", 0, "targetPort"), 9464),
)
broken_by(
    "the_namespace_admits_restricted_pods_only",
    (PROD, "Namespace", "portwright", ("metadata", "labels", "pod-security.kubernetes.io/enforce"), "baseline"),
    (PROD, "Deployment", "api", ("metadata", "namespace"), "default"),
)


@breaks("the_namespace_admits_restricted_pods_only", DEV, PROD)
def there_is_no_namespace(cluster):
    cluster.remove(cluster.get("Namespace", "portwright"))


@breaks("one_job_migrates_and_nobody_else", DEV, PROD)
def there_is_no_migration(cluster):
    cluster.remove(cluster.get("Job", "migration"))


broken_by(
    "one_job_migrates_and_nobody_else",
    (PROD, "Deployment", "api", (*FIRST, "args"), ["serve", "--role", "api"]),
    (PROD, "Deployment", "worker", (*FIRST, "args"), ["migrate", "up"]),
)


def configured(before, after):
    def change(cluster):
        data = cluster.get("ConfigMap", "redis")["data"]
        assert before in data["redis.conf"]
        data["redis.conf"] = data["redis.conf"].replace(before, after)

    return change


MUTATIONS += [
    ("a_redis_of_ours_keeps_its_queue", DEV, configured("noeviction", "allkeys-lru")),
    ("a_redis_of_ours_keeps_its_queue", DEV, configured("appendonly yes", "appendonly no")),
]


@breaks("a_redis_of_ours_keeps_its_queue", DEV)
def the_queue_is_in_an_empty_dir(cluster):
    redis = cluster.get("StatefulSet", "redis")
    redis["spec"]["volumeClaimTemplates"] = []
    spec(redis)["volumes"].append({"name": "queue", "emptyDir": {"sizeLimit": "1Gi"}})


@breaks("no_variables_are_made_of_services", DEV, PROD)
def services_are_linked(cluster):
    del spec(cluster.get("Deployment", "api"))["enableServiceLinks"]


broken_by(
    "every_setting_is_one_of_the_product",
    (PROD, "ConfigMap", "settings", ("data", "DB_HOSTS"), "db"),
    (PROD, "ConfigMap", "settings", ("data", "COMPUTE_MIN_WORKER"), "1"),
)
broken_by(
    "whatever_is_named_is_there",
    (PROD, "Service", "api", ("spec", "ports", 0, "targetPort"), "https"),
    (PROD, "HorizontalPodAutoscaler", "api", ("spec", "scaleTargetRef", "name"), "server"),
)


@breaks("whatever_is_named_is_there", DEV)
def the_settings_are_called_something_else(cluster):
    containers(cluster.get("Deployment", "api"))[0]["envFrom"] = [{"configMapRef": {"name": "setting"}}]
