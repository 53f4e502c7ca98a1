"""Why a model cannot be a base."""

from afina.errors import AfinaError


class Unfit(AfinaError):
    """One thing that is in the way: `file` has it, the message says what and its limit, `cure` what mends it."""

    def __init__(self, file: str, message: str, *, cure: str, code: str = "invalid_base_model"):
        super().__init__(f"{file}: {message}", code=code)
        self.file = file
        self.cure = cure
