"""
Terraform's own judgement of the modules and the example: format, schema, plans.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.terraform.conftest import MODULES, Terraform, initialized

HERE = Path(__file__).parent


def test_everything_is_formatted_as_terraform_does_it(program: str) -> None:
    # Every user's editor would change the files, and each pull request would show it.
    assert Terraform(program, MODULES).run("fmt", "-check", "-recursive", "-diff") == ""


@pytest.fixture(scope="module", params=["cluster", "modules"])
def tested(request: pytest.FixtureRequest, program: str, plugins: Path, sources: Path) -> Terraform:
    """
    A configuration that uses the modules: the example, and all three with nothing else.
    """
    folder = sources / "examples" / request.param
    folder.mkdir(exist_ok=True)
    if request.param == "modules":
        shutil.copy(HERE / "modules.tf", folder)
    (folder / "drainer.zip").write_bytes(b"PK\x05\x06" + bytes(18))
    shutil.copy(HERE / f"{request.param}.tftest.hcl", folder)
    (folder / "mocks").mkdir()
    shutil.copy(HERE / "mocks.tfmock.hcl", folder / "mocks")
    return initialized(program, plugins, folder)


def test_the_provider_knows_every_attribute_and_its_bounds(tested: Terraform) -> None:
    # A misspelled attribute would be found by the first user.
    assert "The configuration is valid" in tested.run("validate")


def test_plans_say_what_the_settings_ask_for(tested: Terraform) -> None:
    # The assertions are in the *.tftest.hcl files beside this one; the provider is a stand-in.
    assert "0 failed" in tested.run("test")
