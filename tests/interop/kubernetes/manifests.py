"""What kustomize rendered, as objects that rules can ask."""

import copy
import subprocess

import yaml

# What takes from a cluster that which is ours; databases of development are held to the same rules.
OURS = {"app.kubernetes.io/name": "portwright"}


def render(overlay):
    """The objects of an overlay, as `kubectl apply` would get them."""
    done = subprocess.run(["kubectl", "kustomize", overlay], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{overlay} does not render: {done.stderr.strip()}")
    return Manifests([each for each in yaml.safe_load_all(done.stdout) if each])


def name(thing):
    return f"{thing['kind']}/{thing['metadata']['name']}"


def selects(selector, labels):
    """Whether a label selector means these labels; an empty one means all."""
    if any(labels.get(key) != value for key, value in selector.get("matchLabels", {}).items()):
        return False
    for rule in selector.get("matchExpressions", []):
        value = labels.get(rule["key"])
        meant = {
            "In": value in rule.get("values", []),
            "NotIn": value not in rule.get("values", []),
            "Exists": value is not None,
            "DoesNotExist": value is None,
        }[rule["operator"]]
        if not meant:
            return False
    return True


class Manifests:
    """All objects of one overlay."""

    def __init__(self, objects):
        self.objects = objects

    def copy(self):
        return Manifests(copy.deepcopy(self.objects))

    def of(self, *kinds):
        return [each for each in self.objects if each["kind"] in kinds]

    def get(self, kind, called):
        """The only object of this kind and name; kustomize appends a hash to some names."""
        found = [each for each in self.of(kind) if each["metadata"]["name"].split("-")[0] == called]
        if len(found) != 1:
            raise LookupError(f"{len(found)} × {kind} {called}")
        return found[0]

    def remove(self, thing):
        self.objects = [each for each in self.objects if each is not thing]

    def workloads(self):
        return self.of("Deployment", "StatefulSet", "Job", "DaemonSet", "CronJob")

    def deployments(self):
        """The long-running workloads that are ours."""
        return [each for each in self.of("Deployment") if selects({"matchLabels": OURS}, pod(each)["labels"])]

    def settings(self):
        return self.get("ConfigMap", "settings")["data"]


def pod(workload):
    """The labels and the specification of the pods of a workload."""
    template = workload["spec"]["template"]
    return {"labels": template["metadata"].get("labels", {}), "spec": template["spec"]}


def spec(workload):
    return workload["spec"]["template"]["spec"]


def containers(workload):
    return spec(workload)["containers"] + spec(workload).get("initContainers", [])


def seconds(duration):
    """A duration as settings write it."""
    number, unit = duration.rstrip("hms"), duration.lstrip("0123456789")
    return int(number) * {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "": 0.001}[unit]
