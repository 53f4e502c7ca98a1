"""What an organisation's administrators see and ask for: projects, keys, service accounts."""

from typing import Annotated, Literal

from pydantic import Field

from afina.schemas.record import Record, Request

Name = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f]*$")]
Lifetime = Annotated[int, Field(ge=1, le=315_360_000)]  # seconds, at most ten years


class CreateProject(Request):
    """The body of `POST /organization/projects`. Where data lies is decided by who runs the server: not per project."""

    name: Name
    external_key_id: None = None
    geography: None = None
    residency: None = None


class UpdateProject(Request):
    """What changes in a project."""

    name: Name | None = None
    external_key_id: None = None
    geography: None = None


class ProjectObject(Record):
    """A project on the wire."""

    id: str
    object: Literal["organization.project"] = "organization.project"
    name: str
    created_at: int
    archived_at: int | None = None
    status: Literal["active", "archived"]


class CreateServiceAccount(Request):
    """The body of `POST .../service_accounts`; the first key comes with it, unless only the account is asked for."""

    name: Name
    create_service_account_only: bool | None = None
    expires_in_seconds: Lifetime | None = None


class UpdateServiceAccount(Request):
    """What changes in a service account."""

    name: Name | None = None
    role: Literal["owner", "member"] | None = None


class CreateAccountKey(Request):
    """One more key of a service account. It does what the account's role allows: there are no scopes."""

    name: Name = "Secret key"
    expires_in_seconds: Lifetime | None = None
    scopes: Annotated[list[str], Field(max_length=0)] | None = None


class AccountKey(Record):
    """A service account's new key, with the secret that nobody will see again."""

    id: str
    object: Literal["organization.project.service_account.api_key"] = (
        "organization.project.service_account.api_key"
    )
    name: str
    value: str
    created_at: int
    expires_at: int | None = None


class NewServiceAccount(Record):
    """A service account as it is shown when it is made."""

    id: str
    object: Literal["organization.project.service_account"] = "organization.project.service_account"
    name: str
    role: Literal["owner", "member", "none"]
    created_at: int
    api_key: AccountKey | None


class UpdateProjectKey(Request):
    """What changes in a key: when it ends, counted from now. It does what its role allows: there are no scopes."""

    expires_in_seconds: Lifetime | None = None
    scopes: Annotated[list[str], Field(max_length=0)] | None = None


class OwningAccount(Record):
    """The service account that a key belongs to."""

    id: str
    name: str
    role: str
    created_at: int


class KeyOwner(Record):
    """Whose key it is; nobody's where it belongs to the project itself."""

    type: Literal["service_account"] | None = None
    service_account: OwningAccount | None = None
    user: None = None


class ProjectKey(Record):
    """A project's key, without its secret."""

    id: str
    object: Literal["organization.project.api_key"] = "organization.project.api_key"
    name: str
    redacted_value: str
    created_at: int
    expires_at: int | None = None
    last_used_at: None = None
    owner: KeyOwner
    owner_project_access: Literal["active"] = "active"


class CreateAdminKey(Request):
    """The body of `POST /organization/admin_api_keys`."""

    name: Name
    expires_in_seconds: Lifetime | None = None


class AdminOwner(Record):
    """Admin keys belong to the organisation; there are no accounts of persons."""

    object: Literal["organization.user"] = "organization.user"
    type: Literal["user"] = "user"
    role: Literal["owner"] = "owner"


class AdminKey(Record):
    """An organisation's key, without its secret."""

    id: str
    object: Literal["organization.admin_api_key"] = "organization.admin_api_key"
    name: str
    redacted_value: str
    created_at: int
    expires_at: int | None = None
    last_used_at: None = None
    owner: AdminOwner = AdminOwner()


class NewAdminKey(AdminKey):
    """An admin key with the secret that nobody will see again."""

    value: str
