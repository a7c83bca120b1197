"""A task has the parameters that luigi finds, however late they came."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import luigi
import pytest
from luigi.task_register import Register
from luigi.util import inherits

from scheduler import parameters


@pytest.fixture(autouse=True)
def ours() -> Iterator[None]:
    """It is in luigi's place for the whole process where tasks are imported; here, for one test."""
    before = luigi.Task.__dict__["get_params"]
    parameters.configure()
    yield
    luigi.Task.get_params = before
    if before.__func__ is not parameters._get_params:
        del Register.__setattr__, Register.__delattr__


def names(task: type[luigi.Task]) -> list[str]:
    return [name for name, _ in task.get_params()]


def a_task() -> type[luigi.Task]:
    """Of a class that no other test has."""

    class Aged(luigi.Task):
        day: Any = luigi.IntParameter(default=1)
        hour: Any = luigi.IntParameter(default=2)

    return Aged


def test_parameters_come_in_the_order_in_which_they_were_written() -> None:
    """Those of a class above first; what a class below has made something else is no parameter."""

    class Below(a_task()):  # type: ignore[misc]
        minute: Any = luigi.IntParameter(default=3)
        hour = 5

    assert names(a_task()) == ["day", "hour"]
    assert names(Below) == ["day", "minute"]
    assert Below(day=4).param_kwargs == {"day": 4, "minute": 3}


def test_what_a_caller_does_to_the_list_is_its_own_affair() -> None:
    """The next caller gets all of them."""
    task = a_task()
    task.get_params().clear()
    assert names(task) == ["day", "hour"]


def test_a_parameter_that_comes_later_is_found() -> None:
    """On the class or on one above it, after a task was made; and one that goes is gone."""
    task = a_task()
    below = type("Below", (task,), {})
    assert names(below) == ["day", "hour"]
    assert below().day == 1
    task.late = luigi.IntParameter(default=7)  # type: ignore[attr-defined]
    task.late.__set_name__(task, "late")  # type: ignore[attr-defined]
    assert names(below) == names(task) == ["day", "hour", "late"]
    assert below().late == 7
    task.hour = 9
    assert names(below) == ["day", "late"]
    del task.day
    assert names(below) == names(task) == ["late"]


def test_a_class_that_inherits_from_tasks_has_their_parameters() -> None:
    """As luigi's decorators give them, which set them when the class is there."""
    task = a_task()

    class Heir(luigi.Task):
        own: Any = luigi.IntParameter(default=4)

    assert names(Heir) == ["own"]
    assert names(inherits(task)(Heir)) == ["day", "hour", "own"]


def test_attributes_are_looked_through_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many tasks are made of the class, after the first one: luigi sets an attribute when it makes that."""
    looks: list[type] = []
    look = parameters._look_through

    def counted(cls: type) -> list[tuple[str, luigi.Parameter[Any]]]:
        looks.append(cls)
        return list(look(cls))

    task, other = a_task(), a_task()
    task().to_str_params()
    monkeypatch.setattr(parameters, "_look_through", counted)
    for day in range(10):
        task(day=day).to_str_params()
    assert looks == []
    other()
    assert set(looks) == {other}
