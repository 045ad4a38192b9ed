"""The token that both APIs ask for."""

import pytest

from tf_mvae.serving.server.errors import RequestError
from tf_mvae.serving.server.tokens import TokenCheck


@pytest.mark.parametrize("sent", [b"Bearer s3cret", b"bearer s3cret", b"BEARER  s3cret"])
def test_the_scheme_may_be_in_any_case(sent):
    TokenCheck("s3cret")(sent)
    TokenCheck(None)(b"")


@pytest.mark.parametrize(
    "sent", [b"", b"Bearer", b"s3cret", b"Bearer S3CRET", b"Basic s3cret", b"Bearer s3cret x"]
)
def test_another_header_is_refused(sent):
    with pytest.raises(RequestError) as refused:
        TokenCheck("s3cret")(sent)
    assert refused.value.status == 401 and "s3cret" not in refused.value.message
