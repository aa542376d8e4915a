"""The files that `imagen init` writes: a configuration in which every setting is explained, and a manifest."""

from __future__ import annotations

from pathlib import Path

from tasks.core.atomic_files import write_atomically
from tasks.core.errors import OutputError
from tasks.core.paths import CONFIG_NAME

MANIFEST_NAME = "prompts.yaml"

CONFIG_TEXT = """\
# Configuration of imagen. Every setting below shows its default; delete what you do not change.

default_backend: sketch # for manifest rows that name none; [a, b] tries b where a cannot serve a row

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
    image_input: null # the model's input for a row's `image`, name[] for a list; null: as known of the model
    mask_input: null # likewise for `mask`
    check_inputs: true # hold every job against the model's published input schema before anything is sent
  flux-dev-replicate:
    type: replicate
    model: black-forest-labs/flux-dev
    concurrency: 64

  gpt-image-openai: # OpenAI's images API, or a server that speaks it; needs the environment variable OPENAI_API_KEY
    type: openai
    model: gpt-image-1.5
    concurrency: 16
    mode: sync # batch: through the Batch API, half the price, within a day
    api_base: https://api.openai.com/v1 # with its /v1
    api_key_env: OPENAI_API_KEY # variable that holds the key; null: the server needs none
    default_size: 1024x1024 # where the row gives none; auto: the model's choice; null: not sent
    quality: medium # low, medium, high, ...; null: the model's own, and plans count the dearest
    output_format: null # send the row's format: true or false; null: where the model is known to take it
    response_format: null # b64_json or url; sent where set: OpenAI's present models take none
    extra_inputs: {} # further inputs of a server, from a row's seed, steps and negative_prompt: {num_inference_steps: steps}
    output_tokens: null # of one picture at most, for plans and budgets; null: what is known of the model
    input_image_tokens: null # of the pictures that a row starts from, at most, for plans and budgets; null: not known
    timeout_s: 300 # for one answer; the picture is made meanwhile
    usual_latency_s: 20 # seconds that a picture takes, for plans
    delivery_hosts: [] # where pictures lie that come as addresses, besides api_base's own host
    batch_jobs: 200 # batch: jobs in one batch at most; one is downloaded whole, some MB for each picture
    batch_quiet_s: 5.0 # batch: one is sent when it is full, or when no job has come for so long
    batch_latency_s: 3600 # batch: seconds that one takes, for plans
    batch_poll_s: 60 # batch: between two looks at one
  gpt-image-openai-batch: # what a night's worth of pictures is cheapest with
    type: openai
    mode: batch
    model: gpt-image-1.5
    quality: medium
    concurrency: 1000 # jobs at the provider at once, in five batches here

  flux-schnell-fal: # any image model on fal.ai; needs the environment variable FAL_KEY
    type: fal
    model: fal-ai/flux/schnell # owner/app, or owner/app/path
    concurrency: 32 # in the queue at once; how many run is up to the account
    api_key_env: FAL_KEY # variable that holds the key
    queue_base: https://queue.fal.run
    sends: [seed, num_images, output_format] # with every job; shorten it for models that do not take one of them
    image_input: null # the model's input for a row's `image`, as image_url, name[] for a list; null: it has none
    mask_input: null # likewise for `mask`
    size_as: image_size # how the model is told a row's size: image_size, aspect_ratio or none
    default_steps: null # where the row gives none; null: the model's own
    timeout_s: 300 # for one request, and until it starts
    usual_latency_s: 4 # seconds that one takes, until some were seen
    requests_per_min: 3000 # polls and cancels at most
    delivery_hosts: [fal.media, "*.fal.media"] # pictures are fetched from

  any-json-api: # an API of your own, described; this one is made up. {prompt} and the like are filled in, nothing is run
    type: http
    model: my-model
    price_usd: 0.02 # 0: it is free, and what was not answered is sent again
    create: # makes a prediction; in its body may stand prompt, seed, width, height, image, mask, ...
      method: POST
      url: https://api.example.com/v1/models/{model}/tasks
      headers: {Authorization: "Bearer {env:MY_API_KEY}"} # variables stand in headers and addresses only
      body: {prompt: "{prompt}", seed: "{seed}", width: "{width}", height: "{height}", reference: "{job_id}"}
    id: /task/id # where things stand in an answer, as JSON pointers (RFC 6901)
    poll: # asks how it is; null: create answers with the picture itself
      method: GET
      url: https://api.example.com/v1/tasks/{id}
      headers: {Authorization: "Bearer {env:MY_API_KEY}"}
      body: null
    state: {at: /task/status, succeeded: [done], failed: [failed, cancelled]} # any other name: it still runs
    result: null # a call that gives the picture, where poll does not
    output: {kind: url, at: /task/images/0/url} # kind: url, base64, or bytes where the answer itself is the picture
    error: /task/error # null: the usual places
    moderation: [nsfw, safety] # parts of the error's words that mean a refused prompt
    passing: [overloaded] # parts that mean a passing failure
    failures_are_free: false # true: one that failed is not billed, so a passing failure is tried again
    cost: null # where the answer says the price in dollars
    cancel: # null: there is no such call
      method: DELETE
      url: https://api.example.com/v1/tasks/{id}
      headers: {Authorization: "Bearer {env:MY_API_KEY}"}
      body: null
    find: # looks for one whose create was not answered; null: it is held
      method: GET
      url: https://api.example.com/v1/tasks?reference={job_id}
      headers: {Authorization: "Bearer {env:MY_API_KEY}"}
      body: null
      items: /tasks # where the list stands
      id: /id # where the id stands in an item
      patience_s: 20 # how long one may take to show up there
    idempotency_header: null # the service makes one prediction for equal values of this header
    opts_at: "" # object of create.body that backend_opts are merged into
    default_width: 1024 # where the row gives no size; null: none is sent
    default_height: 1024
    timeout_s: 300 # for one prediction
    usual_latency_s: 10 # seconds that one takes, until some were seen
    requests_per_min: 600 # polls, look-ups and cancels at most
    delivery_hosts: [cdn.example.com] # where pictures lie that come as addresses, besides create's own host

  flux-schnell-local: # on this machine's GPU; needs: pip install 'imagen[local]'
    type: diffusers
    model: black-forest-labs/FLUX.1-schnell # any text-to-image pipeline of diffusers: a hub id, or a folder
    concurrency: 16 # at least twice batch_size keeps the device busy
    device: auto # cuda, cuda:1, mps or cpu; auto takes the first that is there
    dtype: auto # float32, bfloat16 or float16; auto: bfloat16 on a GPU that has it
    offload: none # model or sequential: keep weights in main memory; slower, for GPUs that do not hold the model
    quantize: none # int8, float8 or int4: the largest weights in so many bits; less memory, slightly other pictures
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
    files = {folder / CONFIG_NAME: CONFIG_TEXT, folder / MANIFEST_NAME: MANIFEST_TEXT}
    kept = [path for path in files if path.exists()]
    written = [path for path in files if path not in kept]
    try:
        for path in written:
            write_atomically(path, files[path].encode())
    except OSError as exc:
        raise OutputError(f"{folder}: cannot be written ({exc.strerror})") from None
    return written, kept
