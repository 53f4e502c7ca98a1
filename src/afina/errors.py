"""Every error raised on purpose, as one tree; each knows its HTTP status, type and code.

    AfinaError
    +-- InvalidRequest         400  what was sent cannot be accepted
    |   +-- AuthenticationError    401  no key, or one that is not valid
    |   +-- PermissionDenied       403  a valid key that may not do this
    |   +-- NotFound               404  not there, or not yours (the two look alike)
    |   |   +-- NoSuchProject         also one that is archived: nothing goes on in it
    |   +-- MethodNotAllowed       405
    |   +-- RequestTimeout         408
    |   +-- RequestTooLarge        413
    |   +-- UnsupportedMediaType   415
    |   +-- TooManyRequests        429
    |   +-- HeadersTooLarge        431
    +-- DataError              a line of a file is not right; fails the job, never the request
    +-- RunFailed              a run ended without a model; becomes `job.error`
    |   +-- NotFinite            a model's outputs are no numbers any more: asking again cannot help
    |   +-- FormTooComplex       the form that a reply is held to cannot be followed any further
    +-- FenceLost              somebody else holds the work now: stop writing
    +-- IllegalMove            a status change that the life of a job does not know
    +-- CorruptBlob            stored bytes are not those that were written
    +-- Unavailable            503  not now; a retry may help

To add one: choose the closest parent, set what differs, and say in the message which value is wrong, what its limit
is and how to mend it. Never put users' data into a message: names of fields and numbers of lines only.
"""


class AfinaError(Exception):
    """Anything this package raises on purpose."""

    status = 500
    type = "server_error"
    code: str | None = None

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None):
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code or self.code

    def wire(self) -> dict[str, dict[str, str | None]]:
        """OpenAI's error object: `{"error": {message, type, param, code}}`."""
        fields = {"message": self.message, "type": self.type, "param": self.param, "code": self.code}
        return {"error": fields}


class InvalidRequest(AfinaError):
    """What was sent cannot be accepted; the message names the field, its limit and the cure."""

    status = 400
    type = "invalid_request_error"


class AuthenticationError(InvalidRequest):
    """No API key, or one that is unknown, revoked or expired."""

    status = 401


class PermissionDenied(InvalidRequest):
    """A valid key whose role or scopes do not cover this operation."""

    status = 403
    code = "insufficient_permissions"


class NotFound(InvalidRequest):
    """Not there; an object of another project is not there either."""

    status = 404


class NoSuchProject(NotFound):
    """The project is not there, or was archived: whatever was done in it ends."""


class MethodNotAllowed(InvalidRequest):
    """The path exists, but not for this verb."""

    status = 405
    code = "method_not_allowed"


class RequestTimeout(InvalidRequest):
    """The rest of a body did not arrive in time."""

    status = 408
    code = "request_timeout"


class RequestTooLarge(InvalidRequest):
    """More bytes than this operation takes."""

    status = 413
    code = "request_too_large"


class UnsupportedMediaType(InvalidRequest):
    """A body in a format or an encoding that is not read."""

    status = 415
    code = "unsupported_media_type"


class TooManyRequests(InvalidRequest):
    """More of something at the same time than a project may have."""

    status = 429
    type = "rate_limit_error"


class HeadersTooLarge(InvalidRequest):
    """More header bytes, or more headers, than a request may have."""

    status = 431
    code = "request_header_fields_too_large"


class DataError(AfinaError):
    """A problem in an uploaded file: it ends a job as `failed`, its wording is OpenAI's.

    `line` counts from 1, `field` is a path such as `messages[2].role`, `cure` says what to do.
    """

    status = 400
    type = "invalid_request_error"

    def __init__(
        self,
        message: str,
        *,
        line: int | None = None,
        field: str | None = None,
        cure: str = "",
        param: str | None = None,
        code: str = "invalid_training_file",
    ):
        super().__init__(message, param=param, code=code)
        self.line = line
        self.field = field
        self.cure = cure


class RunFailed(AfinaError):
    """A run that ended without a model; `code` and message become the job's error."""


class NotFinite(RunFailed):
    """A model whose outputs are not finite cannot be sampled, and its tokens have no likelihood."""

    code = "not_finite"


class FormTooComplex(RunFailed):
    """The form that a reply is held to has grown beyond its limits, before the reply or in its middle."""

    code = "form_too_complex"


class FenceLost(AfinaError):
    """A write carried an older fence: somebody else holds the work, or the job was cancelled."""


class IllegalMove(AfinaError):
    """A change of status that the table of legal moves does not know."""


class CorruptBlob(AfinaError):
    """Stored bytes differ from what was written: length or SHA-256 do not match."""


class Unavailable(AfinaError):
    """Cannot be answered at this moment; `retry_after` in seconds, None where a retry cannot help."""

    status = 503

    def __init__(self, message: str, *, code: str | None = None, retry_after: int | None = 1):
        super().__init__(message, code=code)
        self.retry_after = retry_after


def clipped(name: str) -> str:
    """A name that a client sent, fit for a message: at most 64 characters, printable ASCII only."""
    return "".join(c if " " <= c <= "~" else "?" for c in name[:64])
