"""`python -m afina.api`: the server alone, with its settings from the environment."""

import uvicorn

from afina.api.app import create_app
from afina.processes import log_to_stderr
from afina.settings import from_environment

DRAIN_SECONDS = 20
LONGEST_HEAD = 64 * 1024  # what is longer than the application allows shall still get its error object


def main() -> None:
    """Serve until SIGTERM; replies that are on their way have 20 seconds to end."""
    settings = from_environment()
    log_to_stderr(settings.log_level)
    uvicorn.run(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        http="h11",
        h11_max_incomplete_event_size=LONGEST_HEAD,
        timeout_graceful_shutdown=DRAIN_SECONDS,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
    )


if __name__ == "__main__":
    main()
