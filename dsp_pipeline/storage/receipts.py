"""Receipts in an object store: `receipts/<address>.json`."""

from __future__ import annotations

from dsp_pipeline.errors import NotFoundError, StorageError
from dsp_pipeline.receipts import Receipt
from dsp_pipeline.storage.base import ObjectStore, read_record

_ROOT, _END = "receipts/", ".json"


class ReceiptBook:
    """The receipts of one store, by the address of the output that they stand for."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._seen: dict[str, tuple[str, Receipt]] = {}  # by address, with the etag it was read at

    def write(self, receipt: Receipt, *, replace: bool = False) -> None:
        """Write it, last of all that belongs to the output. ConflictError if one is there, unless `replace`."""
        self._store.put(_key(receipt.address), receipt.to_json(), if_absent=not replace)

    def read(self, address: str) -> Receipt:
        """NotFoundError if the output is not complete; StorageError if what is there is no receipt."""
        try:
            text = read_record(self._store, _key(address))
        except NotFoundError:
            raise NotFoundError(f"{address} is not complete: it has no receipt.") from None
        try:
            return Receipt.from_json(text)
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise StorageError(f"the receipt of {address} is damaged ({error}); remove {_key(address)}.") from error

    def read_all(self, prefix: str) -> dict[str, Receipt]:
        """Every receipt whose address starts with `prefix`, by address. One listing; only what is new is read."""
        found = {}
        for stored in self._store.list(_ROOT + prefix):
            address = stored.key[len(_ROOT) : -len(_END)]
            etag, receipt = self._seen.get(address, ("", None))
            if receipt is None or etag != stored.etag:
                try:
                    receipt = self.read(address)
                except NotFoundError:
                    continue  # removed since the listing
                self._seen[address] = (stored.etag, receipt)
            found[address] = receipt
        return found

    def addresses(self, prefix: str) -> set[str]:
        """Every complete address that starts with `prefix`, from one listing."""
        return {stored.key[len(_ROOT) : -len(_END)] for stored in self._store.list(_ROOT + prefix)}


def _key(address: str) -> str:
    return f"{_ROOT}{address}{_END}"
