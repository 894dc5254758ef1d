"""C++ tests, which are compiled once and run for a moment: without the optimizer."""

def cc_test(name, features = [], **kwargs):
    """A cc_test whose own sources are unoptimized; what it depends on is as everywhere.

    More than half of a test's compilation is the optimizer's. A test that spends its time in
    templates of its own gives `features = ["-unoptimized"]`.

    Args:
      name: of the target.
      features: as cc_test's.
      **kwargs: to cc_test.
    """
    native.cc_test(
        name = name,
        features = ["unoptimized"] + features,
        **kwargs
    )
