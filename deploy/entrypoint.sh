#!/bin/sh
# Arguments are imagen's: `docker run imagen run prompts.yaml`. Prefect's workers start their jobs by `prefect ...` in the
# same image, so programs by name or path are started as they are. Batches drain on SIGTERM, which flows/container.py
# passes on to whoever heeds it; a shell needs none of that.
case "${1:-}" in
  sh | bash) exec "$@" ;;
  prefect | python | python3 | /*) exec python -m flows.container "$@" ;;
  *) exec python -m flows.container imagen "$@" ;;
esac
