# SPDX-License-Identifier: Apache-2.0
"""Every setting of the service: type, default, help. The only reader of the environment.

A value comes from a flag, else from the environment (`CALOTYPE_<NAME>`), else from a TOML file
(`CALOTYPE_CONFIG` or `<DATA_DIR>/calotype.toml`, the same names in lower case), else from here.
Unknown names in the file are errors. Source: architecture, section 3; limits: values.md 14.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

GIB = 2**30
TIB = 2**40


class StoreSetting(BaseModel):
    """One named store of image bytes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")
    url: str
    default: bool = False
    weight: int = 0
    read_only: bool = False
    description: str = ""


class Settings(BaseSettings):
    """All settings of one process, frozen after start."""

    model_config = SettingsConfigDict(env_prefix="CALOTYPE_", frozen=True, extra="forbid")

    # place
    data_dir: Path = Field(Path("data"), description="directory that holds everything kept")
    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(9292, ge=0, le=65535, description="port to listen on; 0 picks a free one")
    public_endpoint: str = Field("", description="address that clients use, when a proxy is before")
    region: str = Field("region-1", description="name of the region and of the first project")
    trusted_proxies: Annotated[list[str], NoDecode] = Field(
        [], description="addresses or networks whose X-Forwarded-For is believed (comma list)"
    )
    tls_cert: Path | None = Field(None, description="certificate chain, PEM")
    tls_key: Path | None = Field(None, description="private key, PEM")
    database_url: SecretStr = Field(SecretStr(""), description="PostgreSQL; empty: SQLite")
    scratch_dir: Path | None = Field(None, description="work space of jobs; default in DATA_DIR")
    sandbox: Literal["auto", "require"] = Field("auto", description="refuse to run without one")

    # bytes
    blob_url: str = Field("", description="store of image bytes: file:///… or s3://bucket/prefix")
    stores: list[StoreSetting] = Field([], description="several named stores, JSON list")
    buckets_url: str = Field("", description="where new user buckets are made; default in DATA_DIR")
    s3_endpoint: str = Field("", description="endpoint of s3:// urls")
    s3_region: str = Field("us-east-1", description="region of s3:// urls")
    s3_access_key: str = Field("", description="access key of s3:// urls")
    s3_secret_key: SecretStr = Field(SecretStr(""), description="secret key of s3:// urls")
    cache_max_size: int = Field(10 * GIB, ge=0, description="bytes of the image cache; 0: off")
    locations: bool = Field(False, description="the newer locations API")
    community_images: bool = Field(True, description="the visibility `community`")

    # identity
    auth: Literal["embedded", "keystone"] = Field("embedded", description="who knows the users")
    admin_password: SecretStr = Field(SecretStr(""), description="root password of the first start")
    signature_strict: bool = Field(False, description="host and project headers must be signed")
    replay_cache: bool = Field(False, description="refuse a repeated signature of a write")
    token_hours: int = Field(24, ge=1, le=24, description="life of a token")

    # network
    import_allow: Annotated[list[str], NoDecode] = Field(
        [], description="origins that web imports may reach; empty: off; `any-public`"
    )

    # keys, limits
    key_file: Path | None = Field(None, description="file with the wrapping key; default DATA_DIR")
    flavors_file: Path | None = Field(None, description="table behind the filter flavor_id")
    images_per_project: int = Field(100, ge=0, description="image quota of a project")
    image_quota_min: int = Field(1, ge=0, description="lowest image quota that is told to clients")
    image_quota_max: int = Field(1000, ge=0, description="highest one; a bound, not a quota")
    bytes_per_project: int | None = Field(None, description="quota of stored bytes")
    staged_bytes_per_project: int | None = Field(None, description="quota of staged bytes")
    uploads_per_project: int = Field(40, ge=1, description="simultaneous uploads of a project")
    uploads_at_once: int = Field(8, ge=1, description="simultaneous uploads of this process")
    upload_wait_seconds: float = Field(30.0, description="longest wait for a free upload place")
    upload_limit: int = Field(128 * GIB, description="bytes of one ordinary image")
    quick_limit: int = Field(TIB, description="bytes of one quick import or quick export")
    tags_per_image: int = Field(10, ge=1, description="tags of an image, IMS dialect")
    native_tags_per_image: int = Field(128, ge=1, description="tags of an image, native dialect")
    properties_per_image: int = Field(128, ge=1, description="custom properties of an image")
    members_per_image: int = Field(256, ge=0, description="members of an image")
    creation_jobs_per_project: int = Field(40, ge=1, description="unfinished creation jobs")
    copy_jobs_per_project: int = Field(5, ge=1, description="unfinished copy jobs")
    json_limit: int = Field(2**20, description="bytes of a JSON body")
    page_default: int = Field(25, ge=1, description="page of a native list")
    page_limit: int = Field(1000, ge=1, description="longest page of a list")
    job_days: int = Field(30, ge=1, description="days an ended job is kept")
    killed_days: int = Field(7, ge=1, description="days a killed image is kept")
    job_hours: int = Field(24, ge=1, description="age at which a job fails with TIMEOUT")
    strict_os_versions: bool = Field(True, description="IMS os_version must be in the catalogue")
    unique_names: bool = Field(False, description="image names are unique in a project")
    worker_jobs: int = Field(2, ge=1, description="jobs that one worker runs at once")
    scratch_reserve: int = Field(GIB, ge=0, description="bytes that scratch always leaves free")
    users_per_account: int = Field(50, ge=1, description="users of an account")
    groups_per_account: int = Field(20, ge=1, description="groups of an account")
    groups_per_user: int = Field(10, ge=1, description="groups of a user")
    policies_per_account: int = Field(200, ge=1, description="custom policies of an account")
    keys_per_user: int = Field(2, ge=1, description="access keys of a user")
    eps_per_account: int = Field(100, ge=1, description="enterprise projects of an account")
    drain_seconds: float = Field(60.0, ge=0, description="longest wait for work at SIGTERM")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="log level")

    @field_validator("database_url")
    @classmethod
    def _is_postgresql(cls, value: SecretStr) -> SecretStr:
        scheme = value.get_secret_value().partition(":")[0]
        if scheme not in ("", "postgresql", "postgres", "postgresql+psycopg"):
            raise ValueError("it reads postgresql://user@host/database, or is empty for SQLite")
        return value

    @model_validator(mode="before")
    @classmethod
    def _split_lists(cls, values: dict[str, object]) -> dict[str, object]:
        for name in ("trusted_proxies", "import_allow"):
            value = values.get(name)
            if isinstance(value, str):
                values[name] = [part.strip() for part in value.split(",") if part.strip()]
        return values

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags, then the environment, then the TOML file."""
        del dotenv_settings, file_secret_settings
        # A flag for the data directory names the file too; the sources are not merged yet here.
        flags = init_settings() if isinstance(init_settings, InitSettingsSource) else {}
        file = _config_file(flags.get("data_dir"))
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, file)

    @property
    def scratch(self) -> Path:
        """Directory of temporary bytes; on the same file system as a file store by default."""
        return self.scratch_dir or self.data_dir / "scratch"

    @property
    def master_key_file(self) -> Path:
        """File that holds the wrapping key."""
        return self.key_file or self.data_dir / "master.key"

    def store_settings(self) -> tuple[StoreSetting, ...]:
        """Return the named stores; without a list, one called `default` at BLOB_URL."""
        if self.stores:
            return tuple(self.stores)
        url = self.blob_url or f"file://{(self.data_dir / 'blobs').absolute()}"
        return (StoreSetting(id="default", url=url, default=True),)

    def buckets_place(self) -> str:
        """URL below which user buckets are made."""
        return self.buckets_url or f"file://{(self.data_dir / 'buckets').absolute()}"


def _config_file(data_dir: object) -> Path | None:
    """Find the TOML file; the settings object does not exist yet, so read the two names here."""
    named = os.environ.get("CALOTYPE_CONFIG")
    if named:
        if not Path(named).is_file():
            raise ValueError(f"CALOTYPE_CONFIG names {named}, which is no file")
        return Path(named)
    beside = Path(str(data_dir or os.environ.get("CALOTYPE_DATA_DIR", "data"))) / "calotype.toml"
    return beside if beside.exists() else None


def load(**flags: Any) -> Settings:
    """Return the settings of this process; `flags` whose value is None count as not given."""
    return Settings(**{name: value for name, value in flags.items() if value is not None})
