"""The stand-ins of the services by name, checked by the services' own SDKs: what those take for the real API, they take here."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.fakes.gemini_batches import GeminiBatches
from tests.support.fakes.named_service import TOKEN, NamedService
from tests.support.fakes.serving import Provider, serving
from tests.support.services.package_environment import install_packages

pytestmark = pytest.mark.soak  # installs a dozen packages, once
PACKAGES = (
    "google-genai==3.6.1",
    "together==3.1.1",
    "runwayml==5.24.0",
    "lumaai==1.21.0",
    "huggingface_hub==2.4.0",
    "openai==3.57.0",
    "cloudflare==5.9.0",
    "openrouter==1.3.84",
    "boto3==1.44.8",
    "comfy-sdk==0.5.0",
    "pillow",
)
GEMINI = """
from google import genai
from google.genai import types
client = genai.Client(api_key=KEY, http_options=types.HttpOptions(base_url=URL, api_version="v1beta"))
"""
MAKE_GEMINI = """
config = types.GenerateContentConfig(response_modalities=["IMAGE"], image_config=types.ImageConfig(aspect_ratio="16:9"))
answer = client.models.generate_content(model="gemini-3.1-flash-image", contents="a fox", config=config)
parts = [part for part in answer.parts if part.inline_data and not part.thought]
image = parts[0].inline_data.data
told = [answer.usage_metadata.candidates_token_count, answer.usage_metadata.thoughts_token_count]
"""
IMAGES: dict[str, str] = {
    "gemini": GEMINI + MAKE_GEMINI,
    "vertex": """
from google import genai
from google.genai import types
from google.oauth2.credentials import Credentials
at = types.HttpOptions(base_url=URL, api_version="v1")
client = genai.Client(vertexai=True, project="mine", location="global", credentials=Credentials(KEY), http_options=at)
"""
    + MAKE_GEMINI,
    "bedrock": """
import boto3, botocore, botocore.config
once = botocore.config.Config(retries={"total_max_attempts": 1}, signature_version=botocore.UNSIGNED)
client = boto3.client("bedrock-runtime", region_name="us-west-2", endpoint_url=URL, config=once)
# The SDK sends a key over https only; what it sends and reads is the same without.
def put_key(request, **_):
    request.headers["Authorization"] = "Bearer " + KEY
client.meta.events.register("before-send.bedrock-runtime.InvokeModel", put_key)
answer = client.invoke_model(modelId="stability.stable-image-core-v1:1", body=json.dumps({"prompt": "a fox"}))
answer = json.loads(answer["body"].read())
image, told = base64.b64decode(answer["images"][0]), answer["finish_reasons"]
""",
    "comfy-router": """
import os
os.environ["COMFY_ROUTER_BASE_URL"] = URL
from comfy_sdk import Comfy
client = Comfy(api_key=KEY)
handle = client.models.submit("bfl/flux-2-pro", {"prompt": "a fox"})
states = [handle.status() for _ in range(2)]
told = [state.status for state in states]
image = urllib.request.urlopen(handle.get()["result"]["sample"]).read()
""",
    "together": """
import together
client = together.Together(api_key=KEY, base_url=URL + "/v1", max_retries=0)
answer = client.images.generate(model="black-forest-labs/FLUX.1-schnell", prompt="a fox", response_format="base64")
image = base64.b64decode(answer.data[0].b64_json)
""",
    "runway": """
import runwayml
client = runwayml.RunwayML(api_key=KEY, base_url=URL, max_retries=0)
task = client.text_to_image.create(model="gen4_image", prompt_text="a fox", ratio="1920:1080")
states = [client.tasks.retrieve(task.id) for _ in range(2)]
told = [state.status for state in states]
image = urllib.request.urlopen(states[-1].output[0]).read()
""",
    "luma": """
import lumaai
client = lumaai.LumaAI(auth_token=KEY, base_url=URL + "/dream-machine/v1", max_retries=0)
made = client.generations.image.create(prompt="a fox", model="photon-1")
states = [client.generations.get(id=made.id) for _ in range(2)]
told = [state.state for state in states]
image = urllib.request.urlopen(states[-1].assets.image).read()
""",
    "huggingface": """
import io
import huggingface_hub
client = huggingface_hub.InferenceClient(model=URL, token=KEY)
kept = io.BytesIO()
client.text_to_image("a fox").save(kept, "PNG")
image = kept.getvalue()
""",
    "azure-openai": """
import openai
client = openai.AzureOpenAI(azure_endpoint=URL, api_key=KEY, api_version="2025-04-01-preview", max_retries=0)
answer = client.images.generate(model="gpt-image-1.5", prompt="a fox")
image, told = base64.b64decode(answer.data[0].b64_json), [answer.usage.output_tokens]
""",
    "cloudflare": """
import cloudflare
client = cloudflare.Cloudflare(api_token=KEY, base_url=URL + "/client/v4", max_retries=0)
answer = client.ai.run("@cf/black-forest-labs/flux-1-schnell", account_id="mine", prompt="a fox")
image = base64.b64decode(answer["image"])
""",
    "openrouter": """
import openrouter
client = openrouter.OpenRouter(api_key=KEY, server_url=URL + "/api/v1")
answer = client.images.generate(model="bytedance-seed/seedream-4.5", prompt="a fox")
image, told = base64.b64decode(answer.data[0].b64_json), [answer.usage.cost]
""",
    "recraft": """
import openai
client = openai.OpenAI(base_url=URL + "/v1", api_key=KEY, max_retries=0)
answer = client.images.generate(model="recraftv4_1", prompt="a fox")
image = urllib.request.urlopen(answer.data[0].url).read()
""",
    "xai": """
import openai
client = openai.OpenAI(base_url=URL + "/v1", api_key=KEY, max_retries=0)
answer = client.images.generate(model="grok-imagine-image", prompt="a fox", response_format="b64_json")
image, told = base64.b64decode(answer.data[0].b64_json), [answer.usage.model_extra["cost_in_usd_ticks"]]
""",
    "vllm-omni": """
import openai
client = openai.OpenAI(base_url=URL + "/v1", api_key="none", max_retries=0)
answer = client.images.generate(model="Qwen/Qwen-Image", prompt="a fox", response_format="b64_json")
image = base64.b64decode(answer.data[0].b64_json)
""",
}
"""What each SDK does for one image: it leaves the image's bytes in `image`, and what it understood in `told`."""
TOLD: dict[str, list[Any]] = {
    "gemini": [1130, 100],
    "runway": ["THROTTLED", "SUCCEEDED"],
    "luma": ["dreaming", "completed"],
    "vertex": [1130, 100],
    "bedrock": [None],
    "comfy-router": ["IN_PROGRESS", "COMPLETED"],
    "azure-openai": [292],
    "openrouter": [0.04],
    "xai": [200_000_000],
}
BATCH = (
    GEMINI
    + """
with open(FOLDER + "/lines.jsonl", "w") as file:
    file.write(json.dumps({"key": "a", "request": {"contents": [{"parts": [{"text": "a fox"}]}]}}) + "\\n")
stored = client.files.upload(file=FOLDER + "/lines.jsonl", config=types.UploadFileConfig(mime_type="application/jsonl"))
made = client.batches.create(model="gemini-3.1-flash-image", src=stored.name, config={"display_name": "mine"})
states = [client.batches.get(name=made.name) for _ in range(2)]
[listed] = list(client.batches.list())
line = json.loads(client.files.download(file=states[-1].dest.file_name))
image = base64.b64decode(line["response"]["candidates"][0]["content"]["parts"][1]["inlineData"]["data"])
told = [made.state.name, *(state.state.name for state in states), listed.display_name, line["key"]]
"""
)


async def run_script(script: str, provider: Provider, folder: Path, *, key: str | None = None) -> dict[str, Any]:
    """What a script tells that runs with the SDKs."""
    python = await asyncio.to_thread(install_packages, *PACKAGES)
    before = f"import base64, json, urllib.request\nURL, KEY, FOLDER = {provider.url!r}, {key or provider.key!r}, {str(folder)!r}\ntold = []\n"
    body = "".join(f"    {line}\n" for line in script.splitlines())
    after = (
        "try:\n"
        + body
        + "except Exception as exc:\n    print(json.dumps({'error': type(exc).__name__, 'words': str(exc)[:300]}))\nelse:\n"
    )
    after += "    print(json.dumps({'image': base64.b64encode(image[:4]).decode(), 'told': told}))\n"
    program = await asyncio.create_subprocess_exec(
        str(python), "-c", before + after, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await asyncio.wait_for(program.communicate(), 300)
    assert out, err.decode()[-2000:]
    found: dict[str, Any] = json.loads(out.splitlines()[-1])
    return found


@pytest.mark.parametrize("name", IMAGES)
async def test_the_sdk_gets_its_image(name: str, tmp_path: Path) -> None:
    """And reads states and tokens as the stand-in means them."""
    provider = NamedService(name=name)
    async with serving(provider):
        found = await run_script(IMAGES[name], provider, tmp_path, key=TOKEN if name == "vertex" else None)
    assert found.get("error") is None, found
    assert found["image"] == "iVBORw=="
    assert found["told"] == TOLD.get(name, [])


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("gemini", "ClientError"),
        ("vertex", "ClientError"),
        ("bedrock", "ClientError"),
        ("comfy-router", "Unauthorized"),
        ("together", "AuthenticationError"),
        ("runway", "AuthenticationError"),
        ("luma", "AuthenticationError"),
        ("huggingface", "HfHubHTTPError"),
        ("azure-openai", "AuthenticationError"),
        ("cloudflare", "AuthenticationError"),
        ("openrouter", "UnauthorizedResponseError"),
        ("recraft", "AuthenticationError"),
        ("xai", "BadRequestError"),
    ],
)
async def test_the_sdk_raises_for_a_wrong_key(name: str, error: str, tmp_path: Path) -> None:
    """The error that it has for it."""
    provider = NamedService(name=name)
    async with serving(provider):
        found = await run_script(IMAGES[name], provider, tmp_path, key="wrong-key")
    assert found["error"] == error, found


async def test_google_s_sdk_runs_a_batch(tmp_path: Path) -> None:
    """It stores the file, creates the batch, sees its states, lists it, and reads an image out of the results."""
    provider = GeminiBatches()
    async with serving(provider):
        found = await run_script(BATCH, provider, tmp_path)
    assert found.get("error") is None, found
    assert found["image"] == "iVBORw=="
    assert found["told"] == ["JOB_STATE_RUNNING", "JOB_STATE_RUNNING", "JOB_STATE_SUCCEEDED", "mine", "a"]
