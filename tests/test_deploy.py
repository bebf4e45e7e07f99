"""The files of `deploy/`: they parse, what they name exists, and they watch what is exported.

The alerts are run by promtool where it is installed (Debian: ``apt-get install prometheus``).
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard
from prometheus_client.metrics_core import Metric

from plait.cli.serve import KNOWN, TABLE, ServeSettings
from plait.cli.settings import gather, load_settings
from plait.scheduler.admission import LimiterState
from plait.server.metrics import GatewayMetrics, Observed

DEPLOY = Path(__file__).parents[1] / "deploy"
DASHBOARD = DEPLOY / "grafana" / "dashboards" / "plait.json"
RULES = DEPLOY / "prometheus" / "rules.yml"
PROMTOOL = shutil.which("promtool")
ENDS = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def exported() -> dict[str, set[str]]:
    """The names of all series that the gateway exports, with their labels."""
    metrics = GatewayMetrics(Observed(lambda: LimiterState(1, 0, 0), lambda: 0, lambda: (),
                                      lambda: 0))
    labels: dict[str, set[str]] = {"breaker_state": {"model", "method"}, "build_info": {"version"}}
    for collector in metrics.registry._collector_to_names:
        if hasattr(collector, "_labelnames"):
            labels[collector._name.removeprefix("plait_")] = set(collector._labelnames)
    found = {}
    for family in metrics.registry.collect():
        assert isinstance(family, Metric)
        if family.name.startswith("plait_"):
            for end in ENDS[family.type]:
                known = labels.get(family.name.removeprefix("plait_"), set())
                found[family.name + end] = known | ({"le"} if end == "_bucket" else set())
    return found


def panels() -> list[dict[str, Any]]:
    board = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def expressions() -> Iterator[tuple[str, str]]:
    """Every expression of the dashboard and the alerts, with where it stands."""
    for panel in panels():
        for target in panel["targets"]:
            yield panel["title"], target["expr"]
    for group in read(RULES)["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]


def test_every_expression_uses_series_and_labels_that_are_exported() -> None:
    known = exported()
    assert len(known) > 40
    for where, expression in expressions():
        names = set(re.findall(r"plait_\w+", expression))
        assert names or expression.startswith("up{"), where
        assert names <= known.keys(), where
        labels = {"job", "instance"}.union(*(known[name] for name in names))
        used = set(re.findall(r'(\w+)\s*(?:=~|!~|!=|=)\s*"', expression))
        for group in re.findall(r"by \(([^)]*)\)", expression):
            used |= {label.strip() for label in group.split(",")}
        assert used <= labels, where


def test_everything_that_is_exported_is_on_the_dashboard() -> None:
    shown = " ".join(target["expr"] for panel in panels() for target in panel["targets"])
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in exported()}
    missing = [name for name in sorted(families) if not re.search(rf"{name}(_|\W|$)", shown)]
    assert missing == []


def test_the_dashboard_is_one_by_grafanas_own_models() -> None:
    """Nothing in it is unknown to the types that Grafana publishes: it comes back whole."""
    board = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    register_default_plugins()
    again = json.loads(JSONEncoder().encode(Dashboard.from_json(board)))

    def compare(ours: Any, theirs: Any, where: str) -> None:
        if isinstance(ours, dict):
            for key, value in ours.items():
                assert key in theirs, f"{where}/{key}"
                compare(value, theirs[key], f"{where}/{key}")
        elif isinstance(ours, list):
            assert len(ours) == len(theirs), where
            for place, (one, two) in enumerate(zip(ours, theirs, strict=True)):
                compare(one, two, f"{where}/{place}")
        else:
            assert ours == theirs, where

    compare(board, again, "")


def test_panels_have_a_place_of_their_own_and_say_what_they_show() -> None:
    board = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"])
                 for y in range(place["y"], place["y"] + place["h"])}
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
    assert all(panel["description"] and panel["targets"] for panel in panels())
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


def test_the_compose_file_names_only_what_exists() -> None:
    compose = read(DEPLOY / "compose.yml")
    assert set(compose["services"]) == {"gateway", "vllm", "prometheus", "grafana"}
    for name, service in compose["services"].items():
        assert ("build" in service) != ("image" in service), name
        if "build" in service:
            context = (DEPLOY / service["build"]["context"]).resolve()
            dockerfile = context / service["build"]["dockerfile"]
            copied = re.findall(r"^COPY (.+) \S+$", dockerfile.read_text(), re.MULTILINE)
            assert all((context / path).exists() for line in copied for path in line.split())
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            there = (DEPLOY / source).exists() if source.startswith(".") else (
                source in compose["volumes"])
            assert there, f"{name}: {source}"
        assert set(service.get("depends_on", ())) <= set(compose["services"])
        assert set(service.get("secrets", ())) <= set(compose["secrets"])


def test_the_variables_of_the_gateway_are_settings_that_it_knows(tmp_path: Path) -> None:
    given = read(DEPLOY / "compose.yml")["services"]["gateway"]["environment"]
    environ = {name: re.sub(r"\$\{\w+:-(.*)\}", r"\1", value) for name, value in given.items()
               if name.startswith("PLAIT_")}
    assert load_settings({}, environ, tmp_path).engine == "http://vllm:8000/v1"
    told = ServeSettings(**gather(KNOWN, {}, environ, tmp_path, TABLE))
    assert (told.host, told.port, told.keys) == ("0.0.0.0", 8080, "/run/secrets/keys")
    assert (told.store, told.texts, told.json_logs) == ("/data/runs.sqlite", "keep", True)


def test_what_is_scraped_and_shown_are_services_of_the_compose_file() -> None:
    services = read(DEPLOY / "compose.yml")["services"]
    scraped = read(DEPLOY / "prometheus" / "prometheus.yml")
    targets = {job["job_name"]: job["static_configs"][0]["targets"][0]
               for job in scraped["scrape_configs"]}
    assert targets == {"plait": "gateway:8080", "vllm": "vllm:8000"}
    assert all(target.split(":")[0] in services for target in targets.values())
    provisioning = DEPLOY / "grafana" / "provisioning"
    (source,) = read(provisioning / "datasources" / "prometheus.yml")["datasources"]
    assert source["url"] == "http://prometheus:9090"
    assert {panel["datasource"]["uid"] for panel in panels()} == {source["uid"]}
    (provider,) = read(provisioning / "dashboards" / "plait.yml")["providers"]
    mounted = [v for v in services["grafana"]["volumes"] if provider["options"]["path"] in v]
    assert mounted == [f"./grafana/dashboards:{provider['options']['path']}:ro"]


def test_every_alert_is_explained_and_tested() -> None:
    page = (DEPLOY.parent / "docs" / "monitoring.md").read_text(encoding="utf-8")
    tested = read(RULES.with_name("rules_test.yml"))["tests"]
    for group in read(RULES)["groups"]:
        for rule in group["rules"]:
            assert rule["alert"] in page
            fires = [bool(case.get("exp_alerts")) for test in tested
                     for case in test["alert_rule_test"] if case["alertname"] == rule["alert"]]
            assert sorted(fires) == [False, True], rule["alert"]


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed")
@pytest.mark.parametrize("command", [
    ("check", "config", "prometheus.yml"), ("check", "rules", "rules.yml"),
    ("test", "rules", "rules_test.yml")])
def test_promtool_finds_nothing_wrong(command: tuple[str, ...]) -> None:
    assert PROMTOOL is not None
    done = subprocess.run([PROMTOOL, *command], cwd=DEPLOY / "prometheus", text=True,
                          capture_output=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed")
def test_promtool_finds_nothing_wrong_with_the_metrics() -> None:
    assert PROMTOOL is not None
    metrics = GatewayMetrics(Observed(lambda: LimiterState(1, 0, 0), lambda: 0, lambda: (),
                                      lambda: 0))
    metrics.request("chat", 200, 0.1)
    done = subprocess.run([PROMTOOL, "check", "metrics"], input=metrics.text(),
                          capture_output=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
