"""
Put a release together: all that is needed to install the drainer with the AWS CLI alone.

The same commit makes the same bytes: each file has one time, one mode and no owner. It uploads
nothing.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent

# What is passed on as it is, at the place where it is here: texts that name a file of ours, and
# commands that take one, are right in a release too.
TEXTS = ("LICENSE", "CHANGELOG.md", "README.md")
FOLDERS = ("docs", "infra")
SUFFIXES = frozenset({".json", ".md", ".png", ".svg", ".tf", ".yaml"})
TEMPLATE = Path("infra", "drainer.yaml")
SUMS = "SHA256SUMS"

# 1980-01-01, the earliest instant that a zip can express, for the archive and for the wheel.
TIME_SECONDS = 315_532_800
MODE = 0o644
WHEEL_TIMEOUT_SECONDS = 300
# The build backend that pyproject.toml names. pip would start it three times, and itself.
# https://peps.python.org/pep-0517/#build-wheel
BACKEND = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
# gzip's own: 9 takes three times as long to save a hundredth.
COMPRESSION = 6

# How drainer.yaml takes its code after `aws cloudformation package`, and in a release.
CODE = "      Code: ../build/drainer.zip\n"
CODE_BY_PARAMETERS = "      Code: {S3Bucket: !Ref CodeBucket, S3Key: !Ref CodeKey}\n"
# Only a local path is warned of. The comment that says so goes with all others.
LOCAL_PATH = "    Metadata: {cfn-lint: {config: {ignore_checks: [W3002]}}}\n"
PARAMETERS = "Parameters:\n"
CODE_PARAMETERS = """\
  CodeBucket:
    Type: String
    MinLength: 3
    MaxLength: 63
    AllowedPattern: "^[a-z0-9][a-z0-9.-]+$"
    ConstraintDescription: The name of an S3 bucket in the Region of the stack.
    Description: >-
      S3 bucket of this Region that holds the function's zip.
  CodeKey:
    Type: String
    Default: {zip_name}
    MinLength: 1
    MaxLength: 1024
    AllowedPattern: "^[!-~]+$"
    Description: >-
      Key of the function's zip in CodeBucket. A new version needs a new key, or CloudFormation
      sees no change.
"""
HEADER = """\
# The drainer {version}, made from infra/drainer.yaml, whose comments say why each part is as it is.
"""
SAM_HEADER = """\
# The drainer {version} for the AWS Serverless Application Repository. To publish it:
#   sam package --template-file sam.yaml --s3-bucket my-bucket --output-template-file packaged.yaml
#   sam publish --template packaged.yaml
# The repository reads from the bucket, so its policy must let serverlessrepo.amazonaws.com use
# s3:GetObject. To share the application with everyone, add a SourceCodeUrl.
"""
# The properties, their patterns and lengths:
# https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/serverless-sam-template-publishing-applications-metadata-properties.html
SAM_METADATA = """\
Transform: AWS::Serverless-2016-10-31

Metadata:
  AWS::ServerlessRepo::Application:
    Name: drainer
    Description: >-
      {description}
    Author: drainer-authors
    SpdxLicenseId: {licence}
    LicenseUrl: LICENSE
    ReadmeUrl: README.md
    Labels: [ecs, autoscaling, lifecycle-hook, spot, drain]
    SemanticVersion: {version}
{urls}
"""
SAM_URLS = """\
    HomePageUrl: {url}
    SourceCodeUrl: {url}
"""
# The lines in which SAM's function differs. The repository copies what "resources in the AWS SAM
# template" use to the Region of the user, and names a SAM function's code as an example. All other
# types are among those that it supports.
# https://docs.aws.amazon.com/serverlessrepo/latest/devguide/serverlessrepo-publishing-applications.html
# https://docs.aws.amazon.com/serverlessrepo/latest/devguide/list-supported-resources.html
# https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-resource-function.html
SAM_FUNCTION = {
    "    Type: AWS::Lambda::Function\n": "    Type: AWS::Serverless::Function\n",
    LOCAL_PATH: "",
    CODE: "      CodeUri: {zip_name}\n",
    "      TracingConfig: {Mode: !Ref Tracing}\n": "      Tracing: !Ref Tracing\n",
}


def main() -> None:
    """
    Make the release that the command line asks for and say what came out.
    """
    parser = argparse.ArgumentParser(description="Put a release together.")
    parser.add_argument("--zip", type=Path, default=PROJECT / "build" / "drainer.zip")
    parser.add_argument("--output", type=Path, default=PROJECT / "build" / "release")
    parser.add_argument("--source-url", default="", help="where everyone can read the sources")
    arguments = parser.parse_args()

    made = release(arguments.zip, arguments.output, arguments.source_url)
    digest = hashlib.sha256(made.read_bytes()).hexdigest()
    sys.stdout.write(f"{made}: {made.stat().st_size:,} bytes, sha256 {digest}\n")


def version() -> str:
    """
    Return the project's version.
    """
    return str(_project()["version"])


def release(zip_file: Path, output: Path, source_url: str = "") -> Path:
    """
    Write the folder of the release and its archive into `output`; return the archive.

    Args:
        zip_file: The function's zip, as infra/package.py builds it.
        output: Where to; what an earlier release left there goes.
        source_url: Where everyone can read the sources, for the template of SAM.
    """
    folder = output / f"drainer-{version()}"
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)

    template = (PROJECT / TEMPLATE).read_text(encoding="utf-8")
    shutil.copyfile(zip_file, folder / zip_name())
    (folder / "sam.yaml").write_text(sam_template(template, source_url), encoding="utf-8")
    for name in TEXTS:
        shutil.copyfile(PROJECT / name, folder / name)
    for name in FOLDERS:
        copy_texts(PROJECT / name, folder / name)
    (folder / TEMPLATE).write_text(released_template(template), encoding="utf-8")
    build_wheel(folder)
    (folder / SUMS).write_text(sums(folder), encoding="utf-8")
    return write_archive(folder)


def zip_name() -> str:
    """
    Return the name of the function's zip in a release, which differs for each version.
    """
    return f"drainer-{version()}.zip"


def released_template(template: str) -> str:
    """
    Return drainer.yaml with the place of its code as parameters.

    Without its comments it is two thirds as long, so that CloudFormation takes it without a bucket.
    """
    text = without_comments(replaced(replaced(template, LOCAL_PATH, ""), CODE, CODE_BY_PARAMETERS))
    parameters = CODE_PARAMETERS.format(zip_name=zip_name())
    text = replaced(text, PARAMETERS, PARAMETERS + parameters)
    return HEADER.format(version=version()) + text


def sam_template(template: str, source_url: str = "") -> str:
    """
    Return drainer.yaml as an application of the Serverless Application Repository.

    Args:
        template: The text of drainer.yaml.
        source_url: Where everyone can read the sources. A public application must say so.
    """
    project = _project()
    metadata = SAM_METADATA.format(
        description=project["description"],
        licence=project["license"],
        version=version(),
        urls=SAM_URLS.format(url=source_url) if source_url else "",
    )
    for ours, theirs in SAM_FUNCTION.items():
        template = replaced(template, ours, theirs.replace("{zip_name}", zip_name()))
    text = replaced(without_comments(template), PARAMETERS, metadata + PARAMETERS)
    return SAM_HEADER.format(version=version()) + text


def replaced(text: str, old: str, new: str) -> str:
    """
    Return a text with one passage replaced, which must be there once.
    """
    if f"\n{text}".count(f"\n{old}") != 1:
        message = f"{TEMPLATE} must hold this line once: {old.strip()}"
        raise SystemExit(message)
    return f"\n{text}".replace(f"\n{old}", f"\n{new}")[1:]


def without_comments(text: str) -> str:
    """
    Return a template without the lines that are comments.
    """
    lines = text.splitlines(keepends=True)
    return "".join(line for line in lines if not line.lstrip().startswith("#"))


def copy_texts(source: Path, target: Path) -> None:
    """
    Copy the texts, templates, modules and pictures of a folder.
    """
    for path in sorted(source.rglob("*")):
        there = target / path.relative_to(source)
        # Terraform keeps what it has downloaded in hidden folders.
        hidden = any(part.startswith(".") for part in path.relative_to(source).parts)
        if path.is_file() and path.suffix in SUFFIXES and not hidden:
            there.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, there)


def build_wheel(folder: Path) -> None:
    """
    Build the wheel of the command line from the sources alone, without a package index.
    """
    with tempfile.TemporaryDirectory() as copied:
        source = Path(copied)
        for name in ("pyproject.toml", "LICENSE"):
            shutil.copyfile(PROJECT / name, source / name)
        ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
        shutil.copytree(PROJECT / "drainer", source / "drainer", ignore=ignored)
        for path in source.rglob("*"):
            # A wheel keeps modes, which a checkout takes from the user's umask.
            path.chmod(0o755 if path.is_dir() else MODE)
        # S603 asks whether the arguments can be trusted: they are constants and our own paths.
        subprocess.run(  # noqa: S603
            [sys.executable, "-c", BACKEND, str(folder.resolve())],
            check=True,
            cwd=source,
            stdout=subprocess.DEVNULL,  # it names each file
            timeout=WHEEL_TIMEOUT_SECONDS,
            # https://reproducible-builds.org/docs/source-date-epoch/
            env={**os.environ, "SOURCE_DATE_EPOCH": str(TIME_SECONDS)},
        )


def sums(folder: Path) -> str:
    """
    Return the checksums of a folder's files, as `sha256sum --check` reads them.
    """
    return "".join(
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder).as_posix()}\n"
        for path in files(folder)
    )


def files(folder: Path) -> list[Path]:
    """
    Return a folder's files in the order of their names.
    """
    return sorted(path for path in folder.rglob("*") if path.is_file())


def write_archive(folder: Path) -> Path:
    """
    Write a folder's files into an archive beside it.
    """
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path in files(folder):
            entry = tarfile.TarInfo(f"{folder.name}/{path.relative_to(folder).as_posix()}")
            entry.size, entry.mtime, entry.mode = path.stat().st_size, TIME_SECONDS, MODE
            with path.open("rb") as file:
                archive.addfile(entry, file)
    target = folder.with_name(f"{folder.name}.tar.gz")
    # mtime=0 keeps the present time out of the header, as does the missing file name.
    target.write_bytes(gzip.compress(content.getvalue(), COMPRESSION, mtime=0))
    return target


def _project() -> dict[str, str]:
    with (PROJECT / "pyproject.toml").open("rb") as file:
        project: dict[str, str] = tomllib.load(file)["project"]
    return project


if __name__ == "__main__":
    main()
