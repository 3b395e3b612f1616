"""
Terraform with the AWS provider, where both are on this machine.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.infra.conftest import INFRA

if TYPE_CHECKING:
    from collections.abc import Mapping

MODULES = INFRA / "terraform"
# An apply waits a minute for a load balancer, and this machine may be busy.
SECONDS_MAX = 900


@dataclass(frozen=True)
class Terraform:
    """
    Runs Terraform in one folder, without any setting of the user's.
    """

    program: str
    folder: Path

    def run(self, *words: str, variables: Mapping[str, str] | None = None) -> str:
        """
        Return what a command says; a plan with changes is no failure.
        """
        given = {f"TF_VAR_{name}": value for name, value in (variables or {}).items()}
        done = subprocess.run(  # noqa: S603 - Terraform, with these words
            [self.program, f"-chdir={self.folder}", *words, "-no-color"],
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.folder),
                "TF_CLI_CONFIG_FILE": os.devnull,
                "TF_IN_AUTOMATION": "1",
                "CHECKPOINT_DISABLE": "1",
                **given,
            },
            capture_output=True,
            text=True,
            timeout=SECONDS_MAX,
            check=False,
        )
        assert done.returncode == 0, f"{done.stdout[-4_000:]}{done.stderr[-4_000:]}"
        return done.stdout


@pytest.fixture(scope="session")
def program() -> str:
    """
    Terraform itself.
    """
    found = shutil.which("terraform")
    if found is None:
        pytest.skip("terraform is not installed")
    return found


@pytest.fixture(scope="session")
def plugins() -> Path:
    """
    The folder with the AWS provider, which nothing here downloads.
    """
    folder = os.environ.get("TF_PLUGIN_DIR", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip("TF_PLUGIN_DIR names no folder with the AWS provider: make terraform-test")
    return Path(folder)


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """
    The modules and examples in a folder where Terraform may write.
    """
    folder = tmp_path_factory.mktemp("terraform")
    shutil.copytree(MODULES, folder, dirs_exist_ok=True)
    return folder


def initialized(program: str, plugins: Path, folder: Path) -> Terraform:
    """
    Return Terraform in a folder, with the provider.
    """
    terraform = Terraform(program, folder)
    terraform.run("init", f"-plugin-dir={plugins}")
    return terraform
