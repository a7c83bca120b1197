"""The platform applied to an AWS of this machine, and what is there then. The last test ends it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.session import get_session
from botocore.validate import ParamValidator

from console.run_task import PARAMETER, ROLES, SIZES
from tests.e2e.folder import PROJECT
from tests.infra import cron
from tests.infra.terraform import REGION, SECRETS, Applied, Terraform, applied, five_values, tool

ACCOUNT = "123456789012"  # moto's
WORKER_FAMILIES = {f"dsp-worker-{size}-{role}" for size in SIZES for role in ROLES}


@pytest.fixture(scope="module")
def platform() -> Iterator[Applied]:
    with applied() as made:
        yield made


@pytest.fixture(scope="module")
def outputs(platform: Applied) -> dict[str, Any]:
    return platform.outputs()


@pytest.fixture(scope="module")
def schedules(platform: Applied) -> dict[str, Any]:
    """By name without the prefix, as EventBridge Scheduler has them."""
    scheduler = platform.cloud.client("scheduler")
    names = [one["Name"] for one in scheduler.list_schedules(GroupName="dsp")["Schedules"]]
    return {name.removeprefix("dsp-"): scheduler.get_schedule(Name=name, GroupName="dsp") for name in names}


@pytest.fixture(scope="module")
def definitions(platform: Applied) -> dict[str, Any]:
    """Task definitions by family, as ECS has them."""
    ecs = platform.cloud.client("ecs")
    told = [
        ecs.describe_task_definition(taskDefinition=arn) for arn in ecs.list_task_definitions()["taskDefinitionArns"]
    ]
    return {one["taskDefinition"]["family"]: one["taskDefinition"] for one in told}


def problems(shape: str, value: Any) -> str:
    """What botocore would refuse before it asks ECS: wrong or unknown names, wrong types."""
    model = get_session().get_service_model("ecs").shape_for(shape)
    return str(ParamValidator().validate(value, model).generate_report())


def test_one_apply_makes_the_platform(platform: Applied) -> None:
    """From nothing, without a second go."""
    assert platform.first.code == 0, platform.first.text[-3000:]
    assert "Apply complete!" in platform.first.text


def test_what_was_applied_needs_no_changes(platform: Applied) -> None:
    """The second apply replaces nothing, and then the plan is empty."""
    assert platform.second.code == 0, platform.second.text[-3000:]
    assert re.search(r"Apply complete! Resources: 0 added, \d+ changed, 0 destroyed\.", platform.second.text)
    assert platform.plan.code == 0, platform.plan.text[-3000:]
    assert "No changes." in platform.plan.text


def test_the_outputs_tell_what_to_do_next(outputs: dict[str, Any]) -> None:
    """With the names of this platform in the commands."""
    assert "make push REGISTRY=123456789012.dkr.ecr.us-east-1.amazonaws.com" in outputs["next"]
    assert 'make run-task TASK="DailyPipeline --date 2026-11-01"' in outputs["next"]
    assert outputs["luigid_page"] in outputs["next"]


SCHEDULES = {
    "daily": ("30 3 * * ? *", ["DailyPipeline", "--date", "yesterday"], "medium-export", "FARGATE"),
    "hourly-impression": (
        "20 * * * ? *",
        ["BigQueryLoad", "--event", "impression", "--hour", "last"],
        "small-ingest",
        "FARGATE_SPOT",
    ),
    "hourly-click": (
        "25 * * * ? *",
        ["BigQueryLoad", "--event", "click", "--hour", "last"],
        "small-ingest",
        "FARGATE_SPOT",
    ),
}


def test_there_are_just_these_schedules(schedules: dict[str, Any]) -> None:
    """Each is enabled, in UTC, at times that come."""
    assert set(schedules) == set(SCHEDULES)
    for name, one in schedules.items():
        expression = one["ScheduleExpression"].removeprefix("cron(").removesuffix(")")
        assert expression == SCHEDULES[name][0]
        assert cron.problem(expression) is None
        assert (one["State"], one["ScheduleExpressionTimezone"]) == ("ENABLED", "UTC")
        assert one["FlexibleTimeWindow"] == {"Mode": "OFF"}
    day = next(cron.times(SCHEDULES["daily"][0], datetime(2026, 11, 21, 12, tzinfo=UTC)))
    assert day == datetime(2026, 11, 22, 3, 30, tzinfo=UTC)


@pytest.mark.parametrize("name", sorted(SCHEDULES))
def test_a_schedule_starts_its_command_as_its_role(
    platform: Applied, schedules: dict[str, Any], definitions: dict[str, Any], name: str
) -> None:
    """On our cluster, in a private subnet, by a task definition whose role is the schedule's, and told its time."""
    _, command, kind, capacity = SCHEDULES[name]
    target = schedules[name]["Target"]
    assert target["Arn"] == f"arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/dsp"
    ecs = target["EcsParameters"]
    definition = definitions[f"dsp-worker-{kind}"]
    assert ecs["TaskDefinitionArn"] == definition["taskDefinitionArn"]
    assert definition["taskRoleArn"] == f"arn:aws:iam::{ACCOUNT}:role/dsp-{kind.rpartition('-')[2]}"
    assert [one["capacityProvider"] for one in ecs["CapacityProviderStrategy"]] == [capacity]
    assert ecs["NetworkConfiguration"]["awsvpcConfiguration"]["AssignPublicIp"] == "DISABLED"

    overrides = json.loads(target["Input"])
    assert problems("TaskOverride", overrides) == ""
    (container,) = overrides["containerOverrides"]
    assert container["name"] in {one["name"] for one in definition["containerDefinitions"]}
    assert container["command"] == command
    assert container["environment"] == [{"name": "DSP_SCHEDULED_AT", "value": "<aws.scheduler.scheduled-time>"}]


@pytest.mark.parametrize("name", sorted(SCHEDULES))
def test_a_run_that_cannot_start_is_tried_again_and_then_kept(
    platform: Applied, schedules: dict[str, Any], name: str
) -> None:
    """For hours, and then in a queue of its own; the scheduler's role may do just that and no more."""
    target = schedules[name]["Target"]
    assert target["RetryPolicy"] == {"MaximumEventAgeInSeconds": 6 * 3600, "MaximumRetryAttempts": 10}
    assert target["DeadLetterConfig"]["Arn"] == f"arn:aws:sqs:{REGION}:{ACCOUNT}:dsp-dead-letters"
    assert target["RoleArn"] == f"arn:aws:iam::{ACCOUNT}:role/dsp-schedules"
    allowed = {action for one in _statements(platform, "dsp-schedules") for action in _list(one["Action"])}
    assert allowed == {
        "ecs:RunTask",
        "ecs:TagResource",
        "iam:PassRole",
        "sqs:SendMessage",
        "kms:Decrypt",
        "kms:GenerateDataKey",
    }
    start = next(one for one in _statements(platform, "dsp-schedules") if one["Sid"] == "Start")
    assert {arn.rpartition("/")[2] for arn in start["Resource"]} == {f"{family}:*" for family in WORKER_FAMILIES}


def test_there_is_a_task_definition_for_each_size_and_role(definitions: dict[str, Any]) -> None:
    """In sizes that Fargate knows."""
    assert set(definitions) == WORKER_FAMILIES | {"dsp-luigid"}
    sizes = {"small": ("1024", "4096"), "medium": ("2048", "8192"), "large": ("8192", "32768")}
    for family in WORKER_FAMILIES:
        size = family.split("-")[2]
        assert (definitions[family]["cpu"], definitions[family]["memory"]) == sizes[size]


def test_container_definitions_are_what_ecs_takes(platform: Applied) -> None:
    """As the provider sends them, not as moto keeps them: botocore knows every name and type."""
    found = platform.resources("aws_ecs_task_definition")
    assert len(found) == len(WORKER_FAMILIES) + 1
    for address, values in found.items():
        for container in json.loads(values["container_definitions"]):
            assert problems("ContainerDefinition", container) == "", address


def test_containers_may_do_little(definitions: dict[str, Any]) -> None:
    """No root, no privilege, no writable root, no capability; a first process that reaps; time to stop."""
    for family, definition in definitions.items():
        main, *beside = definition["containerDefinitions"]
        assert main["readonlyRootFilesystem"] is True, family
        assert main["user"] == "10001:10001", family
        assert main["privileged"] is False, family
        assert main["stopTimeout"] == (60 if family == "dsp-luigid" else 120), family
        assert [mount["containerPath"] for mount in main["mountPoints"] if not mount["readOnly"]][-1] == "/tmp"  # noqa: S108
        assert [one["name"] for one in beside] == ["datadog-agent"]
        for container in (main, *beside):
            assert container["linuxParameters"]["initProcessEnabled"] is True
            assert container["linuxParameters"]["capabilities"]["drop"] == ["ALL"]
        assert sum(one["memory"] for one in definition["containerDefinitions"]) <= int(definition["memory"])


def test_the_images_are_those_of_the_release(definitions: dict[str, Any]) -> None:
    """By the digests that were pushed."""
    registry = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/dsp"
    for family, definition in definitions.items():
        image = definition["containerDefinitions"][0]["image"]
        kind, digit = ("luigid", "2") if family == "dsp-luigid" else ("pipeline", "1")
        assert image == f"{registry}/{kind}@sha256:{digit * 64}"


def test_a_run_is_told_all_that_the_images_settings_ask_for(definitions: dict[str, Any]) -> None:
    """Every variable of docker/production.cfg; and only a branch's runs move a branch's pointers."""
    asked = set(re.findall(r"\$\{(\w+)\}", (PROJECT / "docker" / "production.cfg").read_text()))
    for family in WORKER_FAMILIES:
        told = {one["name"]: one["value"] for one in definitions[family]["containerDefinitions"][0]["environment"]}
        assert asked <= set(told), family
        assert told["DSP_ENVIRONMENT"] == ("branch" if family.endswith("-branch") else "production")
        assert told["DSP_LAKE"] == "s3://acme-dsp-lake/lake"
        assert told["DSP_SCHEDULER_HOST"] == "luigid.dsp.internal"
        assert told["DD_AGENT_HOST"] == "127.0.0.1"
        assert told["DSP_NOTIFY_SNS_TOPIC_ARN"] == f"arn:aws:sns:{REGION}:{ACCOUNT}:dsp-notices"


def test_google_is_reached_without_a_key(definitions: dict[str, Any], outputs: dict[str, Any]) -> None:
    """The configuration says where to ask and as whom; there is nothing in it to steal."""
    environment = definitions["dsp-worker-small-ingest"]["containerDefinitions"][0]["environment"]
    (text,) = [one["value"] for one in environment if one["name"] == "DSP_GOOGLE_CREDENTIALS"]
    assert text == outputs["google_credentials"]
    said = json.loads(text)
    assert said["type"] == "external_account"
    assert said["audience"] == (
        "//iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/dsp-aws/providers/aws"
    )
    assert said["service_account_impersonation_url"].endswith(
        "/serviceAccounts/dsp-pipeline@acme-ads.iam.gserviceaccount.com:generateAccessToken"
    )
    assert not {"private_key", "client_secret", "refresh_token"} & set(said)


def test_secrets_are_names_and_nothing_else(platform: Applied, definitions: dict[str, Any]) -> None:
    """Their values are in no state, output, plan, log, variable or file; containers name where they are."""
    folder = platform.terraform.folder
    texts = {str(path): path.read_text(errors="replace") for path in folder.rglob("*") if path.is_file()}
    assert any(path.endswith("terraform.tfstate") for path in texts)
    texts |= {"first": platform.first.text, "second": platform.second.text, "plan": platform.plan.text}
    texts["outputs"], texts["show"] = json.dumps(platform.outputs()), platform.state
    for where, text in texts.items():
        if ".terraform/" in where:
            continue
        for value in SECRETS.values():
            assert value not in text, where
        text = text.replace("AKIAIOSFODNN7EXAMPLE", "")  # of AWS's documentation; moto calls the account so
        assert not re.search(r"\b(AKIA|ASIA)[A-Z0-9]{16}\b|-----BEGIN [A-Z ]*PRIVATE KEY|xox[bp]-\w", text), where
    main, agent = definitions["dsp-worker-large-train"]["containerDefinitions"]
    (webhook,), (key,) = main["secrets"], agent["secrets"]
    assert webhook["name"] == "DSP_NOTIFY_SLACK_WEBHOOK_URL"
    assert webhook["valueFrom"].startswith(f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:dsp/slack")
    assert key["valueFrom"].startswith(f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:dsp/datadog")
    readable = next(one for one in _statements(platform, "dsp-start") if one["Sid"] == "ReadNamedSecrets")
    assert sorted(_list(readable["Resource"])) == sorted([webhook["valueFrom"], key["valueFrom"]])


def test_the_lake_is_kept_safe(platform: Applied) -> None:
    """Versions, our key, nothing public, and rules by prefix."""
    s3, bucket = platform.cloud.client("s3"), "acme-dsp-lake"
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    (rule,) = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms"
    assert rule["ApplyServerSideEncryptionByDefault"]["KMSMasterKeyID"].startswith(
        f"arn:aws:kms:{REGION}:{ACCOUNT}:key/"
    )
    assert set(s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"].values()) == {True}
    rules = {one["ID"]: one for one in s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]}
    assert rules["everything"]["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 1}
    assert {name: one["Filter"].get("Prefix", "") for name, one in rules.items()} == {
        "everything": "",
        "running": "lake/running/",
        "refused": "lake/refused/",
        "ingested": "lake/outputs/ingest/",
    }
    expiring = {one["Filter"]["Prefix"] for one in rules.values() if "Days" in one.get("Expiration", {})}
    assert expiring == {"lake/running/", "lake/refused/"}


def test_images_cannot_be_changed_and_are_scanned(platform: Applied) -> None:
    """A tag means the same bytes for ever."""
    found = platform.cloud.client("ecr").describe_repositories()["repositories"]
    assert {one["repositoryName"] for one in found} == {"dsp/pipeline", "dsp/luigid"}
    for one in found:
        assert one["imageTagMutability"] == "IMMUTABLE"
        assert one["imageScanningConfiguration"] == {"scanOnPush": True}
        assert one["encryptionConfiguration"]["encryptionType"] == "KMS"


def test_nothing_can_be_reached_from_outside(platform: Applied) -> None:
    """luigid takes what workers and the load balancer send; that one takes HTTPS from inside of the VPC."""
    ec2 = platform.cloud.client("ec2")
    groups = {one["GroupName"]: one for one in ec2.describe_security_groups()["SecurityGroups"]}
    names = {one["GroupId"]: name for name, one in groups.items()}

    def entering(name: str) -> set[tuple[int, str]]:
        return {
            (rule["FromPort"], source)
            for rule in groups[name]["IpPermissions"]
            for source in [
                *(names[pair["GroupId"]] for pair in rule["UserIdGroupPairs"]),
                *(one["CidrIp"] for one in rule["IpRanges"]),
            ]
        }

    assert entering("dsp-luigid") == {(8082, "dsp-worker"), (8082, "dsp-entrance")}
    assert entering("dsp-state") == {(2049, "dsp-luigid")}
    assert entering("dsp-entrance") == {(443, "10.82.0.0/20")}
    assert entering("dsp-worker") == set()
    for subnet in ec2.describe_subnets(Filters=[{"Name": "tag:project", "Values": ["dsp-pipeline"]}])["Subnets"]:
        assert subnet["MapPublicIpOnLaunch"] is False


def test_people_sign_in_before_they_see_luigid(platform: Applied) -> None:
    """An internal load balancer that only speaks TLS, and asks the provider first."""
    elb = platform.cloud.client("elbv2")
    (balancer,) = elb.describe_load_balancers()["LoadBalancers"]
    assert balancer["Scheme"] == "internal"
    (listener,) = elb.describe_listeners(LoadBalancerArn=balancer["LoadBalancerArn"])["Listeners"]
    assert (listener["Protocol"], listener["Port"]) == ("HTTPS", 443)
    first, then = listener["DefaultActions"]
    assert first["Type"] == "authenticate-oidc"
    assert first["AuthenticateOidcConfig"]["Issuer"] == "https://login.acme.example"
    assert first["AuthenticateOidcConfig"]["ClientId"] == "dsp"
    assert then["Type"] == "forward"


def test_luigid_is_one_container_with_a_name_and_a_memory(platform: Applied, definitions: dict[str, Any]) -> None:
    """Never two at once, in private subnets, its state on an encrypted EFS that only its role may mount."""
    (service,) = platform.cloud.client("ecs").describe_services(cluster="dsp", services=["dsp-luigid"])["services"]
    assert (service["desiredCount"], service["launchType"]) == (1, "FARGATE")
    (written,) = platform.resources("aws_ecs_service").values()  # of these two moto tells nothing
    assert written["deployment_maximum_percent"] == 100
    assert written["deployment_minimum_healthy_percent"] == 0
    assert service["networkConfiguration"]["awsvpcConfiguration"]["assignPublicIp"] == "DISABLED"
    discovery = platform.cloud.client("servicediscovery")
    (name,) = discovery.list_services()["Services"]
    (space,) = discovery.list_namespaces()["Namespaces"]
    assert f"{name['Name']}.{space['Name']}" == "luigid.dsp.internal"
    assert service["serviceRegistries"][0]["registryArn"] == name["Arn"]
    efs = platform.cloud.client("efs")
    (system,) = efs.describe_file_systems()["FileSystems"]
    assert system["Encrypted"] is True
    assert len(efs.describe_mount_targets(FileSystemId=system["FileSystemId"])["MountTargets"]) == 2
    (point,) = efs.describe_access_points()["AccessPoints"]
    assert point["PosixUser"] == {"Uid": 10001, "Gid": 10001}
    volume = next(one for one in definitions["dsp-luigid"]["volumes"] if one["name"] == "state")
    assert volume["efsVolumeConfiguration"]["transitEncryption"] == "ENABLED"
    assert volume["efsVolumeConfiguration"]["authorizationConfig"]["iam"] == "ENABLED"
    actions = {action for one in _statements(platform, "dsp-luigid") for action in _list(one["Action"])}
    assert actions == {"elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"}


def test_people_are_told_what_goes_wrong(platform: Applied) -> None:
    """Alarms and failed runs go to one topic, and from there to a person."""
    topic = f"arn:aws:sns:{REGION}:{ACCOUNT}:dsp-notices"
    # As the provider has read them: checkov holds moto's libraries back, and those do not know boto3's newest protocol.
    alarms = {one["alarm_name"]: one for one in platform.resources("aws_cloudwatch_metric_alarm").values()}
    assert set(alarms) == {"dsp-nothing-exported", "dsp-dead-letters", "dsp-luigid-down"}
    assert all(one["alarm_actions"] == [topic] for one in alarms.values())
    assert alarms["dsp-nothing-exported"]["treat_missing_data"] == "breaching"
    assert alarms["dsp-luigid-down"]["treat_missing_data"] == "breaching"
    events = platform.cloud.client("events")
    pattern = json.loads(events.describe_rule(Name="dsp-failed")["EventPattern"])
    assert pattern["detail"]["lastStatus"] == ["STOPPED"]
    assert [one["Arn"] for one in events.list_targets_by_rule(Rule="dsp-failed")["Targets"]] == [topic]
    (mail,) = platform.cloud.client("sns").list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    assert (mail["Protocol"], mail["Endpoint"]) == ("email", "ads-oncall@acme.example")


@pytest.mark.parametrize(
    ("event", "is_told"),
    [
        ({"lastStatus": "STOPPED", "group": "dsp-daily", "containers": [("pipeline", 30)]}, True),
        ({"lastStatus": "STOPPED", "group": "dsp-daily", "containers": [("pipeline", 0)]}, False),
        (
            {"lastStatus": "STOPPED", "group": "dsp-daily", "containers": [("datadog-agent", 143), ("pipeline", 0)]},
            False,
        ),
        ({"lastStatus": "RUNNING", "group": "dsp-daily", "containers": [("pipeline", None)]}, False),
        ({"lastStatus": "STOPPED", "group": "service:dsp-luigid", "containers": [("luigid", 143)]}, False),
        ({"lastStatus": "STOPPED", "group": "service:dsp-luigid", "stopCode": "TaskFailedToStart"}, False),
        ({"lastStatus": "STOPPED", "group": "by-hand:TrainModel", "stopCode": "TaskFailedToStart"}, True),
    ],
)
def test_only_a_failed_run_is_told(platform: Applied, event: dict[str, Any], is_told: bool) -> None:
    """By EventBridge's own rules of matching, as AWS writes them down."""
    pattern = json.loads(platform.cloud.client("events").describe_rule(Name="dsp-failed")["EventPattern"])
    containers = [
        {"name": name, **({} if code is None else {"exitCode": code})} for name, code in event.pop("containers", [])
    ]
    detail = {"clusterArn": f"arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/dsp", "containers": containers, **event}
    told = {"source": "aws.ecs", "detail-type": "ECS Task State Change", "detail": detail}
    assert _matches(pattern, told) is is_told


def test_an_export_is_counted_by_the_line_that_it_writes(platform: Applied) -> None:
    """The filter of the alarm finds a task's last line, and neither a failure nor another task."""
    (found,) = platform.cloud.client("logs").describe_metric_filters(logGroupName="/dsp/worker")["metricFilters"]
    words = re.findall(r'"([^"]+)"|(\S+)', found["filterPattern"])
    source = (PROJECT / "tasks" / "receipt_task.py").read_text()
    assert 'log.info("%s: %s rows%s%s in %.2f s"' in source

    def counts(line: str) -> bool:
        return all((quoted or bare) in line for quoted, bare in words)

    export = "ExportModel(experiment=click_rate_baseline, arm=control, date=2026-11-21)"
    assert counts(f"03:41:10 INFO    {export}: 48,853 rows in 3.10 s")
    assert not counts(f"03:41:10 ERROR   {export} failed: 12 rows are wrong")
    assert not counts("03:41:10 INFO    TrainModel(experiment=click_rate_baseline): 48,853 rows in 9.00 s")


def test_lines_are_encrypted_and_kept_for_a_while(platform: Applied) -> None:
    """Not for ever."""
    groups = platform.cloud.client("logs").describe_log_groups(logGroupNamePrefix="/dsp/")["logGroups"]
    assert {one["logGroupName"] for one in groups} == {"/dsp/worker", "/dsp/luigid", "/dsp/datadog"}
    for one in groups:
        assert one["retentionInDays"] == 90
        assert one["kmsKeyId"].startswith("arn:aws:kms:")


def test_everything_bears_the_tags_for_the_bill(platform: Applied) -> None:
    """Ours, and those that the team adds."""
    bucket = platform.cloud.client("s3").get_bucket_tagging(Bucket="acme-dsp-lake")["TagSet"]
    tags = {one["Key"]: one["Value"] for one in bucket}
    assert tags == {
        "project": "dsp-pipeline",
        "environment": "production",
        "managed-by": "terraform",
        "cost-center": "42",
    }


# Who may write below the lake's prefix. Everybody reads all of it.
WRITERS = {
    "outputs/ingest/click-1/2026-11-21T05/a/rows.parquet": {"ingest", "train", "export", "branch"},
    "receipts/ingest/click-1/2026-11-21T05.json": {"ingest", "train", "export", "branch"},
    "running/train/click_rate/control/1/2026-11-21.json": {"ingest", "train", "export", "branch"},
    "outputs/train/click_rate/control/1/2026-11-21/a/model.ubj": {"train", "export", "branch"},
    "receipts/train/click_rate/control/1/2026-11-21.json": {"train", "export", "branch"},
    "receipts/export/click_rate/control/1/2026-11-21.json": {"export", "branch"},
    "bundles/click_rate/x/control/1/2026-11-21/a/manifest.json": {"export", "branch"},
    "decisions/click_rate/1.json": {"export", "branch"},
    "serving/anna/click_rate.json": {"branch"},
    "serving/production/click_rate.json": {"export"},
}


def test_only_the_exporter_moves_productions_pointers(platform: Applied) -> None:
    """Real requests, with each role's keys, to a stand-in that enforces their policies."""
    sts = platform.cloud.client("sts")
    clients = {}
    for role in ROLES:
        keys = sts.assume_role(RoleArn=f"arn:aws:iam::{ACCOUNT}:role/dsp-{role}", RoleSessionName="test")["Credentials"]
        clients[role] = boto3.client(
            "s3",
            region_name=REGION,
            endpoint_url=platform.cloud.url,
            aws_access_key_id=keys["AccessKeyId"],
            aws_secret_access_key=keys["SecretAccessKey"],
            aws_session_token=keys["SessionToken"],
        )
    platform.cloud.client("s3").put_object(Bucket="acme-ad-logs", Key="dsp/2026-11-21/05.gz", Body=b"x")
    _enforce(platform, "0")
    try:
        for key, writers in WRITERS.items():
            for role, client in clients.items():
                where = {"Bucket": "acme-dsp-lake", "Key": f"lake/{key}"}
                assert _may(client.put_object, **where, Body=b"x") is (role in writers), f"{role} writes {key}"
                if role in writers:
                    assert _may(client.get_object, **where)
                assert _may(client.delete_object, **where) is (role in writers), f"{role} removes {key}"
        for role, client in clients.items():
            assert _may(client.list_objects_v2, Bucket="acme-dsp-lake"), role
            assert _may(client.get_object, Bucket="acme-ad-logs", Key="dsp/2026-11-21/05.gz"), role
            assert not _may(client.put_object, Bucket="acme-ad-logs", Key="dsp/2026-11-21/05.gz", Body=b"y"), role
            assert not _may(client.put_object, Bucket="acme-dsp-lake", Key="elsewhere", Body=b"x"), role
            assert not _may(client.delete_bucket, Bucket="acme-dsp-lake"), role
    finally:
        _enforce(platform, "inf")
    s3 = platform.cloud.client("s3")  # a bucket that keeps versions is emptied by hand before it can be destroyed
    told = s3.list_object_versions(Bucket="acme-dsp-lake")
    for one in [*told.get("Versions", []), *told.get("DeleteMarkers", [])]:
        s3.delete_object(Bucket="acme-dsp-lake", Key=one["Key"], VersionId=one["VersionId"])


def test_ci_becomes_a_role_by_its_token_alone(platform: Applied, outputs: dict[str, Any]) -> None:
    """Only main's may change the platform, and nobody's its own rights."""
    iam = platform.cloud.client("iam")
    subjects = {
        "main": "repo:acme/dsp-pipeline:environment:production",
        "branch": "repo:acme/dsp-pipeline:pull_request",
    }
    managed = {"main": ["PowerUserAccess"], "branch": ["ReadOnlyAccess"]}
    for kind, subject in subjects.items():
        role = iam.get_role(RoleName=f"delivery-dsp-{kind}")["Role"]
        assert outputs["ci_roles"][kind] == role["Arn"]
        (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
        assert trust["Action"] == "sts:AssumeRoleWithWebIdentity"
        assert trust["Condition"]["StringEquals"] == {
            "token.actions.githubusercontent.com:aud": "sts.amazonaws.com",
            "token.actions.githubusercontent.com:sub": subject,
        }
        attached = iam.list_attached_role_policies(RoleName=role["RoleName"])["AttachedPolicies"]
        assert [one["PolicyName"] for one in attached] == managed[kind]
    changes = next(one for one in _statements(platform, "delivery-dsp-main") if one["Sid"] == "RolesOfThePlatform")
    assert _list(changes["Resource"]) == [f"arn:aws:iam::{ACCOUNT}:role/dsp-*"]
    assert not any(
        "iam:" in action for one in _statements(platform, "delivery-dsp-branch") for action in _list(one["Action"])
    )


def test_policies_have_no_known_fault(platform: Applied, tmp_path: Path) -> None:
    """parliament knows each action, resource and condition, and finds nothing."""
    iam, count = platform.cloud.client("iam"), 0
    for role in iam.list_roles()["Roles"]:
        for name in iam.list_role_policies(RoleName=role["RoleName"])["PolicyNames"]:
            policy = iam.get_role_policy(RoleName=role["RoleName"], PolicyName=name)["PolicyDocument"]
            (tmp_path / f"{role['RoleName']}-{name}.json").write_text(json.dumps(policy))
            count += 1
    assert count == len(ROLES) + 6  # start, luigid, schedules; push twice and roles of CI
    done = subprocess.run(
        [tool("parliament"), "--directory", str(tmp_path), "--include_policy_extension", "json", "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stdout + done.stderr


def test_a_run_by_hand_uses_what_terraform_wrote_down(platform: Applied) -> None:
    """`make run-task`'s command starts a container by the right definition, and ends as it ends."""
    done = subprocess.run(
        [sys.executable, "-m", "console", "run-task", "--size", "small", "DailyPipeline", "--date", "2026-11-21"],
        cwd=PROJECT,
        env=platform.cloud.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    number = re.search(r"started (\S+) on dsp;", done.stderr)
    assert number is not None, done.stderr
    (task,) = platform.cloud.client("ecs").describe_tasks(cluster="dsp", tasks=[number[1]])["tasks"]
    assert task["taskDefinitionArn"].rpartition("/")[2].startswith("dsp-worker-small-export:")
    (container,) = task["overrides"]["containerOverrides"]
    assert container["command"] == ["DailyPipeline", "--date", "2026-11-21"]
    assert (
        json.loads(platform.cloud.client("ssm").get_parameter(Name=PARAMETER)["Parameter"]["Value"])["cluster"] == "dsp"
    )


def test_two_people_cannot_apply_at_once(platform: Applied, tmp_path: Path) -> None:
    """With the backend of the example: the state is in S3, and whoever comes second is told who holds its lock."""
    s3, bucket, key = platform.cloud.client("s3"), "acme-terraform-state", "dsp-pipeline/production.tfstate"
    s3.create_bucket(Bucket=bucket)
    terraform = Terraform(tmp_path, platform.cloud.environment())
    example = (terraform.folder / "backend.tf.example").read_text()
    assert f'"{bucket}"' in example
    assert f'"{key}"' in example
    one_server = ("use_path_style", "skip_requesting_account_id", "skip_credentials_validation")
    backend = example.replace('"eu-central-1"', f'"{REGION}"').rstrip().removesuffix("}").rstrip().removesuffix("}")
    backend += "".join(f"    {name} = true\n" for name in one_server) + "  }\n}\n"
    (terraform.folder / "backend.tf").write_text(backend)
    terraform.variables(**five_values(region="eu-central-1"))  # where the platform is not
    assert terraform.run("init").code == 0
    lock = {
        "ID": "1",
        "Operation": "apply",
        "Who": "anna@laptop",
        "Version": "1.11.4",
        "Created": "2026-11-21T05:00:00Z",
    }
    s3.put_object(Bucket=bucket, Key=f"{key}.tflock", Body=json.dumps(lock).encode())
    refused = terraform.run("plan", "-refresh=false")
    assert refused.code == 1
    assert "Error acquiring the state lock" in refused.text
    assert "anna@laptop" in refused.text
    s3.delete_object(Bucket=bucket, Key=f"{key}.tflock")
    # Something small, so that there is a state.
    done = terraform.run("apply", "-auto-approve", "-target=module.encryption")
    assert done.code == 0, done.text[-2000:]
    assert {one["Key"] for one in s3.list_objects_v2(Bucket=bucket)["Contents"]} == {key}
    assert not list(terraform.folder.glob("*.tfstate"))
    done = terraform.run("destroy", "-auto-approve", "-target=module.encryption")
    assert done.code == 0, done.text[-2000:]


def test_destroy_leaves_nothing(platform: Applied) -> None:
    """The last test of the platform."""
    done = platform.terraform.run("destroy", "-auto-approve", "-parallelism=20")
    assert done.code == 0, done.text[-3000:]
    assert platform.terraform.run("state list").text.strip() == ""
    cloud = platform.cloud
    assert [one["Name"] for one in cloud.client("s3").list_buckets()["Buckets"]] == [
        "acme-ad-logs",
        "acme-terraform-state",
    ]
    assert [one["status"] for one in cloud.client("ecs").describe_clusters(clusters=["dsp"])["clusters"]] == [
        "INACTIVE"
    ]
    assert cloud.client("scheduler").list_schedules()["Schedules"] == []
    assert [
        one["RoleName"] for one in cloud.client("iam").list_roles()["Roles"] if one["RoleName"].startswith("dsp")
    ] == []


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _statements(platform: Applied, role: str) -> list[dict[str, Any]]:
    iam = platform.cloud.client("iam")
    names = iam.list_role_policies(RoleName=role)["PolicyNames"]
    policies = [iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"] for name in names]
    return [statement for policy in policies for statement in _list(policy["Statement"])]


def _enforce(platform: Applied, after: str) -> None:
    """From how many requests on moto asks for the rights of who sends them."""
    address, kind = f"{platform.cloud.url}/moto-api/reset-auth", {"Content-Type": "text/plain"}
    request = urllib.request.Request(address, after.encode(), kind, method="POST")  # noqa: S310
    with urllib.request.urlopen(request) as answer:  # noqa: S310  # our own server
        assert answer.status == 200


def _may(ask: Any, **words: Any) -> bool:
    try:
        ask(**words)
    except ClientError as error:
        assert error.response["Error"]["Code"] in {"AccessDenied", "403"}, error
        return False
    return True


def _matches(pattern: Any, event: Any) -> bool:
    """EventBridge: every field of the pattern must match; of a list, one element as a whole."""
    if isinstance(event, list):
        return any(_matches(pattern, one) for one in event)
    for name, wanted in pattern.items():
        if name == "$or":
            if not any(_matches(one, event) for one in wanted):
                return False
        elif name not in event:
            return False
        elif isinstance(wanted, dict):
            if not _matches(wanted, event[name]):
                return False
        elif not any(_is(one, event[name]) for one in wanted):
            return False
    return True


def _is(wanted: Any, value: Any) -> bool:
    if not isinstance(wanted, dict):
        return bool(wanted == value)
    other = wanted["anything-but"]
    return not str(value).startswith(other["prefix"]) if isinstance(other, dict) else bool(value != other)
