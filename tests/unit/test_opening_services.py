"""From a URL to a service: what it needs is named where it is missing, and who asks is found where AWS keeps it."""

import sys
from pathlib import Path

import pytest

from ckptkit.errors import StoreError
from ckptkit.storage.objects import aws_settings
from ckptkit.storage.objects.opening import open_objects
from ckptkit.storage.objects.signing import Keys


@pytest.mark.parametrize(
    ("url", "package", "extra"),
    [
        ("s3://bucket/x", "obstore", "s3"),
        ("az://container/x", "obstore", "azure"),
        ("abfss://container@account.dfs.core.windows.net/x", "obstore", "azure"),
        ("gs://bucket/x", "gcsfs", "gcs"),
        ("sftp://host/x", "paramiko", "sftp"),
    ],
)
def test_what_is_missing_is_one_line_with_what_to_install(
    url: str, package: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [package, *(name for name in sys.modules if name.startswith(f"{package}."))]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(StoreError) as caught:
        open_objects(url)
    scheme = url.partition(":")[0]
    assert str(caught.value) == f"store {scheme}://…: takes {package}, which is not installed"
    assert caught.value.hint == f"pip install 'ckptkit[{extra}]'"


def settings(folder: Path, config: str = "", credentials: str = "", **environment: str) -> aws_settings.Settings:
    """Return what is found in files with this content and in these variables."""
    (folder / "config").write_text(config)
    (folder / "credentials").write_text(credentials)
    files = {"AWS_CONFIG_FILE": str(folder / "config"), "AWS_SHARED_CREDENTIALS_FILE": str(folder / "credentials")}
    return aws_settings.found(files | environment)


CREDENTIALS = "[default]\naws_access_key_id = A\naws_secret_access_key = S\n[work]\naws_access_key_id = B\n" \
    "aws_secret_access_key = T\naws_session_token = U\n"  # fmt: skip
CONFIG = "[default]\nregion = eu-west-1\n[profile work]\nregion = us-west-2\nendpoint_url = https://minio.example\n"


def test_variables_come_first(tmp_path: Path) -> None:
    found = settings(
        tmp_path, CONFIG, CREDENTIALS, AWS_ACCESS_KEY_ID="V", AWS_SECRET_ACCESS_KEY="W", AWS_REGION="eu-north-1"
    )
    assert (found.keys, found.region) == (Keys("V", "W"), "eu-north-1")


def test_the_default_profile_is_used_where_nothing_is_named(tmp_path: Path) -> None:
    found = settings(tmp_path, CONFIG, CREDENTIALS)
    assert (found.keys, found.region, found.endpoint) == (Keys("A", "S"), "eu-west-1", "")


def test_a_profile_is_used_that_is_named(tmp_path: Path) -> None:
    found = settings(tmp_path, CONFIG, CREDENTIALS, AWS_PROFILE="work")
    assert (found.keys, found.region, found.endpoint) == (Keys("B", "T", "U"), "us-west-2", "https://minio.example")


def test_without_variables_and_files_the_machine_is_asked(tmp_path: Path) -> None:
    absent = {"AWS_CONFIG_FILE": str(tmp_path / "a"), "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "b")}
    assert aws_settings.found(absent) == aws_settings.Settings()


def test_a_profile_of_single_sign_on_takes_boto3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aws_settings.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(StoreError, match="AWS profile work: takes boto3") as caught:
        settings(tmp_path, "[profile work]\nsso_session = x\n", AWS_PROFILE="work")
    assert "pip install boto3" in caught.value.hint


def test_a_file_that_cannot_be_read_is_named_without_its_content(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="credentials: cannot be read") as caught:
        settings(tmp_path, credentials="aws_secret_access_key = S3CRET\n")
    assert "S3CRET" not in str(caught.value)


def test_keys_are_never_shown(tmp_path: Path) -> None:
    assert "S3CRET" not in repr(settings(tmp_path, AWS_ACCESS_KEY_ID="V", AWS_SECRET_ACCESS_KEY="S3CRET"))
    assert "S3CRET" not in repr(Keys("V", "S3CRET"))
