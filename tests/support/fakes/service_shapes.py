"""Answers of the image services by name: an image, a refusal, a wrong key, an empty account, each in its API's own shape.

They follow documents, SDKs and recorded answers read in 2026-11; where a service's words are not known, usual ones stand.
`IMAGE`, `URL` and `ID` in them are filled in by the server.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

IMAGE, URL, ID = "<image>", "<url>", "<id>"
"""In an answer: the image in base64, the server's address, the prediction's id."""
BYTES = "<bytes>"
"""As an answer: the image itself."""
Answer = tuple[int, Any]


@dataclass(frozen=True, kw_only=True)
class Shape:
    """One service."""

    created: Any
    """The answer to a create."""
    running: Any = None
    ended: Any = None
    """The answers to polls; None: the create is answered with the image."""
    result: Any = None
    """The answer to a further call for the result."""
    micros: int = 0
    """Bill of an image."""
    refused: Answer
    refused_late: bool = False
    """True if the create is accepted and a poll says no."""
    refused_micros: int = 0
    bad_key: Answer = (401, {"error": {"message": "who are you?"}})
    no_credit: Answer = (402, {"error": {"message": "the account is empty"}})
    failed: Any = field(default_factory=dict)
    """The answer that ends a job without an image."""
    headers: Mapping[str, str] = field(default_factory=dict)
    auth: str = "Authorization"
    """Header that holds the key."""
    takes_bearer: bool = False
    """True if the key may come as `Authorization: Bearer` too."""
    session: Any = None
    """The answer to a call that gives a session."""


OPENAI = {"created": 1, "data": [{"b64_json": IMAGE}]}
OPENAI_FLAGGED = (
    400,
    {"error": {"code": "content_policy_violation", "message": "flagged as NSFW", "type": "invalid_request_error"}},
)
GOOGLE_KEY = (
    400,
    {
        "error": {
            "code": 400,
            "message": "API key not valid. Please pass a valid API key.",
            "status": "INVALID_ARGUMENT",
            "details": [{"reason": "API_KEY_INVALID"}],
        }
    },
)
GOOGLE_DAY = (
    429,
    {
        "error": {
            "code": 429,
            "status": "RESOURCE_EXHAUSTED",
            "message": "You exceeded your current quota, please check your plan and billing details.",
            "details": [
                {"violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel"}]},
                {"retryDelay": "48s"},
            ],
        }
    },
)
GEMINI_USAGE = {
    "promptTokenCount": 10,
    "candidatesTokenCount": 1_130,
    "candidatesTokensDetails": [{"modality": "TEXT", "tokenCount": 10}, {"modality": "IMAGE", "tokenCount": 1_120}],
    "thoughtsTokenCount": 100,
}
GEMINI_MICROS = 67_535
"""10 tokens in at $0.5 a million, 1,120 of the image at $60, 110 of text at $3."""
RAI = "Unable to show the generated images: they were filtered out by safety settings."
SHAPES: dict[str, Shape] = {
    "a1111": Shape(
        created={"images": [IMAGE], "parameters": {}, "info": ""}, refused=(422, {"detail": [{"msg": "NSFW"}]})
    ),
    "azure-openai": Shape(
        created={
            **OPENAI,
            "usage": {
                "input_tokens": 10,
                "output_tokens": 292,
                "output_tokens_details": {"image_tokens": 272, "text_tokens": 20},
            },
        },
        micros=8_810,
        refused=(
            400,
            {"error": {"code": "contentFilter", "message": "Your task failed as a result of our safety system."}},
        ),
        bad_key=(
            401,
            {"error": {"code": "401", "message": "Access denied due to invalid subscription key or wrong endpoint."}},
        ),
        no_credit=(429, {"error": {"code": "insufficient_quota", "message": "You exceeded your current quota."}}),
        auth="api-key",
    ),
    "bedrock": Shape(
        created={"images": [IMAGE], "finish_reasons": [None], "seeds": [1]},
        micros=40_000,
        refused=(200, {"images": [], "finish_reasons": ["Filter reason: prompt"], "seeds": []}),
        bad_key=(403, {"Message": "Authentication failed: Please make sure your API Key is valid."}),
        no_credit=(429, {"message": "Too many tokens per day, please wait before trying again."}),
        failed={"images": [], "finish_reasons": [None]},
    ),
    "bfl": Shape(
        created={"id": ID, "polling_url": f"{URL}/poll/{ID}", "cost": 3},
        running={"id": ID, "status": "Pending"},
        ended={"id": ID, "status": "Ready", "result": {"sample": f"{URL}/images/{ID}.png"}},
        micros=30_000,
        refused=(200, {"id": ID, "status": "Request Moderated", "details": {"Moderation Reasons": ["x"]}}),
        refused_late=True,
        bad_key=(403, {"detail": "Not authenticated - Invalid Authentication"}),
        no_credit=(402, {"detail": "Insufficient credits. Please add credits"}),
        failed={"id": ID, "status": "Error"},
        auth="x-key",
    ),
    "cloudflare": Shape(
        created={"result": {"image": IMAGE}, "success": True, "errors": []},
        micros=634,
        refused=(
            400,
            {"success": False, "errors": [{"code": 3030, "message": "AiError: prompt contains NSFW content"}]},
        ),
        bad_key=(401, {"success": False, "errors": [{"code": 10000, "message": "Authentication error"}]}),
        no_credit=(
            429,
            {
                "success": False,
                "errors": [{"code": 4006, "message": "you have used up your daily free allocation of 10,000 neurons"}],
            },
        ),
        failed={"result": {}, "success": True, "errors": []},
    ),
    "comfy-router": Shape(
        created={"request_id": ID, "status": "IN_QUEUE"},
        running={"request_id": ID, "status": "IN_PROGRESS"},
        ended={"request_id": ID, "status": "COMPLETED"},
        result={"result": {"sample": f"{URL}/images/{ID}.png"}},
        refused=(200, {"request_id": ID, "status": "COMPLETED", "error_type": "content_policy_violation"}),
        refused_late=True,
        bad_key=(401, {"detail": "invalid API key"}),
        no_credit=(402, {"detail": "insufficient credits"}),
        failed={"request_id": ID, "status": "COMPLETED", "error_type": "provider_error"},
        auth="X-API-Key",
        takes_bearer=True,
    ),
    "fireworks": Shape(
        created=BYTES,
        refused=(400, {"error": {"message": "request was flagged by moderation", "code": "content_filter"}}),
        bad_key=(401, {"error": {"object": "error", "code": "unauthorized", "message": "unauthorized"}}),
        no_credit=(
            412,
            {"error": {"message": "Account foo is suspended, possibly due to reaching the monthly spending limit"}},
        ),
    ),
    "gemini": Shape(
        created={
            "candidates": [
                {
                    "content": {
                        "parts": [
                            {"inlineData": {"data": "c2tldGNo"}, "thought": True},
                            {"text": "Here is a fox."},
                            {"inlineData": {"mimeType": "image/png", "data": IMAGE}},
                        ]
                    },
                    "finishReason": "STOP",
                }
            ],
            "usageMetadata": GEMINI_USAGE,
        },
        micros=GEMINI_MICROS,
        refused=(200, {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": {}}),
        bad_key=GOOGLE_KEY,
        no_credit=GOOGLE_DAY,
        failed={"candidates": [{"content": {"parts": [{"text": "no"}]}, "finishReason": "NO_IMAGE"}]},
        auth="x-goog-api-key",
    ),
    "huggingface": Shape(
        created=BYTES,
        refused=(400, {"error": "The prompt was flagged as NSFW"}),
        bad_key=(401, {"error": "Invalid username or password."}),
        no_credit=(402, {"error": "You have exceeded your monthly included credits for Inference Providers."}),
    ),
    "ideogram": Shape(
        created={"data": [{"url": f"{URL}/images/{ID}.png", "is_image_safe": True, "seed": 1}]},
        micros=60_000,
        refused=(200, {"data": [{"url": None, "is_image_safe": False}]}),
        refused_micros=60_000,
        bad_key=(401, {"error": "Invalid API key"}),
        no_credit=(402, {"error": "insufficient balance"}),
        failed={"data": []},
        auth="Api-Key",
    ),
    "imagen4": Shape(
        created={"predictions": [{"bytesBase64Encoded": IMAGE, "mimeType": "image/png"}]},
        micros=40_000,
        refused=(200, {"predictions": [{"raiFilteredReason": RAI}]}),
        bad_key=GOOGLE_KEY,
        no_credit=(
            400,
            {
                "error": {
                    "code": 400,
                    "status": "FAILED_PRECONDITION",
                    "message": "Imagen API is only accessible to billed users at this time.",
                }
            },
        ),
        auth="x-goog-api-key",
    ),
    "localai": Shape(created=OPENAI, refused=OPENAI_FLAGGED),
    "luma": Shape(
        created={"id": ID, "state": "queued"},
        running={"id": ID, "state": "dreaming"},
        ended={"id": ID, "state": "completed", "assets": {"image": f"{URL}/images/{ID}.png"}},
        refused=(
            200,
            {
                "id": ID,
                "state": "failed",
                "failure_reason": "400: prompt not allowed because advanced moderation failed",
            },
        ),
        refused_late=True,
        bad_key=(401, {"detail": "Not authenticated"}),
        no_credit=(400, {"detail": "Insufficient credits"}),
        failed={"id": ID, "state": "failed", "failure_reason": "internal error"},
    ),
    "openrouter": Shape(
        created={
            **OPENAI,
            "usage": {"prompt_tokens": 0, "completion_tokens": 4175, "total_tokens": 4175, "cost": 0.04},
        },
        micros=40_000,
        refused=(
            403,
            {"error": {"code": 403, "message": "flagged for moderation", "metadata": {"reasons": ["violence"]}}},
        ),
        bad_key=(401, {"error": {"code": 401, "message": "No auth credentials found"}}),
        no_credit=(403, {"error": {"code": 403, "message": "Key limit exceeded (total limit)."}}),
    ),
    "recraft": Shape(
        created={"data": [{"url": f"{URL}/images/{ID}.png"}], "credits": 35},
        micros=35_000,
        refused=(400, {"code": "invalid_request_parameter", "message": "Prompt was rejected by content moderation"}),
        bad_key=(401, {"code": "unauthorized", "message": "unauthorized"}),
        no_credit=(400, {"code": "not_enough_credits", "message": "not enough credits"}),
        failed={"data": [], "credits": 0},
    ),
    "runway": Shape(
        created={"id": ID},
        running={"id": ID, "status": "THROTTLED"},
        ended={"id": ID, "status": "SUCCEEDED", "output": [f"{URL}/images/{ID}.png"], "cost": {"credits": 8}},
        micros=80_000,
        refused=(
            200,
            {
                "id": ID,
                "status": "FAILED",
                "failureCode": "SAFETY.INPUT.TEXT",
                "failure": "not allowed",
                "cost": {"credits": 0},
            },
        ),
        refused_late=True,
        bad_key=(401, {"error": "Unauthorized"}),
        no_credit=(400, {"error": "You do not have enough credits to run this task."}),
        failed={"id": ID, "status": "FAILED", "failureCode": "INTERNAL.BAD_OUTPUT.CODE01", "failure": "it failed"},
    ),
    "sglang": Shape(created=OPENAI, refused=OPENAI_FLAGGED),
    "stability": Shape(
        created=BYTES,
        micros=30_000,
        headers={"finish-reason": "SUCCESS", "seed": "1"},
        refused=(
            403,
            {"id": "x", "name": "content_moderation", "errors": ["Your request was flagged by our content moderation"]},
        ),
        bad_key=(
            401,
            {"id": "x", "name": "unauthorized", "errors": ["authorization: invalid or missing header value"]},
        ),
        no_credit=(
            402,
            {"id": "x", "name": "payment_required", "errors": ["You lack sufficient credits to make this request."]},
        ),
    ),
    "swarmui": Shape(
        created={"images": [f"images/{ID}.png"]},
        refused=(200, {"error": "content filter", "error_id": "refused"}),
        session={"session_id": "s"},
    ),
    "together": Shape(
        created=OPENAI,
        refused=(
            422,
            {"error": {"message": "NSFW content detected in response image", "type": "invalid_request_error"}},
        ),
        bad_key=(
            401,
            {
                "error": {
                    "message": "Invalid API key provided.",
                    "type": "invalid_request_error",
                    "code": "invalid_api_key",
                }
            },
        ),
        no_credit=(402, {"error": {"message": "Credit limit exceeded", "type": "credit_limit"}}),
    ),
    "vertex": Shape(
        created={
            "candidates": [{"content": {"parts": [{"inlineData": {"data": IMAGE}}]}}],
            "usageMetadata": GEMINI_USAGE,
        },
        micros=GEMINI_MICROS,
        refused=(200, {"candidates": [{"finishReason": "IMAGE_SAFETY"}], "usageMetadata": {}}),
        bad_key=(
            401,
            {
                "error": {
                    "code": 401,
                    "status": "UNAUTHENTICATED",
                    "message": "Request had invalid authentication credentials.",
                }
            },
        ),
        no_credit=(
            403,
            {
                "error": {
                    "code": 403,
                    "status": "PERMISSION_DENIED",
                    "message": "This API method requires billing to be enabled.",
                    "details": [{"reason": "BILLING_DISABLED"}],
                }
            },
        ),
    ),
    "vllm-omni": Shape(created=OPENAI, refused=OPENAI_FLAGGED),
    "xai": Shape(
        created={**OPENAI, "usage": {"cost_in_usd_ticks": 200_000_000}},
        micros=20_000,
        refused=(200, {"data": []}),
        bad_key=(400, {"code": "invalid-argument", "error": "Incorrect API key provided: xa***."}),
        no_credit=(
            429,
            {"code": "x", "error": "Your team has either used all available credits or reached its spending limit."},
        ),
    ),
}
