"""What signs requests to S3 by itself signs as Amazon's own examples do."""

import hashlib
from datetime import UTC, datetime

import pytest

from ckptkit.storage.objects.signing import Keys, Signer

# https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
KEYS = Keys("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
HOST = "examplebucket.s3.amazonaws.com"
MOMENT = datetime(2013, 5, 24, tzinfo=UTC)


@pytest.mark.parametrize(
    ("query", "signature"),
    [
        ("lifecycle=", "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
        ("max-keys=2&prefix=J", "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
    ],
)
def test_amazons_examples_get_the_signatures_that_it_prints(query: str, signature: str) -> None:
    signer = Signer(f"https://{HOST}", "us-east-1", KEYS, 1.0)
    headers = signer.signed("GET", HOST, "/", query, hashlib.sha256(b"").hexdigest(), "", MOMENT)
    assert headers["authorization"].endswith(f"Signature={signature}")
