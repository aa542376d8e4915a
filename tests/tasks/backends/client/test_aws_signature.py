"""AWS's signature, held against AWS's own test vectors and against what botocore 1.44.8 computes."""

from __future__ import annotations

from datetime import UTC, datetime

import httpx
import pytest

from tasks.backends.client.aws_signature import AwsKeys, sign_request

VECTOR_KEYS = AwsKeys(key_id="AKIDEXAMPLE", secret="wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
VECTOR_TIME = datetime(2015, 8, 30, 12, 36, tzinfo=UTC)


@pytest.mark.parametrize(
    ("method", "signature"),
    [
        ("GET", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        ("POST", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
    ],
)
def test_aws_s_own_vectors(method: str, signature: str) -> None:
    """`get-vanilla` and `post-vanilla` of its test suite."""
    request = httpx.Request(method, "https://example.amazonaws.com/")
    sign_request(request, VECTOR_KEYS, service="service", region="us-east-1", now=VECTOR_TIME)
    assert request.headers["authorization"].endswith(f"Signature={signature}")


def test_a_quoted_path_a_query_and_a_role_s_token_are_signed() -> None:
    """As botocore signs them: the path quoted once more, the query in order, the token among the headers."""
    request = httpx.Request(
        "POST",
        "https://bedrock-runtime.us-west-2.amazonaws.com/model/core-v1%3A1/invoke?b=2&a=1&c",
        content='{"prompt":"ü"}'.encode(),
    )
    keys = AwsKeys(key_id="AK", secret="SK", session_token="tok")
    sign_request(request, keys, service="bedrock", region="us-west-2", now=VECTOR_TIME)
    assert request.headers["authorization"] == (
        "AWS4-HMAC-SHA256 Credential=AK/20150830/us-west-2/bedrock/aws4_request, "
        "SignedHeaders=host;x-amz-date;x-amz-security-token, Signature=a85461557866f3d1d742fd0636b58f0b944a72672103501d1b69a9a66da17089"
    )


@pytest.mark.parametrize(
    ("url", "signature"),
    [
        # By name and not as text, in which `a-b=3` would come before `a=1`.
        ("/x?a=2&a=1&a=10&aa=1&a-b=3", "ecd7252df0251f9a2466c3390ff1e566224f6b3bba47415cf9edaacb6d713e02"),
        ("//double//slash/", "ffde50cf69350d2f5e3631020206298c06a29b71d3ad343526139414a74702bd"),
        (
            ":8443/%C3%BC/(x)*'!?q=a%20b%2Fc&r=1=2",
            "8717eb57690cea1f81f84f0d9e6288fb95aa981bb46a5b9f47c3b13670b698ee",
        ),
    ],
)
def test_odd_addresses_are_signed_as_botocore_signs_them(url: str, signature: str) -> None:
    """Its order of a query's parts, its slashes, and its spaces in headers."""
    request = httpx.Request(
        "POST", f"https://b.us-west-2.amazonaws.com{url}", content=b"{}", headers={"X-Amz-Note": "a   b"}
    )
    keys = AwsKeys(key_id="AK", secret="SK", session_token="tok")
    sign_request(request, keys, service="bedrock", region="us-west-2", now=VECTOR_TIME)
    assert request.headers["authorization"].endswith(f"Signature={signature}")
