"""The message for a package that is not installed."""

import pytest

from tf_mvae.errors import UserError
from tf_mvae.extras import needing


@pytest.mark.parametrize(
    ("module", "package"),
    [("sklearn.no_such_part", "scikit-learn"), ("no_such_package.part", "no_such_package")],
)
def test_a_missing_package_is_named_with_its_extra(module, package):
    wanted = rf"^baselines needs {package}, which is not installed: pip install 'tf-mvae\[sweep\]'$"
    with pytest.raises(UserError, match=wanted), needing("baselines", "sweep"):
        __import__(module)


def test_a_package_of_another_version_says_what_it_lacks():
    wanted = (
        r"^it needs numpy, which fails to import \(cannot import name .*upgrade 'tf-mvae\[sweep\]"
    )
    with pytest.raises(UserError, match=wanted), needing("it", "sweep"):
        from numpy import no_such_name  # noqa: F401
    with pytest.raises(UserError, match="^it needs a package, which"), needing("it", "sweep"):
        raise ImportError("broken")


def test_other_errors_pass_as_they_are():
    with pytest.raises(KeyError), needing("it", "sweep"):
        raise KeyError("sklearn")
