"""Whether this environment serves a bundle that is there, and if not, why."""

from __future__ import annotations

from dsp_pipeline.registry.decisions import kept
from tasks.export_model import ExportModel
from tasks.receipt_task import ReceiptTask

_LOOKED_AT = 20  # decisions, newest first


def not_served(step: ReceiptTask) -> str | None:
    """Why bidders of this environment do not get the bundle of an arm that its experiment serves.

    None if they do or did, if the arm is not served, and for all other steps; the bundle is there.
    """
    if not isinstance(step, ExportModel) or not step.serves():
        return None
    one, model, receipt = step.platform, step.training().trial().model.name, step.receipt()
    environment = one.settings.environment
    if not step.complete():
        return f"{environment} does not serve it yet"
    pointer = one.registry.resolve(environment, model)
    if receipt is None or (pointer is not None and pointer.address == receipt.details["bundle"]):
        return None
    for decision in kept(one.store, environment, model, most=_LOOKED_AT):
        if decision.numbers.get("bundle") == receipt.details["bundle"]:
            return (
                None if decision.accepted else f"the gate refused to serve it in {environment}: {decision.reasons[0]}"
            )
    return None
