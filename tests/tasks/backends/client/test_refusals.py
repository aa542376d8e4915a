"""What services say when they refuse a prompt, in codes and in words of many languages."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tasks.backends.client.calls import build_refusal
from tasks.backends.client.refusals import find_codes, find_words, is_moderation
from tasks.core.errors import JobError

CODES: dict[str, Any] = {
    # As OpenAI and the servers of its API answer.
    "openai": {"error": {"code": "moderation_blocked", "message": "x"}},
    "openai old, litellm, comfy-router": {"error": {"code": "content_policy_violation", "message": "x"}},
    "azure": {"error": {"code": "contentFilter", "message": "x"}},
    "azure inner": {"error": {"code": "x", "innererror": {}, "message": "ResponsibleAIPolicyViolation"}},
    "fireworks": {"error": {"code": "content_filter", "message": "x"}},
    "stability": {"id": "x", "name": "content_moderation", "errors": ["x"]},
    "recraft": {"code": "x", "message": "Prompt was rejected by content moderation"},
    "together": {"error": {"message": "NSFW content detected in response image"}},
    "openrouter": {"error": {"code": 403, "message": "flagged for moderation"}},
    "cloudflare": {"errors": [{"code": 3030, "message": "AiError: prompt contains NSFW content"}]},
    "fal": {"detail": [{"loc": ["body"], "msg": "x", "type": "content_policy_violation"}]},
    "bfl": {"id": "x", "status": "Content Moderated"},
    "runway": {"status": "FAILED", "error_code": "SAFETY.INPUT.TEXT"},
    "runway, before": {"error": "x", "code": "INPUT_PREPROCESSING.SAFETY.TEXT"},
    "luma": {"detail": "400: prompt not allowed because advanced moderation failed"},
    "gemini, imagen4, vertex": {"error": {"code": 400, "status": "x", "message": "violates Google's Responsible AI"}},
    "vertex words": {"error": {"message": "This prompt contains sensitive words"}},
    "replicate": {"detail": "The input or output was flagged as sensitive. (E005)"},
    "bedrock": {"message": "This request has been blocked by our content filters."},
    "bedrock policy": {"Message": "Your prompt violates the Acceptable Use Policy"},
    "alibaba": {"code": "DataInspectionFailed", "message": "x", "request_id": "x"},
    "alibaba task": {"output": {"task_status": "FAILED", "code": "DataInspectionFailed", "message": "x"}},
    "alibaba, openai's form": {"error": {"code": "data_inspection_failed", "message": "x"}},
    "byteplus, volcengine": {"error": {"code": "InputTextSensitiveContentDetected", "message": "x"}},
    "byteplus, its image": {"error": {"code": "OutputImageSensitiveContentDetected", "message": "x"}},
    "byteplus, risk": {"error": {"code": "InputImageRiskDetection", "message": "x"}},
    "tencent": {"Response": {"Error": {"Code": "OperationDenied.TextIllegalDetected", "Message": "x"}}},
    "minimax": {"base_resp": {"status_code": 1026, "status_msg": "input new_sensitive"}},
    "kling": {"code": 1301, "message": "Trigger the platform's content security policy"},
    "stepfun": {"error": {"type": "censorship_blocked", "message": "x"}},
    "zhipu": {"error": {"code": "1301", "message": "系统检测到输入或生成内容可能包含不安全或敏感内容"}},
    "spanish": {"error": {"message": "La solicitud infringe nuestra política de contenido."}},
    "german": {"error": {"message": "Die Anfrage verstößt gegen unsere Inhaltsrichtlinien."}},
    "french": {"error": {"message": "La demande enfreint notre politique de contenu."}},
    "japanese": {"error": {"message": "不適切なコンテンツが検出されました"}},
    "chinese": {"msg": "提示词含有违禁内容"},
    "korean": {"message": "부적절한 콘텐츠가 감지되었습니다"},
}


def build_error(document: Any, status: int = 400, **headers: str) -> Any:
    """What a create ends with that is answered so."""
    answer = httpx.Response(status, json=document, headers={name.replace("_", "-"): v for name, v in headers.items()})
    return build_refusal(answer, find_words(document) or "no", service="x", key_env="KEY")


@pytest.mark.parametrize("name", CODES)
def test_a_refusal_is_told_by_its_code_in_whatever_language(name: str) -> None:
    """Then it is moderation, and not tried again."""
    document = CODES[name]
    assert is_moderation(find_words(document), find_codes(document))
    assert build_error(document).kind == "moderation"


@pytest.mark.parametrize(
    ("header", "status", "kind"),
    [
        ("x_comfy_error_type", 400, "moderation"),
        ("x_amzn_errortype", 403, "moderation"),
        ("x_other", 400, "invalid"),
    ],
)
def test_a_code_may_stand_in_a_header(header: str, status: int, kind: str) -> None:
    """The body has the maker's words alone."""
    assert build_error({"detail": "no"}, status, **{header: "content_policy_violation"}).kind == kind


def test_451_is_a_refusal_whatever_it_says() -> None:
    """It means that the law or a policy forbids it (RFC 7725): nothing was created."""
    assert build_error({"message": "不可"}, 451).kind == "moderation"


@pytest.mark.parametrize(
    "document",
    [
        {"detail": [{"loc": ["body", "allow_nsfw"], "msg": "value is not a valid boolean"}]},
        {"error": "unknown field: nsfw_filter"},
        {"error": {"code": "invalid_value", "message": "unsupported content type"}},
        {"error": {"code": "invalid_value", "message": "safety_tolerance must be at most 6"}},
        {"error": {"code": "invalid_value", "message": "aspect_ratio: policy is not set"}},
        {"output": "nsfw.png", "message": "width is too large"},
    ],
)
def test_names_of_settings_are_no_refusal(document: Any) -> None:
    """Their rows are invalid, which is to be mended in the manifest or the configuration."""
    found = build_error(document, 422)
    assert isinstance(found, JobError)
    assert found.kind == "invalid"
