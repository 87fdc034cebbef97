"""Checks deploy/observability: alerts and dashboards are valid, say what to do, and name metrics that there are.

    check.py            checks
    check.py --write    writes the alerts of the Prometheus operator, which are those of Prometheus
    check.py --metrics  prints every metric that something of ours names, for a test that asks a server for them
"""

import json
import pathlib
import re
import subprocess
import sys
import tempfile

import yaml

from promql import grouped, metrics

ROOT = pathlib.Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
# What is exported; a test of that crate holds the table against what it does.
EXPORTED = ROOT / "adapters/metrics/README.md"
HERE = DEPLOY / "observability"
OPERATOR = DEPLOY / "kubernetes/components/prometheus/rules.yaml"
SCALER = DEPLOY / "kubernetes/components/keda/scaled-object.yaml"
# What Prometheus says of its targets.
SCRAPED = {"up": set()}
TARGET = {"job", "instance", "namespace", "pod", "le"}


def table():
    """The labels of every metric that is exported, under every name that it is stored by."""
    promised, stored = {}, {}
    for line in EXPORTED.read_text().splitlines():
        row = re.match(r"\| `([a-z_]+)` \| (histogram|gauge|counter) \| ([`a-z_ ]*)\|", line)
        if row:
            name, kind, labels = row.group(1), row.group(2), set(re.findall(r"`(\w+)`", row.group(3)))
            promised[name] = kind
            parts = ["_bucket", "_sum", "_count"] if kind == "histogram" else [""]
            stored |= {name + part: labels for part in parts}
    return promised, stored


def dashboards():
    files = sorted((HERE / "grafana/dashboards").glob("*.json"))
    return {file.name: json.loads(file.read_text()) for file in files}


def alerts():
    groups = yaml.safe_load((HERE / "alerts.yaml").read_text())["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


def expressions():
    """Everything that is asked of Prometheus, with where."""
    for called, rule in alerts().items():
        yield f"alert {called}", rule["expr"]
    for file, board in dashboards().items():
        for panel in board["panels"]:
            for target in panel["targets"]:
                yield f"{file}, {panel['title']}", target["expr"]
        for annotation in board["annotations"]["list"]:
            yield f"{file}, {annotation['name']}", annotation["expr"]
    for trigger in yaml.safe_load(SCALER.read_text())["spec"]["triggers"]:
        yield f"KEDA, {trigger['name']}", trigger["metadata"]["query"]


def used():
    """Every metric that is named, as it is stored."""
    return {metric for _, expression in expressions() for metric in metrics(expression)}


def names_are_promised():
    _, stored = table()
    known = stored | SCRAPED
    for where, expression in expressions():
        found = metrics(expression)
        for metric, labels in found.items():
            if metric not in known:
                yield f"{where}: no metric is called {metric}"
            elif unknown := labels - known[metric] - TARGET:
                yield f"{where}: {metric} has no label {', '.join(sorted(unknown))}"
        possible = TARGET.union(*(known.get(metric, set()) for metric in found))
        if unknown := grouped(expression) - possible:
            yield f"{where}: groups by {', '.join(sorted(unknown))}, which no metric in it has"


def alerts_say_what_to_do():
    sections = re.findall(r"^## (\w+)$", (HERE / "runbooks.md").read_text(), re.MULTILINE)
    cases = (HERE / "alerts.test.yaml").read_text()
    for called, rule in alerts().items():
        if rule["annotations"].get("runbook") != f"deploy/observability/runbooks.md#{called.lower()}":
            yield f"{called}: no link to its runbook"
        if called not in sections:
            yield f"{called}: no section in runbooks.md"
        if rule["labels"].get("severity") not in ["page", "ticket"]:
            yield f"{called}: neither page nor ticket"
        if not rule["annotations"].get("summary"):
            yield f"{called}: no summary"
        if f'alertname="{called}"' not in cases:
            yield f"{called}: no case in alerts.test.yaml lets it fire"
    for section in sections:
        if section not in alerts():
            yield f"runbooks.md: there is no alert {section}"


def dashboards_are_whole():
    boards = dashboards()
    if len({board["uid"] for board in boards.values()}) != len(boards):
        yield "two dashboards have one uid"
    listed = yaml.safe_load((HERE / "grafana/dashboards/kustomization.yaml").read_text())
    if sorted(listed["configMapGenerator"][0]["files"]) != sorted(boards):
        yield "kustomization.yaml does not list the dashboards that are there"
    for file, board in boards.items():
        numbers = [panel["id"] for panel in board["panels"]]
        if len(set(numbers)) != len(numbers):
            yield f"{file}: two panels have one id"
        for panel in board["panels"]:
            if panel["datasource"]["uid"] != "${datasource}":
                yield f"{file}, {panel['title']}: asks a data source of its own"


def promtool(*arguments, cwd=HERE):
    done = subprocess.run(["promtool", *arguments], cwd=cwd, capture_output=True, text=True, check=False)
    return [] if done.returncode == 0 else [f"promtool {' '.join(arguments)}: {done.stdout}{done.stderr}"]


def expressions_are_valid():
    """promtool reads rules only, so every expression becomes one."""
    rules = [
        {"record": f"expression_{number}", "expr": expression.replace("$__rate_interval", "5m")}
        for number, (_, expression) in enumerate(expressions())
    ]
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "expressions.yaml"
        file.write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": rules}]}))
        return promtool("check", "rules", "--lint-fatal", str(file))


def for_the_operator():
    text = (HERE / "alerts.yaml").read_text()
    body = "".join(f"  {line}" if line.strip() else line for line in text[text.index("groups:") :].splitlines(True))
    return (
        "# Written by tests/interop/observability/check.py --write, out of deploy/observability/alerts.yaml.\n"
        "apiVersion: monitoring.coreos.com/v1\n"
        "kind: PrometheusRule\n"
        "metadata:\n"
        "  name: portwright\n"
        "  labels: {app.kubernetes.io/name: portwright}\n"
        f"spec:\n{body}"
    )


def mistakes_are_noticed():
    """The checks see what is wrong: names that there are not, labels that a metric does not have."""
    promised, stored = table()
    if len(promised) < 25:
        yield "the table of metrics is not read"
    wrong = 'sum by (lane) (rate(jobs_enqueued{queue="a"}[5m])) / jobs_in_state{queu=~"a|b}"} > time() and up'
    if metrics(wrong) != {"jobs_enqueued": {"queue"}, "jobs_in_state": {"queu"}, "up": set()}:
        yield f"an expression is misread as {metrics(wrong)}"
    if grouped(wrong) != {"lane"} or "jobs_enqueued" in stored:
        yield "mistakes would go unnoticed"


def main():
    if sys.argv[1:] == ["--write"]:
        OPERATOR.write_text(for_the_operator())
        return
    if sys.argv[1:] == ["--metrics"]:
        print("\n".join(sorted(used() - SCRAPED.keys())))
        return
    problems = [*mistakes_are_noticed(), *names_are_promised(), *alerts_say_what_to_do(), *dashboards_are_whole()]
    problems += expressions_are_valid()
    problems += promtool("check", "rules", "--lint-fatal", "alerts.yaml")
    problems += promtool("test", "rules", "alerts.test.yaml")
    problems += promtool("check", "config", "prometheus.yml")
    if OPERATOR.read_text() != for_the_operator():
        problems.append(f"{OPERATOR.relative_to(DEPLOY)} has other alerts; check.py --write writes it")
    if problems:
        sys.exit("\n".join(problems))
    count = len(list(expressions()))
    print(f"{len(alerts())} alerts and {len(dashboards())} dashboards: {count} expressions name {len(used())} metrics")


main()
