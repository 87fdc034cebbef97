"""Checks the manifests of deploy/kubernetes: they render, three versions of Kubernetes take them, and they keep rules.

Every rule is seen to fail, too: on manifests that were broken on purpose.
"""

import pathlib
import shutil
import sys

import kubernetes_validate
import yaml

import mutations
from manifests import name, render
from rules import RULES

KUBERNETES = pathlib.Path(__file__).parents[3] / "deploy/kubernetes"
OVERLAYS = ["development", "production"]
# `preStop.sleep` is on by default from 1.30 and settled in 1.34; then the newest.
VERSIONS = ["1.32.0", "1.34.0", "1.37.0"]
# Kinds that a cluster does not bring itself; our rules are all that looks at them.
CUSTOM = {"ScaledObject", "PodMonitor", "PrometheusRule"}


def validated(things, where):
    """How many things were looked at, and what is wrong with them."""
    problems, count = [], 0
    for version in VERSIONS:
        for thing in things:
            if thing["kind"] in CUSTOM:
                continue
            try:
                kubernetes_validate.validate(thing, version, strict=True)
                count += 1
            except kubernetes_validate.ValidationError as error:
                place = "/".join(map(str, error.path))
                problems.append(f"{where}, Kubernetes {version}: {name(thing)} {place}: {error.message}")
            except kubernetes_validate.SchemaNotFoundError as error:
                problems.append(f"{where}: {error.message}")
    return count, problems


def broken_rules(manifests, where):
    return [f"{where}: {rule}: {what}" for rule, check in RULES.items() for what in check(manifests)]


def unnoticed(rendered):
    """Mutations that no rule, or not the right one, noticed, and rules that were not seen to notice anything."""
    for number, (rule, overlay, change) in enumerate(mutations.MUTATIONS):
        mutant = rendered[overlay].copy()
        change(mutant)
        if not list(RULES[rule](mutant)):
            yield f"mutation {number} of {overlay} does not break {rule}"
    seen = {rule for rule, _, _ in mutations.MUTATIONS}
    yield from (f"no mutation breaks {rule}" for rule in RULES.keys() - seen)


def typo_is_noticed(rendered):
    """The validator is strict only if it is told to be."""
    mutant = rendered["production"].copy()
    mutant.get("Deployment", "api")["spec"]["template"]["spec"]["securityContext"]["runAsNonRoott"] = True
    _, problems = validated(mutant.objects, "mutant")
    return [] if len(problems) == len(VERSIONS) else ["a misspelt field passes the validator"]


def unrendered():
    """Without kubectl, only what is whole in its file can be looked at."""
    things = []
    for file in sorted(KUBERNETES.glob("[bc]*/**/*.yaml")):
        if file.name != "kustomization.yaml":
            things += [each for each in yaml.safe_load_all(file.read_text()) if each]
    count, problems = validated(things, "unrendered")
    print("kubectl is not installed: NOTHING WAS RENDERED and no rule was checked;")
    print(f"only {len(things)} objects as they stand in their files were validated, {count} times")
    return problems


def main():
    if not shutil.which("kubectl"):
        problems = unrendered()
    else:
        rendered = {overlay: render(KUBERNETES / "overlays" / overlay) for overlay in OVERLAYS}
        problems = typo_is_noticed(rendered)
        for overlay, manifests in rendered.items():
            count, invalid = validated(manifests.objects, overlay)
            problems += invalid + broken_rules(manifests, overlay)
            custom = sum(thing["kind"] in CUSTOM for thing in manifests.objects)
            total = len(manifests.objects)
            print(f"{overlay}: {total} objects, {custom} of them without a schema; valid {count} times")
        problems += unnoticed(rendered)
        print(f"{len(RULES)} rules on each overlay, and {len(mutations.MUTATIONS)} ways to break one tried")
    if problems:
        sys.exit("\n".join(problems))


main()
