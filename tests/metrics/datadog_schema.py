"""`python datadog_schema.py DASHBOARD MONITOR …`: what in these files Datadog's API would not know, a line each.

Runs where Datadog's own client is, which is made from the documented schema of the API and has a class a type.
"""

import json
import sys

from datadog_api_client import Configuration
from datadog_api_client.model_utils import ModelNormal, OpenApiModel, validate_and_convert_types
from datadog_api_client.v1.model.dashboard import Dashboard
from datadog_api_client.v1.model.monitor import Monitor


def problems(made, at):
    """Values of no known type (`_unparsed`), and names that no attribute has."""
    if isinstance(made, list):
        for number, one in enumerate(made):
            yield from problems(one, f"{at}[{number}]")
    if not isinstance(made, OpenApiModel):
        return
    inside = vars(made)  # its attributes are the API's
    if inside.get("_unparsed"):
        yield f"{at}: of no type that the API documents"
    for one in inside.get("_composed_instances", ()):  # which of several types it is
        yield from problems(one, at)
    for name, value in inside["_data_store"].items():
        if isinstance(made, ModelNormal) and name not in made.attribute_map:
            yield f"{at}.{name}: no such attribute"
        yield from problems(value, f"{at}.{name}")


for number, path in enumerate(sys.argv[1:]):
    kind = Monitor if number else Dashboard
    with open(path) as file:
        given = json.load(file)
    try:
        made = validate_and_convert_types(given, (kind,), [path], True, True, configuration=Configuration())
    except Exception as error:
        sys.stdout.write(f"{path}: {error}\n")
    else:
        sys.stdout.writelines(f"{line}\n" for line in problems(made, path))
