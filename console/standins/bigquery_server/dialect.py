"""TODO"""


def install() -> None:
    pass
