-- One row per impression that cost more than was bid for it. No auction takes more than the bid.
-- reads: impression [0, 0]
-- key: impression_id
-- level: warn
SELECT
  impression_id,
  bid_price_micros,
  clearing_price_micros
FROM impression
WHERE clearing_price_micros > bid_price_micros
