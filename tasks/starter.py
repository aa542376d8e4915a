"""The files that `imagen init` writes: a configuration in which every setting is explained, and a manifest."""

from __future__ import annotations

from pathlib import Path

from tasks.atomic_files import write_atomically
from tasks.errors import OutputError
from tasks.settings import FILE_NAME

MANIFEST_NAME = "prompts.yaml"

CONFIG_TEXT = """\
# Configuration of imagen. Every setting below shows its default; delete what you do not change.

default_backend: sketch # for manifest rows that name none

backends:
  sketch: # a placeholder generator: free, offline, deterministic; it does not understand the prompt
    type: sketch
    concurrency: 16 # jobs in flight at most
    creates_per_min: null # new predictions a minute at most; null: the type's own limit
    max_attempts: 3 # paid attempts for one job at most, in one run
    price_usd: null # dollars for one image; set it to rehearse a budget
    backend_opts: {} # sent with every job; a row's own win
    latency_s: 0.0 # seconds that a prediction takes
    failure_rate: 0.0 # share of jobs that fail for good
    transient_rate: 0.0 # share of attempts that fail and are tried again
    moderation_rate: 0.0 # share of prompts that are refused

  flux-schnell-replicate: # needs the environment variable REPLICATE_API_TOKEN
    type: replicate
    model: black-forest-labs/flux-schnell # owner/name, or owner/name:version
    concurrency: 64
    creates_per_min: 600 # the account's limit, which all instances with the same token share
    api_token_env: REPLICATE_API_TOKEN # variable that holds the token
    api_base: https://api.replicate.com
    default_steps: null # where the row gives none; null: the model's own
    default_aspect_ratio: "1:1" # where the row gives no size
    timeout_s: null # for one prediction; null: 60 for flux-schnell, 120 for others
    requests_per_min: 3000 # polls, look-ups and cancels at most
    lookup_patience_s: 20 # how long a lost prediction may take to show up in the provider's list
    delivery_hosts: [replicate.delivery, "*.replicate.delivery"] # pictures are fetched from
    output_quality: null # sent where set
    check_inputs: true # hold every job against the model's published input schema before anything is sent
  flux-dev-replicate:
    type: replicate
    model: black-forest-labs/flux-dev
    concurrency: 64

  flux-schnell-local: # on this machine's GPU; needs: pip install 'imagen[local]'
    type: diffusers
    model: black-forest-labs/FLUX.1-schnell # any text-to-image pipeline of diffusers: a hub id, or a folder
    concurrency: 16 # at least twice batch_size keeps the device busy
    device: auto # cuda, cuda:1, mps or cpu; auto takes the first that is there
    dtype: auto # float32, bfloat16 or float16; auto: bfloat16 on a GPU that has it
    offload: none # model or sequential: keep weights in main memory; slower, for GPUs that do not hold the model
    batch_size: 4 # pictures in one call at most; halved when memory is short
    default_width: 1024 # where the row gives no size
    default_height: 1024
    default_steps: 4 # where the row gives none; null: the pipeline's own
    default_guidance: 0.0 # likewise
    price_usd: null # dollars for one image; 0: it is free. With neither price the cost is unknown
    price_usd_per_hour: null # of the device; an image costs its share of the time
    latency_s: 5.0 # the device's time for one picture, for plans, until the first was measured

prices: {} # dollars by model and unit, in place of the price table's, as owner/name: {image: 0.003}; `imagen prices` lists them

output:
  format: png # png, jpeg or webp, where the row does not say
  quality: 90 # for jpeg and webp
  embed_parameters: true # write prompt, seed and model into the image file

runner: # where the batch runs; docs/many-machines.md
  kind: local # dask or ray: in many worker processes; needs a ledger on PostgreSQL and: pip install 'imagen[dask]'
  workers: null # shards at once; null: as many as the cluster has places
  cluster: null # address of a running cluster; null: worker processes of this machine, for the run
  lease_s: 180 # seconds that the jobs of a worker that died wait for another one; three times what a create may take

stop: # the batch stops by itself, and can be resumed
  error_rate: 0.5 # when so large a share
  error_window: 20 # of the last so many finished jobs failed

ledger: null # postgresql://user@host:port/database for batches of several machines; null: SQLite in the output folder

usage: # one row per image: backend, model, seed, prompt hash, latency, cost, caller
  sink: sqlite # sqlite, postgres, supabase or none; `imagen usage migrate` makes the table of the middle two
  path: null # sqlite: database file; null: in your state folder
  database_url_env: IMAGEN_USAGE_DATABASE_URL # postgres: variable that holds its URL, postgresql://...
  url_env: SUPABASE_URL # supabase: variable that holds the project's URL
  key_env: SUPABASE_SERVICE_ROLE_KEY # supabase: variable that holds the service role key or a secret key
  rest_path: /rest/v1 # supabase: the API's path under that URL; "" for a PostgREST of your own
"""

MANIFEST_TEXT = """\
# A small manifest. Run it with: imagen run prompts.yaml
defaults:
  width: 768
  height: 512

template: # every combination of the matrix
  id: "{place}-{light}"
  prompt: "{place} at {light}, wide view"
matrix:
  place: [mountains, a harbour]
  light: [dawn, night]

prompts:
  - a lighthouse in a storm, ink
  - {id: fox, prompt: "a red fox in the snow, watercolour", seed: 7, samples: 2}
"""


def write_starter(folder: Path) -> tuple[list[Path], list[Path]]:
    """Write the two files where they do not exist.

    Returns:
        The files written, and the files that were there and were kept.

    Raises:
        OutputError: The folder cannot be made or written.
    """
    files = {folder / FILE_NAME: CONFIG_TEXT, folder / MANIFEST_NAME: MANIFEST_TEXT}
    kept = [path for path in files if path.exists()]
    written = [path for path in files if path not in kept]
    try:
        for path in written:
            write_atomically(path, files[path].encode())
    except OSError as exc:
        raise OutputError(f"{folder}: cannot be written ({exc.strerror})") from None
    return written, kept
