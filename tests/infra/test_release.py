"""
A release: complete, the same bytes every time, and enough to install the drainer by itself.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from drainer.simulation.embedded.account import EmbeddedAccount
from drainer.simulation.template import TEMPLATE_BODY_BYTES_MAX, read_template
from tests.loops import some

PROJECT = Path(__file__).resolve().parents[2]
INFRA = PROJECT / "infra"
SCRIPT = INFRA / "release.py"
RELEASE_SECONDS_MAX = 300
# Bounds a test that hangs, and nothing else.
REAL_SECONDS_MAX = 120.0
FACTOR = 10.0
VERSION = "0.1.0"
NAME = f"drainer-{VERSION}"
BUCKET = "my-bucket"
# What the Serverless Application Repository takes: the name of an application, its author and its
# description, by their documented patterns and lengths.
# https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/serverless-sam-template-publishing-applications-metadata-properties.html
APPLICATION_TEXTS = {
    "Name": (r"[a-zA-Z0-9\-]+", 140),
    "Author": (r"[a-z0-9](([a-z0-9]|-(?!-))*[a-z0-9])?", 127),
    "Description": (r".+", 256),
    # https://semver.org
    "SemanticVersion": (r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)", 255),
}
APPLICATION_LABELS_MAX = 10
APPLICATION_FILE_BYTES_MAX = 5_000_000
# The types that it supports, of the services that the drainer uses.
# https://docs.aws.amazon.com/serverlessrepo/latest/devguide/list-supported-resources.html
SUPPORTED = {
    f"AWS::{service}::{name}"
    for service, names in {
        "CloudWatch": "Alarm AnomalyDetector Dashboard InsightRule",
        "DynamoDB": "Table",
        "Events": "EventBusPolicy Rule",
        "IAM": "Group InstanceProfile ManagedPolicy Policy Role",
        "Lambda": "Alias EventInvokeConfig EventSourceMapping Function LayerVersion"
        " LayerVersionPermission Permission Version",
        "Logs": "Destination LogGroup LogStream MetricFilter SubscriptionFilter",
        "SNS": "Subscription Topic TopicPolicy",
        "SQS": "Queue QueuePolicy",
        "Serverless": "Api Application Function HttpApi LayerVersion SimpleTable StateMachine",
    }.items()
    for name in names.split()
}


def make(drainer_zip: Path, output: Path) -> str:
    # Relative to where it is called, as `make release` names it.
    command = [sys.executable, str(SCRIPT), "--zip", str(drainer_zip), "--output", output.name]
    done = subprocess.run(  # noqa: S603 - our own script
        command,
        check=True,
        cwd=output.parent,
        capture_output=True,
        text=True,
        timeout=RELEASE_SECONDS_MAX,
    )
    return done.stdout


@pytest.fixture(scope="module")
def release(drainer_zip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a release, as its archive unpacks."""
    output = tmp_path_factory.mktemp("release")
    make(drainer_zip, output / "made")
    with tarfile.open(output / "made" / f"{NAME}.tar.gz") as archive:
        archive.extractall(output / "unpacked", filter="data")
    return output / "unpacked" / NAME


def names(folder: Path) -> set[str]:
    return {one.relative_to(folder).as_posix() for one in folder.rglob("*") if one.is_file()}


def is_module(name: str) -> bool:
    """Whether this is a file of ours, and not what Terraform has downloaded."""
    return name.endswith(".tf") and not name.startswith(".") and "/." not in name


def test_a_release_holds_all_that_an_installation_needs(release: Path, drainer_zip: Path) -> None:
    # What is missing is missed by somebody who has neither Python nor make.
    expected = {
        f"{NAME}.zip",
        f"{NAME}-py3-none-any.whl",
        *("sam.yaml", "LICENSE", "CHANGELOG.md", "README.md", "SHA256SUMS"),
        *(f"infra/{one.name}" for one in INFRA.glob("*.yaml")),
        *(f"infra/examples/{one.name}" for one in (INFRA / "examples").glob("*.yaml")),
        *(f"infra/terraform/{name}" for name in names(INFRA / "terraform") if is_module(name)),
        "infra/operator-policy.json",
    }
    found = names(release)

    assert expected - found == set()
    assert {one.partition("/")[0] for one in found - expected} == {"docs"}
    assert (release / f"{NAME}.zip").read_bytes() == drainer_zip.read_bytes()
    for name in ("attach.yaml", "spot.yaml", "examples/cluster.yaml", "operator-policy.json"):
        assert (release / "infra" / name).read_bytes() == (INFRA / name).read_bytes()
    assert "Apache License" in (release / "LICENSE").read_text()
    assert f"## {VERSION}" in (release / "CHANGELOG.md").read_text()


def test_each_file_that_a_page_of_a_release_links_to_is_in_it(release: Path) -> None:
    # The pages are those of the repository, and their links and commands name its folders.
    pages = [release / "README.md", *(release / "docs").glob("*.md")]
    links = [
        (page, link.partition("#")[0])
        for page in pages
        for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text())
        if "://" not in link
    ]

    broken = [(page.name, link) for page, link in some(links) if not (page.parent / link).exists()]

    assert broken == []
    assert "--template-file infra/attach.yaml" in pages[0].read_text()


def test_the_checksums_are_those_of_all_other_files(release: Path) -> None:
    lines = (release / "SHA256SUMS").read_text().splitlines()
    said = {name: digest for digest, name in (line.split("  ") for line in lines)}

    assert set(said) == names(release) - {"SHA256SUMS"}
    assert said == {
        name: hashlib.sha256((release / name).read_bytes()).hexdigest() for name in said
    }


def test_the_release_is_the_same_from_another_folder_at_another_time(
    release: Path, drainer_zip: Path, tmp_path: Path
) -> None:
    # If two builds differ, nobody can tell whether what is installed is what was published.
    said = make(drainer_zip, tmp_path / "again")
    archives = [
        release.parents[1] / "made" / f"{NAME}.tar.gz",
        tmp_path / "again" / f"{NAME}.tar.gz",
    ]
    first, second = (hashlib.sha256(one.read_bytes()).hexdigest() for one in archives)

    assert first == second
    assert second in said


def test_entries_of_the_archive_carry_no_time_owner_or_machine(release: Path) -> None:
    with tarfile.open(release.parents[1] / "made" / f"{NAME}.tar.gz") as archive:
        entries = archive.getmembers()

    assert [one.name for one in entries] == sorted(one.name for one in entries)
    assert {(one.mtime, one.uid, one.gid, one.uname, one.mode) for one in entries} == {
        (315_532_800, 0, 0, "", 0o644)
    }


def test_the_released_template_is_ours_but_for_the_place_of_its_code(release: Path) -> None:
    # A template that was changed by hand for a release is one that no test has seen.
    ours, released = (read_template(one / "drainer.yaml") for one in (INFRA, release / "infra"))
    code = released["Resources"]["Function"]["Properties"].pop("Code")
    place = {name: released["Parameters"].pop(name) for name in ("CodeBucket", "CodeKey")}
    ours["Resources"]["Function"]["Properties"].pop("Code")
    ours["Resources"]["Function"].pop("Metadata")

    assert released == ours
    assert code == {"S3Bucket": {"Ref": "CodeBucket"}, "S3Key": {"Ref": "CodeKey"}}
    assert "Default" not in place["CodeBucket"]
    assert place["CodeKey"]["Default"] == f"{NAME}.zip"


def translated(template: Path) -> dict[str, Any]:
    """Return what SAM's own translator, which CloudFormation runs, makes of a packaged template."""
    from awscli.customizations.cloudformation.yamlhelper import yaml_parse
    from samtranslator.translator.transform import transform

    # The policies that AWS manages are not asked for: the role is written out.
    done: dict[str, Any] = transform(yaml_parse(template.read_text()), {}, None)
    return done


def as_packaged(release: Path, folder: Path) -> Path:
    """Return the application as `sam package` leaves it: its zip is in a bucket."""
    text, local = (release / "sam.yaml").read_text(), f"      CodeUri: {NAME}.zip\n"
    assert text.count(local) == 1
    path = folder / "packaged.yaml"
    path.write_text(text.replace(local, f"      CodeUri: s3://{BUCKET}/a-hash\n"))
    return path


def test_the_application_translates_to_the_resources_of_our_template(
    release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Who installs from the repository has the drainer that the tests have seen, and no other.
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    ours, theirs = read_template(INFRA / "drainer.yaml"), translated(as_packaged(release, tmp_path))
    theirs.pop("Metadata")
    function, expected = (one["Resources"]["Function"] for one in (theirs, ours))
    tags = function["Properties"].pop("Tags")
    expected["Properties"]["Code"] = {"S3Bucket": BUCKET, "S3Key": "a-hash"}
    expected.pop("Metadata")

    assert theirs == ours
    # https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-resource-function.html
    assert tags == [{"Key": "lambda:createdBy", "Value": "SAM"}]


def test_the_repository_supports_each_resource_of_the_application(release: Path) -> None:
    # It refuses a template with another one when it is published, and no linter says so.
    found = {one["Type"] for one in read_template(release / "sam.yaml")["Resources"].values()}

    assert "AWS::Serverless::Function" in found
    assert found - SUPPORTED == set()


def test_the_application_says_of_itself_what_a_repository_asks_for(release: Path) -> None:
    template = read_template(release / "sam.yaml")
    said = template["Metadata"]["AWS::ServerlessRepo::Application"]

    assert template["Transform"] == "AWS::Serverless-2016-10-31"
    for name, (pattern, length) in APPLICATION_TEXTS.items():
        assert re.fullmatch(pattern, said[name]), name
        assert len(said[name]) <= length, name
    assert len(said["Labels"]) <= APPLICATION_LABELS_MAX
    assert all(re.fullmatch(r"[a-zA-Z0-9+\-_:\/@]{1,127}", one) for one in some(said["Labels"]))
    assert (said["SemanticVersion"], said["SpdxLicenseId"]) == (VERSION, "Apache-2.0")
    for name in ("LicenseUrl", "ReadmeUrl"):
        assert 0 < (release / said[name]).stat().st_size <= APPLICATION_FILE_BYTES_MAX, name


def test_an_application_for_everyone_says_where_its_sources_are() -> None:
    # "You also need ... a source code URL" is what the repository answers to who shares it.
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); import release; "
        "print(release.sam_template(sys.stdin.read(), 'https://example.com/drainer'))"
    )
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", program, str(INFRA)],
        input=(INFRA / "drainer.yaml").read_text(),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    said = yaml.load(done.stdout, Loader=yaml.BaseLoader)["Metadata"]  # noqa: S506 - texts alone
    said = said["AWS::ServerlessRepo::Application"]

    assert said["SourceCodeUrl"] == said["HomePageUrl"] == "https://example.com/drainer"


@pytest.mark.parametrize("name", ["infra/drainer.yaml", "sam.yaml"])
def test_cfn_lint_finds_nothing_in_a_released_template(release: Path, name: str) -> None:
    # The others are those of the repository, which tests/infra/test_templates.py checks.
    from cfnlint.api import lint_file  # takes most of a second

    assert [str(match) for match in lint_file(release / name)] == []


def test_a_released_template_needs_no_bucket_of_its_own(release: Path) -> None:
    # `aws cloudformation deploy` refuses a larger one without --s3-bucket.
    for name in ("drainer.yaml", "attach.yaml", "spot.yaml"):
        assert (release / "infra" / name).stat().st_size <= TEMPLATE_BODY_BYTES_MAX, name


def test_a_template_that_takes_its_code_in_another_way_is_refused() -> None:
    # A release whose function has no code would be seen by its first user.
    template = (INFRA / "drainer.yaml").read_text().replace("build/drainer.zip", "other.zip")
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); import release; "
        "release.released_template(sys.stdin.read())"
    )
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", program, str(INFRA)],
        input=template,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 1
    assert "must hold this line once: Code: ../build/drainer.zip" in done.stderr


def test_the_wheel_has_the_command_and_what_it_needs(release: Path) -> None:
    with zipfile.ZipFile(release / f"{NAME}-py3-none-any.whl") as wheel:
        found = wheel.namelist()
        info = f"{NAME}.dist-info"
        entry_points = wheel.read(f"{info}/entry_points.txt").decode()
        metadata = wheel.read(f"{info}/METADATA").decode()

    assert "drainer = drainer.cli.app:app" in entry_points
    assert [line for line in metadata.splitlines() if line.startswith("Requires-Dist")] == [
        "Requires-Dist: botocore>=1.43",
        "Requires-Dist: rich>=15",
        "Requires-Dist: typer>=0.29",
    ]
    assert f"{info}/licenses/LICENSE" in found
    # `attach` reads its template, and `report` its style: both were missing once.
    ours = {f"drainer/{one}" for one in names(PROJECT / "drainer") if not one.endswith(".pyc")}
    assert {one for one in found if not one.startswith(info)} == ours


def test_the_wheels_command_starts_without_the_sources(release: Path, tmp_path: Path) -> None:
    # A module that is missing in the wheel is found by its first user.
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    # The command is started once, and compiles what it imports.
    command += ["--no-compile"]
    command += ["--target", str(tmp_path), str(release / f"{NAME}-py3-none-any.whl")]
    subprocess.run(command, check=True, timeout=RELEASE_SECONDS_MAX)  # noqa: S603 - pip
    program = "import sys; from drainer.cli.app import app; sys.argv[0] = 'drainer'; app()"
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", program, "adopt", "--region", "eu-west-1", "--back", "none.json"],
        cwd=tmp_path,
        env={"PATH": os.defpath, "PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: none.json was not read: FileNotFoundError\n"


def aws(account: EmbeddedAccount, folder: Path, *words: str) -> None:
    """Run the AWS CLI in a folder, as a user does."""
    done = subprocess.run(  # noqa: S603 - the AWS CLI
        [sys.executable, "-m", "awscli", *words],
        cwd=folder,
        env={
            "PATH": os.defpath,
            "AWS_ENDPOINT_URL": account._gateway.url,
            "AWS_DEFAULT_REGION": account.client("s3").meta.region_name,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
        },
        capture_output=True,
        text=True,
        timeout=REAL_SECONDS_MAX,
        check=False,
    )
    assert done.returncode == 0, f"{words}: {done.stdout} {done.stderr}"


def test_the_commands_of_the_installation_install_the_drainer(
    release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Whoever has a release and the AWS CLI types these, and has neither Python nor make.
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    packaged = tmp_path / "packaged.yaml"
    deploy = ("cloudformation", "deploy", "--capabilities", "CAPABILITY_IAM")
    with EmbeddedAccount(factor=FACTOR) as account:
        account.client("s3").create_bucket(Bucket=BUCKET)
        aws(account, release, "s3", "cp", f"{NAME}.zip", f"s3://{BUCKET}/")
        template = ("--stack-name", "drainer", "--template-file", "infra/drainer.yaml")
        aws(account, release, *deploy, *template, "--parameter-overrides", f"CodeBucket={BUCKET}")
        template = ("--stack-name", "drainer-spot", "--template-file", "infra/spot.yaml")
        aws(account, release, *deploy, *template)
        # `sam package` is this command by another name.
        template = ("--template-file", "sam.yaml", "--output-template-file", str(packaged))
        aws(account, release, "cloudformation", "package", *template, "--s3-bucket", BUCKET)
        cloudformation = account.client("cloudformation")
        stacks = {one["StackName"]: one for one in cloudformation.describe_stacks()["Stacks"]}
        outputs = {one["OutputKey"]: one["OutputValue"] for one in stacks["drainer"]["Outputs"]}
        is_taken = takes_a_message(account, outputs)

    assert {name: one["StackStatus"] for name, one in stacks.items()} == {
        "drainer": "CREATE_COMPLETE",
        "drainer-spot": "CREATE_COMPLETE",
    }
    assert is_taken
    assert takes_from_the_bucket(translated(packaged))


def takes_from_the_bucket(template: dict[str, Any]) -> bool:
    """Whether a published application refers to no file of the machine that published it."""
    said = template["Metadata"]["AWS::ServerlessRepo::Application"]
    code = template["Resources"]["Function"]["Properties"]["Code"]
    urls = [said["LicenseUrl"], said["ReadmeUrl"]]
    return code["S3Bucket"] == BUCKET and all(f"{BUCKET}/" in url for url in urls)


def takes_a_message(account: EmbeddedAccount, outputs: dict[str, str]) -> bool:
    """Whether the deployed function runs: it takes a test notification from its queue."""
    sqs, url = account.client("sqs"), outputs["NoticeQueueUrl"]
    message = {"Event": "autoscaling:TEST_NOTIFICATION", "Service": "AWS Auto Scaling"}
    sqs.send_message(QueueUrl=url, MessageBody=json.dumps({"Message": json.dumps(message)}))
    counts = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    deadline = time.monotonic() + REAL_SECONDS_MAX
    while time.monotonic() < deadline:
        answer = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=counts)
        if all(answer["Attributes"][one] == "0" for one in some(counts)):
            dead = sqs.get_queue_attributes(
                QueueUrl=outputs["DeadLetterQueueUrl"], AttributeNames=counts[:1]
            )
            return bool(dead["Attributes"][counts[0]] == "0")
        time.sleep(0.1)
    return False
