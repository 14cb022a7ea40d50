"""Who asks S3, and where: by the variables and files that the AWS command line reads.

What is in none of them, obstore finds by itself where the machine gives it: web identity, containers, EC2.
"""

import configparser
import importlib.util
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ckptkit.errors import StoreError
from ckptkit.storage.objects.endpoints import require_endpoint
from ckptkit.storage.objects.signing import Keys

ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
_INDIRECT = ("sso_session", "sso_start_url", "role_arn", "credential_process", "login_session")


@dataclass(frozen=True, slots=True)
class Settings:
    """What is set.

    Attributes:
        region: empty: not set.
        endpoint: in place of Amazon's own; empty: none.
        keys: None: not set.
        session: boto3 must find the keys, by the name of this profile.
    """

    region: str = ""
    endpoint: str = ""
    keys: Keys | None = field(default=None, repr=False)
    session: str | None = None


def found(environment: Mapping[str, str] = os.environ) -> Settings:
    """Return what is set.

    Raises:
        StoreError: a profile is named that is nowhere, or that only boto3 can use, or an endpoint that is no address.
    """
    named = environment.get("AWS_PROFILE") or environment.get("AWS_DEFAULT_PROFILE") or ""
    profile = _profile(named or "default", environment)
    if named and not profile:
        told = f"AWS_PROFILE={named}: there is no such profile"
        raise StoreError(told, hint="`aws configure list-profiles` shows what there is")
    region = environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION") or profile.get("region", "")
    endpoint = _endpoint(profile, environment)
    keys = _keys(environment.get("AWS_ACCESS_KEY_ID"), environment.get("AWS_SECRET_ACCESS_KEY"))
    if keys is not None:
        keys = Keys(keys.access, keys.secret, environment.get("AWS_SESSION_TOKEN", ""))
        return Settings(region, endpoint, keys)
    keys = _keys(profile.get("aws_access_key_id"), profile.get("aws_secret_access_key"))
    if keys is not None and "role_arn" not in profile:
        return Settings(region, endpoint, Keys(keys.access, keys.secret, profile.get("aws_session_token", "")))
    if any(name in profile for name in _INDIRECT):
        if importlib.util.find_spec("boto3") is None:
            told = f"AWS profile {named or 'default'}: takes boto3, which is not installed"
            raise StoreError(told, hint="pip install boto3, or `eval $(aws configure export-credentials --format env)`")
        return Settings(region, endpoint, session=named or "default")
    return Settings(region, endpoint)


def _endpoint(profile: Mapping[str, str], environment: Mapping[str, str]) -> str:
    for name in ENDPOINTS:
        if environment.get(name):
            return require_endpoint(name, environment[name])
    return require_endpoint("endpoint_url of the AWS profile", profile.get("endpoint_url", ""))


def _keys(access: str | None, secret: str | None) -> Keys | None:
    return Keys(access, secret) if access and secret else None


def _profile(name: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Return a profile's settings, those of the file of credentials first."""
    settings: dict[str, str] = {}
    for variable, usual, sections in (
        ("AWS_CONFIG_FILE", "~/.aws/config", (name, f"profile {name}")),
        ("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials", (name,)),
    ):
        parser = configparser.RawConfigParser()
        path = Path(environment.get(variable) or usual).expanduser()
        try:
            parser.read_string(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError, configparser.Error) as error:
            told = f"{path}: cannot be read ({type(error).__name__})"
            raise StoreError(told, hint="correct the file, or name the keys in AWS_ACCESS_KEY_ID") from None
        for section in sections:
            if parser.has_section(section):
                settings |= dict(parser.items(section))
    return settings
