#!/bin/sh
# Arguments are imagen's: `docker run imagen run prompts.yaml`. Prefect's workers start their jobs by `prefect ...` in the
# same image, so programs by name or path are started as they are. `exec`: SIGTERM reaches the program, which drains.
case "${1:-}" in
  prefect | python | python3 | sh | bash | /*) exec "$@" ;;
  *) exec imagen "$@" ;;
esac
