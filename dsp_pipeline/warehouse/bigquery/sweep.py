"""Tables of the dataset that are not needed any more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime

from dsp_pipeline.storage.sweep import LEFTOVER, Swept, unneeded
from dsp_pipeline.warehouse.bigquery.log import ReceiptLog
from dsp_pipeline.warehouse.bigquery.tables import Tables


def swept(
    tables: Tables, log: ReceiptLog, keep: Callable[[str], bool], before: datetime, *, remove: bool
) -> Iterator[Swept]:
    """As Warehouse.sweep promises. Of what `keep` refuses, a table of which no partition is complete is a leftover.

    A needed one stays even so: the next writer fills it, and a log of receipts that is lost takes no table with it.
    One listing, one query, and one look at each table that may have to go. Its receipts go first, in a statement that
    looks again when the last was added, so a sweep that is killed leaves a table without receipts, which the next one
    finds. No job that ran on the table is found again when it is made anew: their ids name its birth. What was removed
    can be had back from BigQuery for some days.
    """
    addresses = tables.ours()
    written = log.written(addresses) if addresses else {}
    for address in addresses:
        known = written.get(address)
        if (known and known.last >= before) or keep(address):
            continue
        stored = tables.stored(address)
        if stored is None or stored.modified >= before:
            continue
        if remove:
            if known and not log.withdraw(address, before):
                continue  # somebody wrote to it meanwhile
            tables.remove(stored)
        partitions, why = (known.partitions, unneeded(known.last)) if known else (0, LEFTOVER)
        yield Swept(address, partitions, stored.num_bytes or 0, why)
